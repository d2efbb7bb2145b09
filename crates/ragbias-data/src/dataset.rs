use std::collections::BTreeMap;
use std::iter;
use std::path::{Path, PathBuf};

use ragbias_core::{Axis, ContentId, Corpus, Progress, Question, QuestionSet};
use serde::{Deserialize, Serialize};

use crate::axis::check_labels;
use crate::qrels::Qrels;
use crate::{Error, Result, read_corpus, read_qrels, read_questions, read_text};

/// A corpus with its questions, its relevance judgements, and a split by topic.
///
/// On disk: a folder with `manifest.toml`, `corpus.jsonl`, `questions.jsonl` and `qrels.tsv`.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The manifest.
    pub info: DatasetInfo,
    /// The documents.
    pub corpus: Corpus,
    /// The questions.
    pub questions: QuestionSet,
    /// The relevance judgements.
    pub qrels: Qrels,
}

/// The manifest of a data set: its description and its split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetInfo {
    /// Name of the data set.
    pub name: String,
    /// Name of its axis.
    pub axis: String,
    /// A one-line description.
    pub about: String,
    /// The licence of its texts.
    pub licence: String,
    /// Topics by split.
    pub splits: Splits,
}

/// Topics of the held-out splits; every other topic is for training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Splits {
    /// Topics for choosing settings.
    pub validation: Vec<String>,
    /// Topics that no choice may use.
    pub test: Vec<String>,
}

impl Splits {
    /// The split of a set without one: its topics, ordered by hash, are divided 60 : 15 : 25 into train, validation and test.
    pub(crate) fn by_hash(questions: &QuestionSet) -> Self {
        let mut topics: Vec<String> = questions.questions().iter().map(|q| q.cluster().to_owned()).collect();
        topics.sort();
        topics.dedup();
        topics.sort_by_key(|topic| *ContentId::of(topic.as_bytes()).as_bytes());
        let (test, validation) = (topics.len() / 4, topics.len() * 15 / 100);
        Self { test: topics[..test].to_vec(), validation: topics[test..test + validation].to_vec() }
    }
}

/// A part of the questions, by topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// For training embedders.
    Train,
    /// For choosing settings.
    Validation,
    /// For final results.
    Test,
    /// Every question that is not for training.
    #[serde(rename = "held-out")]
    HeldOut,
    /// Every question.
    #[default]
    All,
}

impl Split {
    /// Its name in tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
            Self::HeldOut => "held-out",
            Self::All => "all",
        }
    }
}

impl std::str::FromStr for Split {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::Train, Self::Validation, Self::Test, Self::HeldOut, Self::All]
            .into_iter()
            .find(|split| split.name() == name)
            .ok_or_else(|| Error::Split(name.into()))
    }
}

impl Dataset {
    /// A data set in a folder, or a published set with questions and documents in one `.csv` or `.parquet` file.
    ///
    /// A published set has no split of its own: its topics, ordered by hash, are divided 60 : 15 : 25
    /// into train, validation and test. The documents of a question's row are the relevant ones. Gold labels may be the names of
    /// the poles of `axis`.
    ///
    /// # Errors
    /// Missing or malformed files, and judgements or splits that refer to missing ids.
    pub fn read(path: &Path, axis: Option<&Axis>, progress: &dyn Progress) -> Result<Self> {
        if path.is_file() {
            Self::read_published(path, axis, progress)
        } else {
            Self::read_folder(path, axis, progress)
        }
    }

    fn read_published(path: &Path, axis: Option<&Axis>, progress: &dyn Progress) -> Result<Self> {
        let (corpus, questions) = (read_corpus(path, axis, progress)?, read_questions(path, progress)?);
        let mut qrels = Qrels::new();
        for question in questions.questions() {
            let prefix = format!("{}-", question.id);
            // `138-2` is a separate question; the ids of the question's own documents end with the name of a column.
            let own = corpus.documents().iter().filter(|document| {
                let column = document.id.strip_prefix(&prefix);
                column.is_some_and(|column| !column.starts_with(|c: char| c.is_ascii_digit()))
            });
            qrels.insert(question.id.clone(), own.map(|document| (document.id.clone(), 1)).collect());
        }
        let splits = Splits::by_hash(&questions);
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let (about, licence) = (format!("published set {}", path.display()), "its own".to_owned());
        let info = DatasetInfo { name, axis: String::new(), about, licence, splits };
        let dataset = Self { info, corpus, questions, qrels };
        dataset.check_links(path, path)?;
        Ok(dataset)
    }

