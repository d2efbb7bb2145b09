//! The file of questions with pictures.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ragbias::core::{Axis, ContentHasher, Document, Question};
use ragbias::data::{Split, read_text};
use ragbias::embed::Picture;
use ragbias::tune::Towards;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::trigger::contests::{Contested, Contests};

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
    let text = read_text(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let rows: Vec<PictureRow> = lines
        .map(|(number, line)| {
            let fail = |reason| Error::Pictures { path: path.into(), line: number + 1, reason };
            let row = PictureRow::parse(line, path.parent().unwrap_or(Path::new("")), axis, towards);
            let row = row.map_err(fail)?;
            Ok(PictureRow {
                question: Question { id: format!("line {}", number + 1), ..row.question },
                ..row
            })
        })
        .collect::<Result<_>>()?;
    let of = |split, what: fn(&PictureRow) -> &str| -> BTreeSet<&str> {
        rows.iter().filter(|row| row.split == split).map(what).collect()
    };
    let topic: fn(&PictureRow) -> &str = |row| row.question.cluster();
    let question: fn(&PictureRow) -> &str = |row| &row.question.text;
    for (what, key) in [("topic", topic), ("question", question)] {
        if let Some(both) = of(Split::Train, key).intersection(&of(Split::Test, key)).next() {
            return Err(Error::BothSplits { path: path.into(), what, which: (*both).into() });
        }
    }
    Ok(rows)
}

impl PictureRow {
    fn parse(line: &str, folder: &Path, axis: &Axis, towards: Towards) -> Result<Self, String> {
        let mut row: Map<String, Value> = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let mut text = |key: &str| match row.remove(key) {
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(text),
            Some(other) => Err(format!("{key} is {other}, expected text")),
            None => Err(format!("no {key}")),
        };
        let (question, topic, split) = (text("question")?, text("topic")?, text("split")?);
        let split = match split.as_str() {
            "train" => Split::Train,
            "test" => Split::Test,
            other => return Err(format!("split is {other}, expected train or test")),
        };
        let mut picture = |pole: &str| {
            let path = folder.join(text(pole)?);
            if path.is_file() { Ok(path) } else { Err(format!("{}: no such file", path.display())) }
        };
        let (negative, positive) = (picture(&axis.negative.name)?, picture(&axis.positive.name)?);
        if let Some(key) = row.keys().next() {
            let poles = [&axis.negative.name, &axis.positive.name];
            return Err(format!(
                "a key is {key}, expected question, topic, split, {} and {}",
                poles[0], poles[1]
            ));
        }
        let (pole, other) = match towards {
            Towards::Positive => (positive, negative),
            Towards::Negative => (negative, positive),
        };
        let question = Question { id: String::new(), text: question, topic: Some(topic), choices: None };
        Ok(Self { question, split, pole, other })
    }
}

/// The contests of the train and the test split, and their pictures by document, as squares.
///
/// # Errors
/// A picture that cannot be read, one of both poles or in both splits, fewer than two questions in a split.
pub(super) fn contests(
    file: &Path,
    rows: &[PictureRow],
    side: usize,
) -> Result<[(Contests, BTreeMap<String, Picture>); 2]> {
    let mut shown: BTreeMap<String, Picture> = BTreeMap::new();
    let mut of_pole = BTreeMap::new();
    let mut of_split = BTreeMap::new();
    let mut both = [Vec::new(), Vec::new()];
    for row in rows {
        let place = usize::from(row.split == Split::Test);
        let mut document = |path: &Path, is_pole: bool| -> Result<Document> {
            let id = path.to_string_lossy().into_owned();
            if !shown.contains_key(&id) {
                shown.insert(id.clone(), Picture::read(path)?.square(side));
            }
            // The text of a picture is its hash, so that what is kept is that of these pictures.
            let text = ContentHasher::new("picture/1").field(shown[&id].values()).finish().to_string();
            let twice = |what| Error::BothSplits { path: file.into(), what, which: id.clone() };
            if *of_pole.entry(text.clone()).or_insert(is_pole) != is_pole {
                return Err(Error::BothPoles { path: file.into(), picture: id });
            }
            if *of_split.entry(text.clone()).or_insert(place) != place {
                return Err(twice("picture"));
            }
            Ok(Document::new(id, text))
        };
        let (pole, other) = (document(&row.pole, true)?, document(&row.other, false)?);
        let grades = [&pole, &other].map(|document| (document.id.clone(), 1)).into();
        both[place].push(Contested { question: row.question.clone(), pole, other, grades });
    }
    if let Some(few) = both.iter().map(Vec::len).find(|&count| count < 2) {
        let what = "questions of each split with pictures";
        return Err(Error::TooFew { what, expected: 2, received: few });
    }
    Ok(both.map(|contested| (Contests::new(contested), shown.clone())))
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
            (good.replace(r#", "male": "b.png""#, ""), "no male"),
            (good.replace("b.png", "c.png"), "c.png: no such file"),
            (good.replace(r#""split": "test""#, r#""split": "all""#), "split is all, expected train or test"),
            (good.replace(r#""topic": "t", "#, ""), "no topic"),
            (good.replace(r#""t""#, "3"), "topic is 3, expected text"),
            (good.replace("Who?", " "), "question is"),
            (good.replace(r#""topic""#, r#""weight": 2, "topic""#), "a key is weight"),
        ];
        for (line, reason) in wrong {
            let error = read(&line).unwrap_err().to_string();
            assert!(
                error.contains("rows.jsonl") && error.contains("line 3") && error.contains(reason),
                "{error}"
            );
        }
        let error = read(&good.replace("test", "train")).unwrap_err().to_string();
        assert!(error.contains("topic t"), "{error}");
        let error = read(&good.replace("test", "train").replace(r#""t""#, r#""u""#)).unwrap_err().to_string();
        assert!(error.contains("question Who?"), "{error}");
    }

    #[test]
    fn a_picture_of_both_poles_or_in_both_splits_is_refused() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/clip");
        let row = |number: usize, split, [pole, other]: [&str; 2]| PictureRow {
            question: Question {
                id: number.to_string(),
                text: format!("Who is {number}?"),
                topic: Some(number.to_string()),
                choices: None,
            },
            split,
            pole: fixtures.join(pole),
            other: fixtures.join(other),
        };
        let of = |pictures: [[&str; 2]; 4]| {
            let splits = [Split::Train, Split::Train, Split::Test, Split::Test];
            let rows = pictures.into_iter().zip(splits).enumerate();
            let rows: Vec<_> = rows.map(|(number, (pictures, split))| row(number, split, pictures)).collect();
            contests(Path::new("rows.jsonl"), &rows, 34)
        };
        let [train, test] = of([
            ["wide.png", "small.png"],
            ["wide.png", "small.png"],
            ["square.png", "photo.jpg"],
            ["square.png", "photo.jpg"],
        ])
        .unwrap();
        assert_eq!((train.0.len(), test.0.len()), (2, 2));
        let refused = |pictures| of(pictures).err().unwrap().to_string();
        let poles = refused([
            ["wide.png", "small.png"],
            ["small.png", "wide.png"],
            ["square.png", "photo.jpg"],
            ["square.png", "photo.jpg"],
        ]);
        assert!(poles.contains("small.png") && poles.contains("both poles"), "{poles}");
        let splits = refused([
            ["wide.png", "small.png"],
            ["wide.png", "small.png"],
            ["wide.png", "photo.jpg"],
            ["square.png", "photo.jpg"],
        ]);
        assert!(splits.contains("picture") && splits.contains("both splits"), "{splits}");
    }
}
