use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::table::extension;
use crate::{Error, Result};

/// Relevance judgements: question id → document id → grade. Grades of 0 and below are judged and not relevant.
pub type Qrels = BTreeMap<String, BTreeMap<String, i64>>;

/// Reads BEIR's `query-id TAB corpus-id TAB score`, with or without its header line.
///
/// A folder stands for its `qrels.tsv`, else for the `test.tsv` or the only `.tsv` in its `qrels`, or in itself.
///
/// # Errors
/// A folder without judgements, or with several files of them and none called `test.tsv`; a line with another number of
/// fields, or a grade that is no whole number, with its number.
pub fn read_qrels(path: &Path) -> Result<Qrels> {
    let file = if path.is_dir() { in_folder(path)? } else { path.into() };
    parse_qrels(&file, &fs_err::read_to_string(&file)?)
}

fn in_folder(folder: &Path) -> Result<PathBuf> {
    let own = folder.join("qrels.tsv");
    if own.is_file() {
        return Ok(own);
    }
    let inner = folder.join("qrels");
    let folder = if inner.is_dir() { &inner } else { folder };
    let test = folder.join("test.tsv");
    if test.is_file() {
        return Ok(test);
    }
    let mut files = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if extension(&path) == "tsv" {
            files.push(path);
        }
    }
    files.sort();
    match files.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Error::File {
            path: folder.into(),
            reason: "expected judgements in qrels/test.tsv or qrels.tsv, found none\nhint: --qrels FILE names them".into(),
        }),
        several => {
            let names: Vec<_> = several.iter().filter_map(|file| file.file_name()?.to_str()).collect();
            let reason = format!(
                "expected test.tsv or one file of judgements, found {}\nhint: --qrels FILE names one of them",
                names.join(", ")
            );
            Err(Error::File { path: folder.into(), reason })
        }
    }
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

    #[test]
    fn a_beir_folder_stands_for_its_judgements_where_they_are_beyond_doubt() {
        let folder = tempfile::tempdir().unwrap();
        let read = || read_qrels(folder.path()).map(|qrels| qrels.keys().cloned().collect::<Vec<_>>());
        let refused = || read().unwrap_err().to_string();
        assert!(refused().contains("found none\nhint: --qrels FILE"), "{}", refused());
        let write = |name: &str, question: &str| {
            fs_err::create_dir_all(folder.path().join("qrels")).unwrap();
            fs_err::write(folder.path().join(name), format!("{question}\td\t1\n")).unwrap();
        };
        write("qrels/dev.tsv", "dev");
        assert_eq!(read().unwrap(), ["dev"]);
        write("qrels/train.tsv", "train");
        assert!(refused().contains("found dev.tsv, train.tsv\nhint: --qrels FILE"), "{}", refused());
        write("qrels/test.tsv", "test");
        assert_eq!(read().unwrap(), ["test"]);
        assert_eq!(read_qrels(&folder.path().join("qrels")).unwrap(), read_qrels(folder.path()).unwrap());
    }
}
