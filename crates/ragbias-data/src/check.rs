use std::path::Path;

use serde::Serialize;

use crate::corpus::{Wanted, each_document};
use crate::findings::Findings;
use crate::lines::Lines;
use crate::measurement_table::{
    MEASUREMENT_COLUMNS, OUTCOME_COLUMNS, measurements_of_file, outcomes_of_file,
};
use crate::qrels::qrels_of;
use crate::questions::questions_of_file;
use crate::source::{Format, file_of, format};
use crate::table::Table;
use crate::{Error, Result};

/// The result of checking a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The kind of data that the file was taken for.
    pub kind: &'static str,
    /// Number of readable records.
    pub records: usize,
    /// Problems, each `LINE: reason`; a hundred at most.
    pub problems: Vec<String>,
    /// Notes on how values were interpreted, each `LINE: …`, or ` …` for the whole file.
    pub notes: Vec<String>,
}

/// The kinds of data in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Corpus,
    Questions,
    Qrels,
    Measurements,
    Outcomes,
}

/// Everything that is wrong with a file, by line, rather than only the first problem. The file may be a corpus, a question set,
/// judgements, or a table of measurements or outcomes, distinguished by fields, columns and extensions.
///
/// # Errors
/// Only if the file cannot be read at all.
pub fn check(path: &Path) -> Result<Checked> {
    let path = file_of(path, &["corpus"])?;
    let subject = subject(&path)?;
    let mut findings = Findings::collecting(&path);
    let read = match subject {
        Subject::Corpus => {
            let mut count = 0;
            let each = |_| {
                count += 1;
                Ok(())
            };
            each_document(&path, Wanted::default(), &mut findings, each).map(|()| count)
        }
        Subject::Questions => questions_of_file(&path, &mut findings).map(|questions| questions.len()),
        Subject::Qrels => Lines::open(&path)
            .and_then(|lines| qrels_of(lines, &mut findings))
            .map(|qrels| qrels.values().map(std::collections::BTreeMap::len).sum()),
        Subject::Measurements => measurements_of_file(&path, &mut findings).map(|rows| rows.len()),
        Subject::Outcomes => outcomes_of_file(&path, &mut findings).map(|rows| rows.len()),
    };
    let (mut problems, notes) = findings.into_parts();
    let records = match read {
        Ok(0) if problems.is_empty() => {
            problems.push(" the file has no record".into());
            0
        }
        Ok(records) => records,
        // An error that ends the reading is a problem too, listed after the others.
        Err(Error::Line { line, reason, .. }) => {
            problems.push(format!("{line}: {reason}"));
            0
        }
        Err(Error::Row { row, reason, .. }) => {
            problems.push(format!(" row {row}: {reason}"));
            0
        }
        Err(Error::File { reason, .. }) => {
            problems.push(format!(" {reason}"));
            0
        }
        Err(error) => return Err(error),
    };
    Ok(Checked { kind: subject.name(), records, problems, notes })
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Self::Corpus => "corpus",
            Self::Questions => "questions",
            Self::Qrels => "judgements",
            Self::Measurements => "measurements",
            Self::Outcomes => "outcomes",
        }
    }
}

fn subject(path: &Path) -> Result<Subject> {
    if format(path)? == Format::JsonLines {
        return Ok(if is_of_questions(path) { Subject::Questions } else { Subject::Corpus });
    }
    let table = Table::open(path)?;
    let has = |names: &[&str]| names.iter().all(|name| table.has(name));
    Ok(if has(&OUTCOME_COLUMNS) {
        Subject::Outcomes
    } else if has(&["embedder_bias"]) || has(&MEASUREMENT_COLUMNS) {
        Subject::Measurements
    } else if crate::layout::detect(&table).is_some() || !has(&["text"]) && table.columns().len() > 4 {
        Subject::Corpus
    } else if has(&["text"]) {
        let questions = ["topic", "negative", "positive"].iter().any(|name| table.has(name));
        if questions { Subject::Questions } else { Subject::Corpus }
    } else {
        Subject::Qrels
    })
}

/// Whether the first object has a field that only questions have, or the file is named like a question set.
fn is_of_questions(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if name.starts_with("queries") || name.starts_with("questions") {
        return true;
    }
    let first = Lines::open(path)
        .ok()
        .and_then(|mut lines| lines.next().ok().flatten().map(|line| line.text.to_owned()));
    let object: Option<serde_json::Map<String, serde_json::Value>> =
        first.and_then(|line| serde_json::from_str(&line).ok());
    object.is_some_and(|object| ["topic", "choices"].iter().any(|key| object.contains_key(*key)))
}
