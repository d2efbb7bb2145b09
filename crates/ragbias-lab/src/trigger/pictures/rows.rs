//! The file of questions with pictures.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ragbias::core::{Axis, ContentHasher, Document, Question};
use ragbias::data::{Split, read_text};
use ragbias::embed::Picture;
use ragbias::tune::Towards;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::trigger::contests::{Contested, Contests};

/// A line: a question, its split, and a picture for each pole, beside the file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Row {
    question: String,
    #[serde(default)]
    topic: Option<String>,
    split: Split,
    /// By the name of the pole.
    #[serde(flatten)]
    pictures: BTreeMap<String, PathBuf>,
}

/// A row whose pictures are those of the poles.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PictureRow {
    question: Question,
    split: Split,
    pole: PathBuf,
    other: PathBuf,
}

/// Reads the file, and checks that every picture is there.
pub(super) fn read(path: &Path, axis: &Axis, towards: Towards) -> Result<Vec<PictureRow>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let text = read_text(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let rows = lines.map(|(number, line)| {
        let fail = |reason: String| Error::Pictures { path: path.into(), line: number + 1, reason };
        let Row { question, topic, split, mut pictures } =
            serde_json::from_str(line).map_err(|error| fail(error.to_string()))?;
        if question.trim().is_empty() {
            return Err(fail("the question is empty".into()));
        }
        let mut picture = |pole: &str| {
            let own = pictures
                .remove(pole)
                .ok_or_else(|| fail(format!("no picture under {pole}, a pole of {}", axis.name)))?;
            let own = folder.join(own);
            if own.is_file() { Ok(own) } else { Err(fail(format!("{}: no such file", own.display()))) }
        };
        let (negative, positive) = (picture(&axis.negative.name)?, picture(&axis.positive.name)?);
        if let Some(key) = pictures.keys().next() {
            let expected =
                format!("question, topic, split, {} or {}", axis.negative.name, axis.positive.name);
            return Err(fail(format!("a key is {key}, expected {expected}")));
        }
        if !matches!(split, Split::Train | Split::Test) {
            return Err(fail("the split is neither train nor test".into()));
        }
        let (pole, other) = match towards {
            Towards::Positive => (positive, negative),
            Towards::Negative => (negative, positive),
        };
        let question = Question { id: format!("line {}", number + 1), text: question, topic, choices: None };
        Ok(PictureRow { question, split, pole, other })
    });
    let rows: Vec<PictureRow> = rows.collect::<Result<_>>()?;
    let topics = |split| rows.iter().filter(move |row| row.split == split).map(|row| row.question.cluster());
    let training: BTreeSet<&str> = topics(Split::Train).collect();
    match topics(Split::Test).find(|topic| training.contains(topic)) {
        Some(topic) => Err(Error::BothSplits { path: path.into(), topic: topic.into() }),
        None => Ok(rows),
    }
}

/// The contests of a split, and their pictures by document, as squares.
pub(super) fn contests(
    rows: &[PictureRow],
    split: Split,
    side: usize,
) -> Result<(Contests, BTreeMap<String, Picture>)> {
    let mut shown: BTreeMap<String, Picture> = BTreeMap::new();
    let mut document = |path: &Path| -> Result<Document> {
        let id = path.to_string_lossy().into_owned();
        if !shown.contains_key(&id) {
            shown.insert(id.clone(), Picture::read(path)?.square(side));
        }
        // The text of a picture is its hash, so that what is kept is that of these pictures.
        let text = ContentHasher::new("picture/1").field(shown[&id].values()).finish();
        Ok(Document::new(id, text.to_string()))
    };
    let mut contested = Vec::new();
    for row in rows.iter().filter(|row| row.split == split) {
        let (pole, other) = (document(&row.pole)?, document(&row.other)?);
        let grades = [&pole, &other].map(|document| (document.id.clone(), 1)).into();
        contested.push(Contested { question: row.question.clone(), pole, other, grades });
    }
    if contested.len() < 2 {
        let what = "questions of each split with pictures";
        return Err(Error::TooFew { what, expected: 2, received: contested.len() });
    }
    Ok((Contests::new(contested), shown))
}

#[cfg(test)]
mod tests {
    use ragbias::data::load_axis;

    use super::*;

    #[test]
    fn a_line_that_says_something_else_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        for name in ["a.png", "b.png"] {
            fs_err::write(folder.path().join(name), "").unwrap();
        }
        let axis = load_axis("gender").unwrap();
        let good =
            r#"{"question": "Who?", "topic": "t", "split": "test", "female": "a.png", "male": "b.png"}"#;
        let read = |line: &str| {
            fs_err::write(&path, format!("{good}\n\n{line}\n")).unwrap();
            read(&path, &axis, Towards::Negative)
        };
        let rows = read(good).unwrap();
        let poles = if axis.negative.name == "female" { ["a.png", "b.png"] } else { ["b.png", "a.png"] };
        assert_eq!([&rows[1].pole, &rows[1].other], poles.map(|name| folder.path().join(name)).each_ref());
        assert_eq!((rows.len(), rows[1].question.id.as_str()), (2, "line 3"));
        let wrong = [
            (r#"{"question": "Who?", "split": "test", "female": "a.png"}"#, "no picture under male"),
            (
                r#"{"question": "Who?", "split": "test", "female": "a.png", "male": "c.png"}"#,
                "c.png: no such file",
            ),
            (
                r#"{"question": "Who?", "split": "all", "female": "a.png", "male": "b.png"}"#,
                "neither train nor test",
            ),
            (r#"{"question": "Who?", "split": "dev", "female": "a.png", "male": "b.png"}"#, "dev"),
            (r#"{"question": " ", "split": "test", "female": "a.png", "male": "b.png"}"#, "empty"),
            (
                r#"{"question": "Who?", "split": "test", "female": "a.png", "male": "b.png", "weight": "2"}"#,
                "weight",
            ),
        ];
        for (line, reason) in wrong {
            let error = read(line).unwrap_err().to_string();
            assert!(
                error.contains("rows.jsonl") && error.contains("line 3") && error.contains(reason),
                "{error}"
            );
        }
        let error = read(&good.replace("test", "train")).unwrap_err().to_string();
        assert!(error.contains("topic t"), "{error}");
    }
}
