//! `ragbias ingest`.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use ragbias::core::{Document, Embedder, Progress};
use ragbias::data::{CorpusFile, Dataset};
use ragbias::{ControlSpec, StoredEmbedder, Workspace, load_corpus};
use ragbias_postgres::{Ingestion, Table, TableConfig, VectorType};
use serde_json::json;

use super::{Session, database};
use crate::args;

/// Documents that are read at once.
const READ: usize = 512;

impl Session<'_> {
    pub(super) fn ingest(&self, command: &args::Ingest) -> Result<()> {
        let progress = self.progress.as_ref();
        let address = database::address(&command.database, progress)?;
        let documents = Documents::open(&command.corpus, progress)?;
        let workspace = self.workspace_here()?;
        let (name, embedder) = embedder(command, &workspace)?;
        let halfvec = command.halfvec.then_some(VectorType::HalfVec);
        let config =
            TableConfig::of(name, embedder.as_ref()).vector_type(halfvec).partitions(command.partitions);
        let table = Table::create(&address, &command.table, &config)?;
        if let Some(index) = command.index {
            table.check_search(index.into())?;
        }

        let stored = StoredEmbedder::new(embedder, &workspace.store);
        let mut ingestion = Ingestion::new(&table, &stored, documents.len(), progress)?;
        let mut ids = HashSet::new();
        documents.each_batch(|batch| {
            if command.prune {
                ids.extend(batch.iter().map(|document| document.id.clone()));
            }
            Ok(ingestion.add(batch)?)
        })?;
        let done = ingestion.done();
        drop(ingestion);
        let deleted = if command.prune { table.retain(&ids)? } else { 0 };
        if let Some(index) = command.index {
            table.set_search(index.into(), progress)?;
        }
        let (count, search) = (table.count()?, table.search()?.name());
        let (kind, dim) = (table.vector_type().name(), table.dim());
        let summary = json!({ "table": command.table, "database": address.to_string(), "embedder": table.embedder(),
            "type": kind, "dim": dim, "index": search, "documents": count, "added": done.added, "replaced": done.replaced,
            "unchanged": done.unchanged, "deleted": deleted });
        self.print(&summary, || {
            format!(
                "{count} documents in `{}` at {address}: {} added, {} replaced, {} unchanged, {deleted} deleted\n{kind}({dim}), \
                 search: {search}",
                command.table, done.added, done.replaced, done.unchanged
            )
        })
    }
}

/// The embedder of documents, and its name.
fn embedder(command: &args::Ingest, workspace: &Workspace) -> Result<(String, Arc<dyn Embedder>)> {
    if let Some(control) = &command.control {
        let name = control.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        return Ok((name, ControlSpec::ready(control, workspace)?.embedder));
    }
    let name = command.embedder.as_deref().context("expected --control or --embedder")?;
    Ok((name.to_owned(), workspace.models().embedder(name, workspace.progress())?))
}

/// The documents of a corpus: those of a file are read in batches, and need not fit into memory.
enum Documents {
    File(CorpusFile<'static>),
    Set(ragbias::core::Corpus),
}

impl Documents {
    /// Reads and checks the whole corpus.
    fn open(name: &str, progress: &dyn Progress) -> Result<Self> {
        let path = Path::new(name);
        if path.exists() && !Dataset::bundled_names().any(|bundled| bundled == name) {
            return Ok(Self::File(CorpusFile::open(path, None, progress)?));
        }
        Ok(Self::Set(load_corpus(name, None, progress)?))
    }

    fn len(&self) -> usize {
        match self {
            Self::File(file) => file.len(),
            Self::Set(corpus) => corpus.len(),
        }
    }

    fn each_batch(&self, mut each: impl FnMut(&[Document]) -> Result<()>) -> Result<()> {
        match self {
            Self::File(file) => file.each_batch(READ, |batch| each(&batch)),
            Self::Set(corpus) => corpus.documents().chunks(READ).try_for_each(each),
        }
    }
}
