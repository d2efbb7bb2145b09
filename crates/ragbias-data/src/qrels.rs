use std::collections::BTreeMap;
use std::path::Path;

use crate::{Error, Result};

/// Relevance judgements: question id → document id → grade. Grades of 0 and below are judged and not relevant.
pub type Qrels = BTreeMap<String, BTreeMap<String, i64>>;

/// Reads BEIR's `query-id TAB corpus-id TAB score`, with or without its header line.
///
/// # Errors
/// A line with another number of fields, or a grade that is no whole number, with its number.
pub fn read_qrels(path: &Path) -> Result<Qrels> {
    parse_qrels(path, &fs_err::read_to_string(path)?)
}

pub(crate) fn parse_qrels(path: &Path, text: &str) -> Result<Qrels> {
    let mut qrels = Qrels::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || (number == 0 && line.starts_with("query-id")) {
            continue;
        }
        let wrong = |reason: String| Error::Line { path: path.into(), line: number + 1, reason };
        let fields: Vec<_> = line.split('\t').collect();
        let &[question, document, grade] = fields.as_slice() else {
            return Err(wrong(format!(
                "expected 3 fields with tabs between them, received {}",
                fields.len()
            )));
        };
        let grade = grade.trim().parse().map_err(|_| wrong(format!("`{grade}` is no whole number")))?;
        qrels.entry(question.into()).or_default().insert(document.into(), grade);
    }
    Ok(qrels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judgements_are_read_and_a_bad_line_is_numbered() {
        let qrels =
            parse_qrels(Path::new("q"), "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n").unwrap();
        assert_eq!(qrels["q1"]["d1"], 2);
        let error = parse_qrels(Path::new("q.tsv"), "q1\td1\t1\nq1 d2 1\n").unwrap_err();
        assert_eq!(error.to_string(), "q.tsv:2: expected 3 fields with tabs between them, received 1");
    }
}
