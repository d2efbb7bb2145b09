use std::path::Path;

use ragbias_core::{Corpus, Document, Lean};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::table::{TextTable, extension};
use crate::{Error, Result, layout};

/// Reads a corpus: BEIR JSONL, a table with a `text` column, or a published set's own layout.
///
/// A folder stands for its `corpus.jsonl`. In a table, `_id` (or `id`), `title` and `lean` are used where present;
/// without an id, the row number is it.
///
/// # Errors
/// Unreadable files, malformed lines (with their number), and what [`Corpus::new`] refuses, with the file's name.
pub fn read_corpus(path: &Path) -> Result<Corpus> {
    read_as(path, Corpus::new)
}

/// Reads a corpus as [`read_corpus`] does, and lets documents without text in: see [`Corpus::allowing_empty_texts`].
///
/// # Errors
/// Those of [`read_corpus`], but for a document without text.
pub fn read_corpus_allowing_empty_texts(path: &Path) -> Result<Corpus> {
    read_as(path, Corpus::allowing_empty_texts)
}

fn read_as(path: &Path, corpus: fn(Vec<Document>) -> ragbias_core::Result<Corpus>) -> Result<Corpus> {
    let folder_file = path.join("corpus.jsonl");
    let path = if folder_file.is_file() { &folder_file } else { path };
    let documents = match extension(path) {
        "jsonl" => read_jsonl(path)?,
        "csv" | "parquet" => {
            let table = TextTable::read(path)?;
            match layout::detect(&table) {
                Some(layout) => layout.documents(&table)?,
                None => documents_of(&table)?,
            }
        }
        _ => return Err(Error::Extension { path: path.into(), expected: ".jsonl, .csv or .parquet" }),
    };
    corpus(documents).map_err(|error| located(path, error))
}

/// Everything that is wrong with a corpus file, by line, rather than the first thing alone.
///
/// # Errors
/// Only where the file cannot be read at all.
pub fn check_corpus(path: &Path) -> Result<Vec<String>> {
    let text = fs_err::read_to_string(path)?;
    let mut problems = Vec::new();
    let mut seen = std::collections::HashMap::new();
    for (line, content) in lines(&text) {
        let document: Document = match serde_json::from_str(content) {
            Ok(document) => document,
            Err(error) => {
                problems.push(format!("{line}: {}", json_reason(&error)));
                continue;
            }
        };
        if document.text.trim().is_empty() {
            problems.push(format!("{line}: document `{}` has no text", document.id));
        }
        if let Err(error) = document.gold_lean() {
            problems.push(format!("{line}: metadata.lean: {error}"));
        }
        if let Some(first) = seen.insert(document.id.clone(), line) {
            problems.push(format!("{line}: _id `{}` was already used in line {first}", document.id));
        }
    }
    if seen.is_empty() && problems.is_empty() {
        problems.push("1: the file has no document".into());
    }
    Ok(problems)
}

/// One record of a type per line; empty lines are passed over.
pub(crate) fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    parse_jsonl(path, &fs_err::read_to_string(path)?)
}

pub(crate) fn parse_jsonl<T: DeserializeOwned>(path: &Path, text: &str) -> Result<Vec<T>> {
    lines(text)
        .map(|(line, content)| {
            serde_json::from_str(content).map_err(|error| Error::Line {
                path: path.into(),
                line,
                reason: json_reason(&error),
            })
        })
        .collect()
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(|(i, line)| (i + 1, line))
}

/// serde's message without its own "at line 1": a record is one line, whose number we say ourselves.
fn json_reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or(&text);
    format!("{reason} (column {})", error.column())
}

