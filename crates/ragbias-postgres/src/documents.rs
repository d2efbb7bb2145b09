use std::collections::BTreeSet;

use postgres::Row;
use ragbias_core::{ContentId, Document, DocumentHit, DocumentIndex, Embeddings, Filter, Similarity};

use crate::address::Address;
use crate::nearest::Nearest;
use crate::{Error, Result, Search, Table, statements};

/// What is read of a found row. The nearest rows alone are written as JSON.
const COLUMNS: &str = "id, title, text, metadata::text";

/// The documents of a table, searched.
///
/// Their number and the fields of their metadata are those of the moment when it was opened; what is found is always what the table
/// has. A connection that is lost is made again with the next search.
pub struct Documents {
    nearest: Nearest,
    count: usize,
    fields: BTreeSet<String>,
}

impl Documents {
    /// The documents of a table, searched approximately if it has an HNSW index.
    ///
    /// # Errors
    /// Those of [`Table::open`], and an empty table.
    pub fn open(address: &Address, table: &str) -> Result<Self> {
        let table = Table::open(address, table)?;
        let search = table.search()?;
        Self::of(table, search)
    }

    /// The documents of a table, searched so.
    ///
    /// # Errors
    /// Those of [`Documents::open`], and [`Error::Other`] for an approximate search without an index.
    pub fn open_by(address: &Address, table: &str, search: Search) -> Result<Self> {
        let table = Table::open(address, table)?;
        if search == Search::Hnsw && table.search()? != Search::Hnsw {
            return Err(Error::Other {
                place: table.place().to_string(),
                what: "its index",
                expected: "hnsw".into(),
                received: "none".into(),
                hint: "`ragbias ingest` with `index hnsw` creates one",
            });
        }
        Self::of(table, search)
    }

    fn of(table: Table, search: Search) -> Result<Self> {
        let count = table.count()?;
        if count == 0 {
            return Err(Error::Empty { place: table.place().to_string() });
        }
        let fields = table.texts(&statements::fields(table.name()))?.into_iter().collect();
        Ok(Self { nearest: Nearest::new(table, search, COLUMNS), count, fields })
    }

    /// How they are searched.
    pub fn search(&self) -> Search {
        self.nearest.search()
    }

    fn hit(&self, row: &Row) -> Result<DocumentHit> {
        let (id, title, text, metadata): (String, Option<String>, String, &str) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let metadata = serde_json::from_str(metadata).map_err(|error| Error::Row {
            place: self.nearest.table().place().to_string(),
            id: id.clone(),
            reason: error.to_string(),
        })?;
        Ok(DocumentHit {
            document: Document { id, title, text, metadata },
            score: -row.get::<_, f64>(4) as f32,
        })
    }
}

impl DocumentIndex for Documents {
    fn embedder(&self) -> ContentId {
        self.nearest.table().embedder_id()
    }

    fn embedder_name(&self) -> String {
        self.nearest.table().embedder().to_owned()
    }

    fn dim(&self) -> usize {
        self.nearest.table().dim()
    }

    fn similarity(&self) -> Similarity {
        self.nearest.table().description().similarity
    }

    fn len(&self) -> usize {
        self.count
    }

    fn fields(&self) -> &BTreeSet<String> {
        &self.fields
    }

    fn nearest(
        &self,
        questions: &Embeddings,
        k: usize,
        filter: &Filter,
    ) -> ragbias_core::Result<Vec<Vec<DocumentHit>>> {
        let found = self.nearest.rows(questions, k, filter)?;
        let hits = found.iter().map(|rows| rows.iter().map(|row| self.hit(row)).collect::<Result<_>>());
        Ok(hits.collect::<Result<_>>()?)
    }
}
