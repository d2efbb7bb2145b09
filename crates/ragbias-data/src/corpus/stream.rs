//! Reads a corpus in batches.

use std::path::{Path, PathBuf};

use ragbias_core::{Axis, Document, Progress};

use super::{Wanted, corpus_file, each_document, located};
use crate::findings::Findings;
use crate::{Error, Result};

/// A corpus that need not fit into memory: checked completely once, and then read in batches.
#[derive(Debug)]
pub struct CorpusFile<'a> {
    path: PathBuf,
    wanted: Wanted<'a>,
    count: usize,
}

impl<'a> CorpusFile<'a> {
    /// Reads the whole corpus like [`read_corpus`](crate::read_corpus), and keeps only the number of documents.
    ///
    /// # Errors
    /// Those of [`read_corpus`](crate::read_corpus).
    pub fn open(path: &Path, axis: Option<&'a Axis>, progress: &dyn Progress) -> Result<Self> {
        let wanted = Wanted { axis, empty_texts: false };
        let path = corpus_file(path, wanted)?;
        let mut findings = Findings::reading(&path);
        let mut count = 0;
        each_document(&path, wanted, &mut findings, |_| {
            count += 1;
            Ok(())
        })?;
        findings.say(progress);
        if count == 0 {
            return Err(located(&path, ragbias_core::Error::Empty("corpus")));
        }
        Ok(Self { path, wanted, count })
    }

    /// Number of documents, at least one.
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Calls `each` with all documents in order, in batches of `batch` documents; the last may be smaller.
    ///
    /// # Errors
    /// Those of `each`, and a file that has changed in the meantime.
    pub fn each_batch<E: From<Error>>(
        &self,
        batch: usize,
        mut each: impl FnMut(Vec<Document>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let changed =
            || Error::File { path: self.path.clone(), reason: "it changed while it was read".into() };
        let (mut gathered, mut read, mut failed) = (Vec::new(), 0, None);
        let mut findings = Findings::reading(&self.path);
        let all = each_document(&self.path, self.wanted, &mut findings, |document| {
            gathered.push(document);
            read += 1;
            if gathered.len() < batch {
                return Ok(());
            }
            each(std::mem::take(&mut gathered)).map_err(|error| {
                failed = Some(error);
                changed()
            })
        });
        match failed {
            Some(error) => return Err(error),
            None => all?,
        }
        if read != self.count {
            return Err(changed().into());
        }
        if gathered.is_empty() { Ok(()) } else { each(gathered) }
    }
}
