mod stream;
mod twin_columns;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ragbias_core::{Axis, Corpus, Document, Progress};
use serde_json::{Map, Value};

use crate::axis::check_labels;
use crate::findings::{Findings, Place};
use crate::ids::Ids;
use crate::json::{check_key, check_rest, each_object, take, text_or_number, written};
use crate::lines::Lines;
use crate::names::{Likeness, likeness};
use crate::source::{Format, file_of, format};
use crate::table::Table;
use crate::text::shown;
use crate::{Error, Result, layout, read_text};

pub use stream::CorpusFile;
use twin_columns::TwinColumns;

/// Reads a corpus: BEIR JSONL, a table with a `text` column, or a published set's own layout.
///
/// For a folder, its `corpus.*` or its Parquet files are read. In a table, `_id` (or `id`), `title` and `lean` are used if
/// present, and with a column `pair` also those of twins, `name` and `draw`; without an id, the row number is used, from 0. Gold labels are −1, 0 or 1 in any spelling, or with an `axis` the names
/// of its poles. Surprising interpretations are reported; `docs/formats.md` has the rules.
///
/// # Errors
/// Unreadable files, and with their line or row: malformed records, fields that resemble an expected one, a duplicate `_id`,
/// documents without text, labels that are not leans.
pub fn read_corpus(path: &Path, axis: Option<&Axis>, progress: &dyn Progress) -> Result<Corpus> {
    read_as(path, Wanted { axis, empty_texts: false }, progress)
}

/// Reads a corpus like [`read_corpus`], but accepts documents without text: see [`Corpus::allowing_empty_texts`].
///
/// # Errors
/// Those of [`read_corpus`], except for documents without text.
pub fn read_corpus_allowing_empty_texts(path: &Path, progress: &dyn Progress) -> Result<Corpus> {
    read_as(path, Wanted { axis: None, empty_texts: true }, progress)
}

/// The same with labels on an axis.
pub(crate) fn read_corpus_on(path: &Path, axis: Option<&Axis>, progress: &dyn Progress) -> Result<Corpus> {
    read_as(path, Wanted { axis, empty_texts: true }, progress)
}

/// How a corpus is read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    /// The axis of the labels, if known.
    pub(crate) axis: Option<&'a Axis>,
    /// Whether documents may have no text.
    pub(crate) empty_texts: bool,
}

fn read_as(path: &Path, wanted: Wanted<'_>, progress: &dyn Progress) -> Result<Corpus> {
    let path = corpus_file(path, wanted)?;
    let mut findings = Findings::reading(&path);
    let documents = documents_of_file(&path, wanted, &mut findings)?;
    findings.say(progress);
    corpus(&path, documents, wanted)
}

/// The file of a corpus; refuses labels of another axis as far as its folder reveals it.
fn corpus_file(path: &Path, wanted: Wanted<'_>) -> Result<PathBuf> {
    if let Some(axis) = wanted.axis {
        check_manifest(&path.join("manifest.toml"), axis)?;
    }
    file_of(path, &["corpus"])
}

/// Refuses the labels of a folder whose manifest names another axis.
fn check_manifest(manifest: &Path, axis: &Axis) -> Result<()> {
    if !manifest.is_file() {
        return Ok(());
    }
    let table: toml::Table = toml::from_str(&read_text(manifest)?)
        .map_err(|source| Error::Toml { path: manifest.into(), source: Box::new(source) })?;
    match table.get("axis").and_then(toml::Value::as_str) {
        Some(labelled) => check_labels(manifest, labelled, axis),
        None => Ok(()),
    }
}

fn corpus(path: &Path, documents: Vec<Document>, wanted: Wanted<'_>) -> Result<Corpus> {
    let corpus =
        if wanted.empty_texts { Corpus::allowing_empty_texts(documents) } else { Corpus::new(documents) };
    corpus.map_err(|error| located(path, error))
}

/// The corpus in a JSONL text in memory.
pub(crate) fn parse_corpus(path: &Path, text: &str) -> Result<Corpus> {
    let mut findings = Findings::reading(path);
    let wanted = Wanted::default();
    let mut read = Vec::new();
    let mut documents = Documents::new(wanted, |document| {
        read.push(document);
        Ok(())
    });
    documents.read_json(&mut Lines::of_text(path, text), &mut findings)?;
    documents.finish(&mut findings);
    corpus(path, read, wanted)
}

