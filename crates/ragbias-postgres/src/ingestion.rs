use std::collections::{HashMap, HashSet};

use ragbias_core::{Document, Embedder, Embeddings, Progress, Role, Step, Unit};

use crate::row::{Row, check_document, check_values, content};
use crate::{Error, Result, Table};

/// Rows that are stored together.
const ROWS: usize = 512;
/// Texts that are embedded together.
const TEXTS: usize = 32;

/// Fills a table: documents that are already there are not sent again, those that have changed are replaced.
///
/// Rows are stored 512 at a time. If the connection is lost, it is made again, for half a minute; if the process ends, an ingestion of the
/// same documents goes on where this one ended. Several may run at the same time.
pub struct Ingestion<'a> {
    table: &'a Table,
    embedder: &'a dyn Embedder,
    step: Box<dyn Step>,
    done: Ingested,
}

/// What an [`Ingestion`] did, in numbers of documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Ingested {
    /// Those that were not in the table.
    pub added: usize,
    /// Those that were in it with another title, text or metadata.
    pub replaced: usize,
    /// Those that were in it as they are.
    pub unchanged: usize,
}

impl<'a> Ingestion<'a> {
    /// The ingestion of so many documents, shown as progress.
    ///
    /// # Errors
    /// [`Error::Other`] if the table's vectors are those of another embedder.
    pub fn new(
        table: &'a Table,
        embedder: &'a dyn Embedder,
        documents: usize,
        progress: &dyn Progress,
    ) -> Result<Self> {
        if table.embedder_id() != embedder.id() {
            return Err(Error::Other {
                place: table.place().to_string(),
                what: "the embedder of its vectors",
                expected: embedder.id().short(),
                received: format!("`{}` ({})", table.embedder(), table.embedder_id().short()),
                hint: "another name makes another table; `DROP TABLE` removes this one",
            });
        }
        let step = progress.begin("ingesting", documents as u64, Unit::Items);
        Ok(Self { table, embedder, step, done: Ingested::default() })
    }

    /// Stores more documents. Ids that occur twice are refused within a call; the last one counts across calls.
    ///
    /// # Errors
    /// A document that cannot be stored, before any of these is; failures of the embedder, and of the database.
    pub fn add(&mut self, documents: &[Document]) -> Result<()> {
        let mut ids = HashSet::with_capacity(documents.len());
        for document in documents {
            check_document(document)?;
            if !ids.insert(document.id.as_str()) {
                return Err(Error::Document { id: document.id.clone(), reason: "occurs twice" });
            }
        }
        documents.chunks(ROWS).try_for_each(|documents| self.add_chunk(documents))
    }

    fn add_chunk(&mut self, documents: &[Document]) -> Result<()> {
        let ids: Vec<&str> = documents.iter().map(|document| document.id.as_str()).collect();
        let present: HashMap<String, Vec<u8>> = self.table.contents(&ids)?.into_iter().collect();
        let is_same = |document: &&Document| {
            present.get(&document.id).is_some_and(|stored| stored == content(document).as_bytes())
        };
        let (same, sent): (Vec<&Document>, Vec<&Document>) = documents.iter().partition(is_same);
        self.step.advance(same.len() as u64);
        self.done.unchanged += same.len();
        if sent.is_empty() {
            return Ok(());
        }
        let vectors = self.embed(&sent)?;
        let rows = sent.iter().zip(vectors.as_slice().chunks_exact(vectors.dim()));
        let rows: Vec<Row<'_>> = rows.map(|(document, vector)| Row::of(document, vector)).collect();
        self.table.put(&rows)?;
        let replaced = sent.iter().filter(|document| present.contains_key(&document.id)).count();
        self.done.replaced += replaced;
        self.done.added += sent.len() - replaced;
        Ok(())
    }

    fn embed(&self, documents: &[&Document]) -> Result<Embeddings> {
        let mut parts = Vec::new();
        for documents in documents.chunks(TEXTS) {
            let texts: Vec<String> = documents.iter().map(|document| document.full_text()).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let vectors = self.embedder.embed(&texts, Role::Document)?;
            if vectors.len() != texts.len() {
                let (component, expected, received) = ("the embedder", texts.len(), vectors.len());
                return Err(ragbias_core::Error::BatchLength { component, expected, received }.into());
            }
            check_vectors(self.table, &vectors)?;
            parts.push(vectors);
            self.step.advance(texts.len() as u64);
        }
        Ok(Embeddings::concatenated(parts)?)
    }

    /// What was done so far.
    pub fn done(&self) -> Ingested {
        self.done
    }
}

/// Refuses vectors of another dimension or length than the table's, or beyond the range of its type.
pub(crate) fn check_vectors(table: &Table, vectors: &Embeddings) -> Result<()> {
    let (expected, received) = (table.dim(), vectors.dim());
    if expected != received {
        return Err(ragbias_core::Error::Dimension { expected, received }.into());
    }
    if table.description().similarity.wants_unit_vectors() && !vectors.is_normalised() {
        return Err(Error::NotNormalised);
    }
    check_values(vectors.as_slice(), table.description())
}
