//! A data set to check: its parts, and where each stands.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use ragbias_core::{Axis, Corpus, Progress, QuestionSet};

use super::finding::At;
use crate::axis::axis_names;
use crate::corpus::{places_of_documents, read_corpus_on};
use crate::dataset::{Dataset, DatasetInfo, info};
use crate::qrels::Qrels;
use crate::questions::places_of_questions;
use crate::source::{extension, file_of};
use crate::{Result, load_axis, read_qrels, read_questions, read_text};

/// A data set to check.
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) axis: Option<String>,
    pub(super) corpus: Corpus,
    pub(super) questions: QuestionSet,
    pub(super) qrels: Qrels,
    /// The topics that the manifest names, by split.
    pub(super) named_topics: Vec<(&'static str, Vec<String>)>,
    /// The splits of each question, in the order of their names.
    splits: BTreeMap<String, BTreeSet<String>>,
    documents: Places,
    asked: Places,
    judged: String,
    manifest: Option<String>,
}

/// Where the records of a file stand.
struct Places {
    file: String,
    lines: HashMap<String, usize>,
}

impl Places {
    /// Records in order, one a line.
    fn in_order<'a>(file: String, ids: impl Iterator<Item = &'a str>) -> Self {
        Self { file, lines: ids.enumerate().map(|(position, id)| (id.to_owned(), position + 1)).collect() }
    }

    fn at(&self, id: &str) -> At {
        At { file: self.file.clone(), line: self.lines.get(id).copied() }
    }
}

impl Subject {
    /// The data set in a folder, with a manifest or in the layout of BEIR.
    pub(super) fn in_folder(folder: &Path, progress: &dyn Progress) -> Result<Self> {
        let manifest = folder.join("manifest.toml");
        let own = manifest.is_file().then(|| info(&manifest, &read_text(&manifest)?)).transpose()?;
        let axis = own.as_ref().map(|info| info.axis.clone());
        let known: Option<Axis> = (axis.as_ref())
            .filter(|name| axis_names().any(|known| known == name.as_str()))
            .map(|name| load_axis(name))
            .transpose()?;
        let (corpus_file, question_file) =
            (file_of(folder, &["corpus"])?, file_of(folder, &["questions", "queries"])?);
        let corpus = read_corpus_on(folder, known.as_ref(), progress)?;
        let questions = read_questions(folder, progress)?;
        let mut splits: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let (qrels, judged) = match &own {
            Some(info) => {
                for question in questions.questions() {
                    let names = splits_of(info, question.cluster());
                    splits.insert(question.id.clone(), names.into_iter().map(str::to_owned).collect());
                }
                (read_qrels(folder, progress)?, folder.join("qrels.tsv"))
            }
            None => judgements_by_split(folder, &mut splits, progress)?,
        };
        let name = own.as_ref().map_or_else(
            || folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            |info| info.name.clone(),
        );
        let shown = |path: &Path| path.display().to_string();
        Ok(Self {
            name,
            axis,
            documents: Places { lines: places_of_documents(&corpus_file)?, file: shown(&corpus_file) },
            asked: Places { lines: places_of_questions(&question_file)?, file: shown(&question_file) },
            judged: shown(&judged),
            manifest: own.is_some().then(|| shown(&manifest)),
            named_topics: own.map_or_else(Vec::new, named_topics),
            corpus,
            questions,
            qrels,
            splits,
        })
    }

    /// A data set that was read; its files are those that [`Dataset::write`] writes.
    pub(super) fn of_dataset(dataset: &Dataset, place: &str) -> Self {
        let Dataset { info, corpus, questions, qrels } = dataset;
        let file = |name: &str| format!("{place}/{name}");
        let splits = questions.questions().iter().map(|question| {
            let names = splits_of(info, question.cluster());
            (question.id.clone(), names.into_iter().map(str::to_owned).collect())
        });
        let documents = corpus.documents().iter().map(|document| document.id.as_str());
        let asked = questions.questions().iter().map(|question| question.id.as_str());
        Self {
            name: info.name.clone(),
            axis: Some(info.axis.clone()).filter(|axis| !axis.is_empty()),
            documents: Places::in_order(file("corpus.jsonl"), documents),
            asked: Places::in_order(file("questions.jsonl"), asked),
            judged: file("qrels.tsv"),
            manifest: Some(file("manifest.toml")),
            named_topics: named_topics(info.clone()),
            splits: splits.collect(),
            corpus: corpus.clone(),
            questions: questions.clone(),
            qrels: qrels.clone(),
        }
    }

    /// The splits of a question; none if it is in no split.
    pub(super) fn splits_of(&self, question: &str) -> impl Iterator<Item = &str> {
        self.splits.get(question).into_iter().flatten().map(String::as_str)
    }

    /// The names of the splits that have a question.
    pub(super) fn split_names(&self) -> BTreeSet<&str> {
        self.splits.values().flatten().map(String::as_str).collect()
    }

    /// The documents that are relevant to a question: those of a grade above 0, as far as the corpus has them.
    pub(super) fn relevant(&self, question: &str) -> impl Iterator<Item = &str> {
        let judged = self.qrels.get(question).into_iter().flatten();
        judged
            .filter(|(id, grade)| **grade > 0 && self.corpus.position(id).is_some())
            .map(|(id, _)| id.as_str())
    }

    pub(super) fn document(&self, id: &str) -> At {
        self.documents.at(id)
    }

    pub(super) fn question(&self, id: &str) -> At {
        self.asked.at(id)
    }

    /// The corpus as a whole.
    pub(super) fn corpus_file(&self) -> At {
        At { file: self.documents.file.clone(), line: None }
    }

    /// The judgements as a whole.
    pub(super) fn judgements(&self) -> At {
        At { file: self.judged.clone(), line: None }
    }

    /// The file that says which split a question is in.
    pub(super) fn split_file(&self) -> At {
        At { file: self.manifest.clone().unwrap_or_else(|| self.judged.clone()), line: None }
    }
}

fn named_topics(info: DatasetInfo) -> Vec<(&'static str, Vec<String>)> {
    vec![("validation", info.splits.validation), ("test", info.splits.test)]
}

/// The splits of a topic: more than one only if the manifest names it twice.
fn splits_of(info: &DatasetInfo, topic: &str) -> Vec<&'static str> {
    let named = [("validation", &info.splits.validation), ("test", &info.splits.test)];
    let held_out: Vec<_> = named
        .into_iter()
        .filter(|(_, topics)| topics.iter().any(|own| own == topic))
        .map(|(name, _)| name)
        .collect();
    if held_out.is_empty() { vec!["train"] } else { held_out }
}

/// The judgements of a folder of BEIR. If its `qrels` has several files, each is a split, named like it.
fn judgements_by_split(
    folder: &Path,
    splits: &mut BTreeMap<String, BTreeSet<String>>,
    progress: &dyn Progress,
) -> Result<(Qrels, PathBuf)> {
    let inner = folder.join("qrels");
    let mut files = Vec::new();
    if inner.is_dir() {
        for entry in fs_err::read_dir(&inner)? {
            let path = entry?.path();
            if extension(&path) == "tsv" {
                files.push(path);
            }
        }
    }
    files.sort();
    let [_, _, ..] = files.as_slice() else { return Ok((read_qrels(folder, progress)?, inner)) };
    let mut all = Qrels::new();
    for file in files {
        let name = file.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        for (question, judged) in read_qrels(&file, progress)? {
            splits.entry(question.clone()).or_default().insert(name.clone());
            all.entry(question).or_default().extend(judged);
        }
    }
    Ok((all, inner))
}