/// All documents of a file of any layout.
pub(crate) fn documents_of_file(
    path: &Path,
    wanted: Wanted<'_>,
    findings: &mut Findings,
) -> Result<Vec<Document>> {
    let mut read = Vec::new();
    each_document(path, wanted, findings, |document| {
        read.push(document);
        Ok(())
    })?;
    Ok(read)
}

/// Calls `each` with every document of a file of any layout.
pub(crate) fn each_document(
    path: &Path,
    wanted: Wanted<'_>,
    findings: &mut Findings,
    each: impl FnMut(Document) -> Result<()>,
) -> Result<()> {
    let mut documents = Documents::new(wanted, each);
    documents.read_file(path, findings)?;
    documents.finish(findings);
    Ok(())
}

/// The line, or the row of a Parquet file, of every document of a file, by id.
pub(crate) fn places_of_documents(path: &Path) -> Result<HashMap<String, usize>> {
    let mut findings = Findings::reading(path);
    let mut documents = Documents::new(Wanted { axis: None, empty_texts: true }, |_| Ok(()));
    documents.read_file(path, &mut findings)?;
    Ok(documents.ids.into_lines())
}

/// The documents read so far.
struct Documents<'a, E> {
    wanted: Wanted<'a>,
    ids: Ids,
    each: E,
    count: usize,
    labelled: usize,
}

impl<'a, E: FnMut(Document) -> Result<()>> Documents<'a, E> {
    fn new(wanted: Wanted<'a>, each: E) -> Self {
        Self { wanted, ids: Ids::default(), each, count: 0, labelled: 0 }
    }

    fn read_file(&mut self, path: &Path, findings: &mut Findings) -> Result<()> {
        if format(path)? == Format::JsonLines {
            return self.read_json(&mut Lines::open(path)?, findings);
        }
        let table = Table::open(path)?;
        let Some(layout) = layout::detect(&table) else { return self.read_table(&table, findings) };
        if let Some(axis) = self.wanted.axis {
            check_labels(path, layout.axis(), axis)?;
        }
        layout.documents(&table, findings, |place, document, findings| self.push(place, document, findings))
    }

    fn read_json(&mut self, lines: &mut Lines<'_>, findings: &mut Findings) -> Result<()> {
        each_object(lines, findings, |place, object, findings| match document(object, place, findings)? {
            Some(document) => self.push(place, document, findings),
            None => Ok(()),
        })
    }

    fn read_table(&mut self, table: &Table, findings: &mut Findings) -> Result<()> {
        if !table.has("text") {
            return Err(table.columns_error("a `text` column, or the columns of a known data set"));
        }
        let twins = TwinColumns::of(table)?;
        let known = ["_id", "id", "title", "text", "lean", "metadata.lean"].into_iter().chain(twins.known());
        table.check_names(&known.collect::<Vec<_>>(), findings);
        if table.has("lean") && table.has("metadata.lean") {
            return Err(table.columns_error("one column of labels, `lean` or `metadata.lean`"));
        }
        let id = ["_id", "id"].into_iter().find(|name| table.has(name));
        let mut row = 0;
        let names = [
            id.unwrap_or("_id"),
            "title",
            "text",
            "lean",
            "metadata.lean",
            twins.pair,
            twins.draw,
            twins.name,
        ];
        table.each_row(
            names,
            findings,
            |place, [own, title, text, lean, nested, pair, draw, name], findings| {
                let mut document =
                    Document::new(if id.is_some() { own.text } else { row.to_string() }, text.text);
                row += 1;
                document.title = Some(title.text).filter(|title| !title.is_empty());
                let label = if lean.text.trim().is_empty() { nested.text } else { lean.text };
                if !label.trim().is_empty() {
                    document.metadata.insert("lean".into(), label.into());
                }
                if let Err(reason) = twins.add(&mut document, [&pair.text, &draw.text, &name.text]) {
                    return findings.wrong(place, reason);
                }
                self.push(place, document, findings)
            },
        )
    }

    fn push(&mut self, place: Place, mut document: Document, findings: &mut Findings) -> Result<()> {
        let Some(id) = self.ids.take(&document.id, place, findings)? else { return Ok(()) };
        document.id = id;
        if !self.wanted.empty_texts && !document.has_text() {
            return findings.wrong(place, format!("document `{}` has no text", shown(&document.id)));
        }
        if let Err(reason) = label(&mut document, self.wanted.axis) {
            return findings.wrong(place, reason);
        }
        self.count += 1;
        self.labelled += usize::from(document.metadata.contains_key("lean"));
        (self.each)(document)
    }

    fn finish(self, findings: &mut Findings) {
        let Self { count, labelled, .. } = self;
        if self.wanted.axis.is_some() && labelled > 0 && labelled < count {
            findings.note_of_file(format!("{labelled} of {count} documents have a gold label"));
        }
    }
}

