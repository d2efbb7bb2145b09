use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Maximum number of findings of one kind; the rest are counted.
const MOST: usize = 20;

/// Something found in a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// Its kind, such as `leak` or `balance`.
    pub kind: &'static str,
    /// The file.
    pub file: String,
    /// The line in it, or the row of a Parquet file, from 1; none for the whole file.
    pub line: Option<usize>,
    /// What was found.
    pub message: String,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Figures measured on the set are wrong, or are not what they are called.
    Error,
    /// Figures may be biased by it, or narrower intervals than deserved may come of it.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// `error`, `warning` or `note`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A place in the files of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct At {
    pub(super) file: String,
    pub(super) line: Option<usize>,
}

/// The findings so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    all: Vec<Finding>,
    /// How many of a kind and severity there were.
    counts: BTreeMap<(Severity, &'static str), usize>,
}

impl Findings {
    pub(super) fn error(&mut self, kind: &'static str, at: At, message: String) {
        self.add(Severity::Error, kind, at, message);
    }

    pub(super) fn warning(&mut self, kind: &'static str, at: At, message: String) {
        self.add(Severity::Warning, kind, at, message);
    }

    pub(super) fn note(&mut self, kind: &'static str, at: At, message: String) {
        self.add(Severity::Note, kind, at, message);
    }

    fn add(&mut self, severity: Severity, kind: &'static str, at: At, message: String) {
        let count = self.counts.entry((severity, kind)).or_default();
        *count += 1;
        if *count <= MOST {
            self.all.push(Finding { severity, kind, file: at.file, line: at.line, message });
        }
    }

    /// All of them, errors first; of more than 20 of a kind, the rest are counted in the file of the last.
    pub(super) fn sorted(self) -> Vec<Finding> {
        let Self { mut all, counts } = self;
        for ((severity, kind), count) in counts {
            let last = all.iter().rev().find(|finding| finding.severity == severity && finding.kind == kind);
            if let (Some(file), true) = (last.map(|last| last.file.clone()), count > MOST) {
                let message = format!("{} more of this kind, {count} in all", count - MOST);
                all.push(Finding { severity, kind, file, line: None, message });
            }
        }
        all.sort_by_key(|finding| (finding.severity, finding.kind));
        all
    }
}