    fn read_folder(folder: &Path, axis: Option<&Axis>, progress: &dyn Progress) -> Result<Self> {
        let (manifest, qrels) = (folder.join("manifest.toml"), folder.join("qrels.tsv"));
        let dataset = Self {
            info: info(&manifest, &read_text(&manifest)?)?,
            corpus: read_corpus(folder, axis, progress)?,
            questions: read_questions(folder, progress)?,
            qrels: read_qrels(folder, progress)?,
        };
        dataset.check_links(&qrels, &manifest)?;
        Ok(dataset)
    }

    /// Refuses labels for another axis.
    ///
    /// # Errors
    /// [`Error::OtherAxis`].
    pub fn check_axis(&self, axis: &Axis) -> Result<()> {
        check_labels(&PathBuf::from(format!("bundled {}", self.info.name)), &self.info.axis, axis)
    }

    /// Writes its files into `folder`, which is created if it does not exist: `manifest.toml`, `corpus.jsonl`, `questions.jsonl` and
    /// `qrels.tsv`, which [`Dataset::read`] reads.
    ///
    /// # Errors
    /// Failures of the file system.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let judged = self.qrels.iter().flat_map(|(question, documents)| {
            documents.iter().map(move |(document, grade)| format!("{question}\t{document}\t{grade}\n"))
        });
        let qrels = iter::once("query-id\tcorpus-id\tscore\n".to_owned()).chain(judged).collect();
        let files = [
            ("manifest.toml", toml::to_string_pretty(&self.info).expect("texts alone; this is a bug")),
            ("corpus.jsonl", json_lines(self.corpus.documents())),
            ("questions.jsonl", json_lines(self.questions.questions())),
            ("qrels.tsv", qrels),
        ];
        for (file, text) in files {
            crate::write_file(&folder.join(file), text)?;
        }
        Ok(())
    }

    /// Checks that every question has a document, every judged document exists, and every topic of the split has a question.
    pub(crate) fn check_links(&self, qrels_path: &Path, manifest_path: &Path) -> Result<()> {
        let wrong = |path: &Path, reason: String| Err(Error::File { path: path.into(), reason });
        for question in self.questions.questions() {
            let Some(judged) = self.qrels.get(&question.id) else {
                return wrong(qrels_path, format!("question `{}` has no document", question.id));
            };
            for document in judged.keys() {
                if self.corpus.position(document).is_none() {
                    return wrong(qrels_path, format!("document `{document}` is not in the corpus"));
                }
            }
        }
        let topics: Vec<_> = self.questions.questions().iter().map(Question::cluster).collect();
        let mut seen = BTreeMap::new();
        for (split, named) in [("validation", &self.info.splits.validation), ("test", &self.info.splits.test)]
        {
            for topic in named {
                if !topics.contains(&topic.as_str()) {
                    return wrong(manifest_path, format!("no question has the {split} topic `{topic}`"));
                }
                if let Some(other) = seen.insert(topic, split) {
                    return wrong(manifest_path, format!("topic `{topic}` is in {other} and in {split}"));
                }
            }
        }
        Ok(())
    }

    /// The questions of a split, in order.
    ///
    /// # Errors
    /// If the split has no questions.
    pub fn split(&self, split: Split) -> Result<QuestionSet> {
        let questions = self.questions.questions().iter().filter(|question| {
            let topic = question.cluster().to_owned();
            let held_out = &self.info.splits;
            match split {
                Split::All => true,
                Split::Validation => held_out.validation.contains(&topic),
                Split::Test => held_out.test.contains(&topic),
                Split::Train => !held_out.validation.contains(&topic) && !held_out.test.contains(&topic),
                Split::HeldOut => held_out.validation.contains(&topic) || held_out.test.contains(&topic),
            }
        });
        Ok(QuestionSet::new(questions.cloned().collect())?)
    }
}

pub(crate) fn info(path: &Path, manifest: &str) -> Result<DatasetInfo> {
    toml::from_str(manifest).map_err(|source| Error::Toml { path: path.into(), source: Box::new(source) })
}