/// Replaces the gold label by a number; a word is kept if no axis gives its meaning.
fn label(document: &mut Document, axis: Option<&Axis>) -> Result<(), String> {
    let Some(value) = document.metadata.get("lean") else { return Ok(()) };
    let received = match value {
        Value::String(text) => format!("`{}`", shown(text)),
        other => written(other),
    };
    let read = match axis {
        Some(axis) => document.label_on(axis),
        None => match document.gold_lean() {
            Ok(Some(lean)) => {
                document.metadata.insert("lean".into(), i64::from(lean).into());
                Ok(())
            }
            Ok(None) => {
                document.metadata.remove("lean");
                Ok(())
            }
            Err(_) if value.as_str().is_some_and(|text| text.starts_with(char::is_alphabetic)) => Ok(()),
            Err(error) => Err(error),
        },
    };
    read.map_err(|_| {
        let poles = axis.map_or_else(
            || "the name of a pole".to_owned(),
            |axis| format!("{}, {}", axis.negative.name, axis.positive.name),
        );
        format!("lean: expected -1, 0, 1, {poles} or nothing, received {received}")
    })
}

/// The document in an object; none if the object has a problem and the reader continues.
fn document(
    mut object: Map<String, Value>,
    place: Place,
    findings: &mut Findings,
) -> Result<Option<Document>> {
    let absent: Vec<&str> =
        ["title", "text", "metadata"].into_iter().filter(|key| !object.contains_key(*key)).collect();
    let document = match parts(&mut object) {
        Ok(document) => document,
        Err(reason) => {
            findings.wrong(place, reason)?;
            return Ok(None);
        }
    };
    check_rest(&object, &absent, place, findings)?;
    // A corpus of twins has labels and pairs, and may have draws.
    let has = |key: &str| document.metadata.contains_key(key);
    let expected = match (has("lean"), has("pair"), has("draw")) {
        (false, ..) => Some("lean"),
        (true, false, _) => Some("pair"),
        (true, true, false) => Some("draw"),
        (true, true, true) => None,
    };
    for key in document.metadata.keys() {
        check_key(key, "metadata.", expected.into_iter(), place, findings)?;
    }
    Ok(Some(document))
}

/// Takes the fields of a document out of an object.
fn parts(object: &mut Map<String, Value>) -> Result<Document, String> {
    let id = take_id(object)?;
    let title =
        take(object, "title").map(text_or_number).transpose().map_err(|reason| format!("title: {reason}"))?;
    let text = take_text(object)?;
    let metadata = match take(object, "metadata") {
        None => Map::new(),
        Some(Value::Object(metadata)) => metadata,
        Some(other) => {
            return Err(format!("metadata: expected an object {{…}}, received {}", written(&other)));
        }
    };
    if let Some((key, _)) =
        object.iter().find(|(key, value)| likeness(key, "lean") == Likeness::Spelling && !value.is_null())
    {
        let reason = "expected it in `metadata`\nhint: a label is \"metadata\": {\"lean\": 1}";
        return Err(format!("the field `{}`: {reason}", shown(key)));
    }
    Ok(Document { id, title: title.filter(|title| !title.is_empty()), text, metadata })
}

/// The `text` of an object; null is the same as absent.
pub(crate) fn take_text(object: &mut Map<String, Value>) -> Result<String, String> {
    match object.remove("text") {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Null) => Ok(String::new()),
        Some(other) => Err(format!("text: expected a text, received {}", written(&other))),
        None => Err(missing("text", object)),
    }
}

/// The `_id` of an object, or its `id`.
pub(crate) fn take_id(object: &mut Map<String, Value>) -> Result<String, String> {
    let value = take(object, "_id").or_else(|| take(object, "id"));
    let value = value.ok_or_else(|| missing("_id", object))?;
    text_or_number(value).map_err(|reason| format!("_id: {reason}"))
}

/// Reports that a field is missing, and which fields are present.
pub(crate) fn missing(field: &str, object: &Map<String, Value>) -> String {
    let there: Vec<String> = object.keys().take(20).map(|key| shown(key).to_string()).collect();
    let there = if there.is_empty() { "none other".to_owned() } else { there.join(", ") };
    format!("missing field `{field}`; there are {there}")
}

pub(crate) fn located(path: &Path, error: ragbias_core::Error) -> Error {
    Error::File { path: path.into(), reason: error.to_string() }
}

#[cfg(test)]
mod tests;