fn documents_of(table: &TextTable) -> Result<Vec<Document>> {
    if !table.has("text") {
        return Err(table.columns_error("a `text` column, or the columns of a known data set"));
    }
    let texts = table.column("text")?;
    let ids = match table.optional("_id")? {
        Some(ids) => Some(ids),
        None => table.optional("id")?,
    };
    let titles = table.optional("title")?;
    let leans = table.optional("lean")?;
    (texts.into_iter().enumerate())
        .map(|(row, text)| {
            let id = ids.as_ref().map_or_else(|| row.to_string(), |ids| ids[row].clone());
            let mut metadata = Map::new();
            if let Some(lean) = leans.as_ref().map(|leans| leans[row].as_str()).filter(|l| !l.is_empty()) {
                let number = lean.parse::<i64>().map_or_else(|_| Value::from(lean), Value::from);
                metadata.insert("lean".into(), number);
            }
            let title = titles.as_ref().map(|titles| titles[row].clone()).filter(|t| !t.is_empty());
            Ok(Document { id, title, text, metadata })
        })
        .collect()
}

/// A document with a gold label.
pub(crate) fn labelled(id: String, text: String, lean: Lean, topic: Option<&str>) -> Document {
    let mut document = Document::new(id, text);
    document.metadata.insert("lean".into(), i64::from(lean).into());
    if let Some(topic) = topic {
        document.metadata.insert("topic".into(), topic.into());
    }
    document
}

pub(crate) fn located(path: &Path, error: ragbias_core::Error) -> Error {
    Error::File { path: path.into(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs_err::write(&path, text).unwrap();
        (folder, path)
    }

    fn message<T: std::fmt::Debug>(result: Result<T>, path: &Path) -> String {
        result.unwrap_err().to_string().replace(path.to_str().unwrap(), "FILE")
    }

    #[test]
    fn bad_json_is_reported_with_its_line() {
        let (_folder, path) =
            file("c.jsonl", "{\"_id\":\"a\",\"text\":\"x\"}\n\n{\"_id\":\"b\",\"text\":}\n");
        assert_eq!(message(read_corpus(&path), &path), "FILE:3: expected value (column 19)");
    }

    #[test]
    fn a_document_without_text_field_is_reported_with_its_line() {
        let (_folder, path) = file("c.jsonl", "{\"_id\":\"a\"}\n");
        assert_eq!(message(read_corpus(&path), &path), "FILE:1: missing field `text` (column 11)");
    }

    #[test]
    fn duplicates_and_empty_texts_are_refused_with_the_file() {
        let (_folder, path) =
            file("c.jsonl", "{\"_id\":\"a\",\"text\":\"x\"}\n{\"_id\":\"a\",\"text\":\"y\"}\n");
        let error = message(read_corpus(&path), &path);
        assert!(error.starts_with("FILE: document `a` occurs twice"), "{error}");
        let (_folder, path) = file("c.jsonl", "{\"_id\":\"a\",\"text\":\" \"}\n");
        assert_eq!(message(read_corpus(&path), &path), "FILE: document `a` has no text");
        let (_folder, path) = file("c.jsonl", "\n");
        assert_eq!(message(read_corpus(&path), &path), "FILE: the corpus is empty");
    }

    #[test]
    fn check_lists_every_problem_by_line() {
        let text = "{\"_id\":\"a\",\"text\":\"\"}\nnot json\n{\"_id\":\"a\",\"text\":\"x\",\"metadata\":{\"lean\":3}}\n";
        let (_folder, path) = file("c.jsonl", text);
        let problems = check_corpus(&path).unwrap();
        assert_eq!(
            problems,
            [
                "1: document `a` has no text",
                "2: expected ident (column 2)",
                "3: metadata.lean: a lean is -1, 0 or 1; received 3",
                "3: _id `a` was already used in line 1",
            ]
        );
    }

    #[test]
    fn a_table_with_text_and_lean_is_a_corpus() {
        let (_folder, path) = file("c.csv", "id,text,lean\nx,\"a, b\",1\ny,c,\n");
        let corpus = read_corpus(&path).unwrap();
        assert_eq!(corpus.documents()[0].text, "a, b");
        assert_eq!(corpus.documents()[0].gold_lean().unwrap(), Some(Lean::Positive));
        assert_eq!(corpus.documents()[1].gold_lean().unwrap(), None);
        let (_folder, path) = file("c.csv", "a,b\n1,2\n");
        let error = message(read_corpus(&path), &path);
        assert!(error.ends_with("its columns are a, b"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_corpus(Path::new("no/such.jsonl")).unwrap_err().to_string();
        assert!(error.contains("no/such.jsonl"), "{error}");
    }
}
