//! What is wrong with a data set as a whole: questions, documents and judgements together.

mod balance;
mod finding;
mod links;
mod minhash;
mod repeated;
mod subject;

use std::path::Path;

use ragbias_core::Progress;
use serde::Serialize;

pub use balance::{Balance, Lengths};
pub use finding::{Finding, Severity};

use self::finding::Findings;
use self::subject::Subject;
use crate::{Dataset, Result};

/// The result of checking a data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckedSet {
    /// Its name.
    pub name: String,
    /// The axis of its labels, if a manifest or the layout says which.
    pub axis: Option<String>,
    /// Number of questions.
    pub questions: usize,
    /// Number of documents.
    pub documents: usize,
    /// The poles of the relevant documents, by split.
    pub splits: Vec<Balance>,
    /// The same by topic, most one-sided first.
    pub topics: Vec<Balance>,
    /// Words per document, by pole.
    pub lengths: Option<Lengths>,
    /// Everything found, errors first.
    pub findings: Vec<Finding>,
}

impl CheckedSet {
    /// Whether a finding is an error.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// Checks the data set in a folder: one with a `manifest.toml`, or a folder of BEIR, whose splits are the files in `qrels`.
///
/// What is found: poles out of balance by split and topic; the same question, or nearly the same, and passages that are nearly the
/// same, in two splits; a topic or a question in two splits; duplicates; questions without a relevant document, and judged documents
/// that do not exist; documents that no question asks for; poles whose documents differ in length.
///
/// # Errors
/// Files that cannot be read: `check` lists their problems.
pub fn check_folder(folder: &Path, progress: &dyn Progress) -> Result<CheckedSet> {
    Ok(checked(&Subject::in_folder(folder, progress)?, progress))
}

/// Checks a data set that was read; lines are those of the files that [`Dataset::write`] writes, below `place`.
pub fn check_dataset(dataset: &Dataset, place: &str, progress: &dyn Progress) -> CheckedSet {
    checked(&Subject::of_dataset(dataset, place), progress)
}

fn checked(subject: &Subject, progress: &dyn Progress) -> CheckedSet {
    let mut findings = Findings::default();
    links::check(subject, &mut findings);
    let (splits, topics) = balance::check(subject, &mut findings);
    let lengths = balance::check_lengths(subject, &mut findings);
    repeated::check(subject, &mut findings, progress);
    CheckedSet {
        name: subject.name.clone(),
        axis: subject.axis.clone(),
        questions: subject.questions.len(),
        documents: subject.corpus.len(),
        splits,
        topics,
        lengths,
        findings: findings.sorted(),
    }
}

#[cfg(test)]
mod tests;