fn json_lines(records: &[impl Serialize]) -> String {
    let line = |record| serde_json::to_string(record).expect("texts and numbers alone; this is a bug") + "\n";
    records.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use ragbias_core::Silent;

    use super::*;
    use crate::load_axis;

    /// The sets whose documents are written for a pole; `tests/twins.rs` checks those made of passages.
    const WRITTEN: [&str; 3] = ["gender", "politics", "politics-wide"];

    #[test]
    fn the_written_sets_are_balanced_within_every_question() {
        for name in WRITTEN {
            let set = Dataset::bundled(name).unwrap();
            assert!(set.questions.len() >= 120, "{name}: {} questions", set.questions.len());
            for (question, judged) in &set.qrels {
                let mut leans = HashMap::new();
                for document in judged.keys() {
                    let position = set.corpus.position(document).unwrap();
                    *leans.entry(set.corpus.document(position).gold_lean().unwrap()).or_insert(0) += 1;
                }
                let counts: Vec<_> = leans.values().copied().collect();
                assert!(counts.len() == 2 && counts.iter().all(|&c| c >= 2), "{name} {question}: {leans:?}");
                assert!(counts[0] == counts[1], "{name} {question}: {leans:?}");
            }
        }
    }

    #[test]
    fn the_bundled_splits_share_no_topic_and_cover_all_questions() {
        for name in Dataset::bundled_names() {
            let set = Dataset::bundled(name).unwrap();
            let parts = [Split::Train, Split::Validation, Split::Test].map(|s| set.split(s).unwrap());
            assert_eq!(parts.iter().map(QuestionSet::len).sum::<usize>(), set.questions.len());
            let topics: Vec<HashSet<_>> =
                parts.iter().map(|p| p.questions().iter().map(Question::cluster).collect()).collect();
            assert!(topics[0].is_disjoint(&topics[1]) && topics[0].is_disjoint(&topics[2]));
            assert!(topics[1].is_disjoint(&topics[2]));
        }
    }

    #[test]
    fn a_topic_of_politics_is_in_the_same_split_of_politics_wide() {
        let (own, wide) = (Dataset::bundled("politics").unwrap(), Dataset::bundled("politics-wide").unwrap());
        for split in [Split::Train, Split::Validation, Split::Test] {
            let wide = wide.split(split).unwrap();
            for question in own.split(split).unwrap().questions() {
                assert!(wide.questions().contains(question), "{}: {}", split.name(), question.id);
            }
        }
        assert!(wide.questions.len() >= 300);
    }

    #[test]
    fn passages_of_both_poles_are_equally_long_on_average() {
        for name in WRITTEN {
            let set = Dataset::bundled(name).unwrap();
            let mut words = HashMap::new();
            for document in set.corpus.documents() {
                let n = document.text.split_whitespace().count();
                assert!((40..=120).contains(&n), "{name} {}: {n} words", document.id);
                let entry = words.entry(document.gold_lean().unwrap().unwrap()).or_insert((0, 0));
                *entry = (entry.0 + n, entry.1 + 1);
            }
            let means: Vec<f64> = words.values().map(|&(n, count)| n as f64 / f64::from(count)).collect();
            assert!((means[0] - means[1]).abs() < 1.5, "{name}: {means:?}");
        }
    }

    #[test]
    fn labels_of_another_axis_are_refused_from_a_folder_and_bundled() {
        let folder = tempfile::tempdir().unwrap();
        Dataset::export_bundled("politics", folder.path()).unwrap();
        let (gender, politics) = (load_axis("gender").unwrap(), load_axis("politics").unwrap());
        let mut renamed = politics.clone();
        renamed.name = "my-politics".into();
        let read = |axis: &Axis| Dataset::read(folder.path(), Some(axis), &Silent);
        assert!(read(&politics).is_ok() && read(&renamed).is_ok());
        let error = read(&gender).unwrap_err().to_string();
        assert!(error.contains("manifest.toml: its labels are from left to right"), "{error}");
        let error = Dataset::bundled("politics").unwrap().check_axis(&gender).unwrap_err().to_string();
        assert!(error.contains("bundled politics") && error.contains("the axis `gender`"), "{error}");
    }

    #[test]
    fn a_question_without_documents_is_named() {
        let folder = tempfile::tempdir().unwrap();
        Dataset::export_bundled("gender", folder.path()).unwrap();
        let path = folder.path().join("qrels.tsv");
        let text = fs_err::read_to_string(&path).unwrap();
        let kept: Vec<_> = text.lines().skip(5).collect();
        fs_err::write(&path, kept.join("\n")).unwrap();
        let error = Dataset::read(folder.path(), None, &Silent).unwrap_err().to_string();
        assert!(error.contains("has no document"), "{error}");
    }
}
