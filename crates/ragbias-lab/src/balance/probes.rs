//! What can be read from vectors: linear probes of pole, profession and topic on topics that nothing was tuned on.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, Axis};
use ragbias::core::{ContentHasher, Document, Embedder, Lean, Question, Role};
use ragbias::stats::RidgeLogistic;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::methods::by_unit;
use crate::tuning::{TunedBase, embedded};

/// The most documents that a probe is fitted to, and as many that it is tried on.
const DOCUMENTS: usize = 400;
/// The most topics that a probe tells apart.
const TOPICS: usize = 40;

/// A text with what a probe should read from it, and the unit that it counts in.
#[derive(Debug, Clone)]
struct Labelled {
    text: String,
    class: usize,
    unit: String,
}

/// Texts that a probe is fitted to, and others that it is tried on.
#[derive(Debug, Clone, Default)]
pub(super) struct Task {
    fitted: Vec<Labelled>,
    tried: Vec<Labelled>,
    classes: usize,
}

/// The tasks of a base's data.
pub(super) struct Tasks {
    /// The lean of documents: fitted on training topics, tried on validation topics.
    pub(super) pole: Task,
    /// The topic of the data's documents, which is a field of work in the bundled data on persons: fitted to one half of the passages of
    /// validation topics, tried on the other.
    pub(super) profession: Task,
    /// The topic of the utility collection's documents, in the same way.
    pub(super) topic: Task,
}

/// The accuracy of each probe, by topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Accuracies {
    pub(super) pole: Vec<f64>,
    pub(super) profession: Vec<f64>,
    pub(super) topic: Vec<f64>,
}

impl Tasks {
    /// The tasks.
    ///
    /// # Errors
    /// [`Error::TooFew`] if documents have no topics, or too few, or no leans.
    pub(super) fn new(base: &TunedBase) -> Result<Self> {
        let (documents, verdicts) = (base.judged().corpus().documents(), base.judged().verdicts());
        let held: BTreeSet<&str> = base.validation_topics().into_iter().collect();
        let trained: BTreeSet<&str> = base.training().questions().iter().map(Question::cluster).collect();
        let (mut fitted, mut tried) = (Vec::new(), Vec::new());
        for (document, verdict) in documents.iter().zip(verdicts) {
            let class = match verdict.lean() {
                Some(Lean::Positive) => 1,
                Some(Lean::Negative) => 0,
                _ => continue,
            };
            let Some(topic) = topic(document) else { continue };
            let labelled = Labelled { text: document.full_text(), class, unit: topic.into() };
            if held.contains(topic) {
                tried.push(labelled);
            } else if trained.contains(topic) {
                fitted.push(labelled);
            }
        }
        let pole = Task { fitted: thinned(fitted), tried: thinned(tried), classes: 2 };
        pole.check("documents with a lean and a topic")?;
        let held: Vec<&Document> =
            documents.iter().filter(|document| topic(document).is_some_and(|t| held.contains(t))).collect();
        let others: Vec<&Document> = base.collection().corpus.documents().iter().collect();
        let (profession, topic) = (halves(&held), halves(&others));
        profession.check("topics of the data with two passages or more")?;
        topic.check("topics of the utility collection with two documents or more")?;
        Ok(Self { pole, profession, topic })
    }

    /// The accuracies of an embedder's vectors, at λ = `ridge`.
    pub(super) fn accuracies(&self, embedder: &dyn Embedder, ridge: f64) -> Result<Accuracies> {
        let of = |task: &Task| -> Result<Vec<f64>> {
            let vectors = |labelled: &[Labelled]| -> Result<Array2<f64>> {
                let texts: Vec<String> = labelled.iter().map(|labelled| labelled.text.clone()).collect();
                Ok(embedded(embedder, &texts, Role::Document)?.view().mapv(f64::from))
            };
            task.accuracies(&vectors(&task.fitted)?, &vectors(&task.tried)?, ridge)
        };
        Ok(Accuracies { pole: of(&self.pole)?, profession: of(&self.profession)?, topic: of(&self.topic)? })
    }
}

impl Task {
    fn check(&self, what: &'static str) -> Result<()> {
        let has = |labelled: &[Labelled], class| labelled.iter().any(|text| text.class == class);
        let whole = (0..self.classes).filter(|&class| has(&self.fitted, class)).count();
        if self.classes < 2 || whole < self.classes || self.tried.is_empty() {
            return Err(Error::TooFew { what, expected: 2, received: whole.min(self.tried.len()) });
        }
        Ok(())
    }

    /// The share of the texts that are tried whose class the probe reads, by unit.
    fn accuracies(&self, fitted: &Array2<f64>, tried: &Array2<f64>, ridge: f64) -> Result<Vec<f64>> {
        // A common mean says nothing of the classes, and slows the fit.
        let mean = fitted.mean_axis(Axis(0)).expect("there are texts; this is a bug");
        let classes: Vec<usize> = self.fitted.iter().map(|labelled| labelled.class).collect();
        let probe = RidgeLogistic::fit((fitted - &mean).view(), &classes, self.classes, ridge)?;
        let read = probe.classes((tried - &mean).view());
        let right =
            self.tried.iter().zip(read).map(|(labelled, read)| {
                (labelled.unit.as_str(), if read == labelled.class { 1.0 } else { 0.0 })
            });
        Ok(by_unit(right))
    }
}

/// The topic in a document's metadata.
fn topic(document: &Document) -> Option<&str> {
    document.metadata.get("topic")?.as_str()
}

/// The topics of documents as classes; of the passages of each topic, every other is tried. Twins are of one passage.
fn halves(documents: &[&Document]) -> Task {
    let mut passages: BTreeMap<&str, Vec<(String, Vec<&Document>)>> = BTreeMap::new();
    for &document in documents {
        let Some(topic) = topic(document) else { continue };
        let passage = document.metadata.get("pair").map_or_else(|| document.id.clone(), ToString::to_string);
        let passages = passages.entry(topic).or_default();
        match passages.iter_mut().find(|(name, _)| *name == passage) {
            Some((_, twins)) => twins.push(document),
            None => passages.push((passage, vec![document])),
        }
    }
    passages.retain(|_, passages| passages.len() > 1);
    let mut task = Task { classes: passages.len().min(TOPICS), ..Task::default() };
    for (class, (topic, passages)) in passages.into_iter().take(TOPICS).enumerate() {
        for (number, (_, twins)) in passages.into_iter().enumerate() {
            let half = if number.is_multiple_of(2) { &mut task.fitted } else { &mut task.tried };
            half.extend(twins.into_iter().map(|document| Labelled {
                text: document.full_text(),
                class,
                unit: topic.to_owned(),
            }));
        }
    }
    task
}

/// At most as many as a probe takes, drawn by the hash of their texts: every other one of a corpus of twins is of one pole.
fn thinned(mut all: Vec<Labelled>) -> Vec<Labelled> {
    if all.len() > DOCUMENTS {
        all.sort_by_cached_key(|labelled| {
            *ContentHasher::new("probed/1").field(&labelled.text).finish().as_bytes()
        });
        all.truncate(DOCUMENTS);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 200 texts of 10 units, half of either class in each.
    fn task(class: impl Fn(usize) -> usize) -> Task {
        let labelled =
            |i: usize| Labelled { text: String::new(), class: class(i), unit: (i % 10).to_string() };
        Task {
            fitted: (0..200).map(labelled).collect(),
            tried: (200..400).map(labelled).collect(),
            classes: 2,
        }
    }

    /// One bit of a hash.
    fn bit(i: usize, place: u32) -> usize {
        ((i as u64 * 2_654_435_761) >> place) as usize & 1
    }

    /// Vectors whose first coordinate has the class, times `strength`; all have noise in [−1, 1).
    fn vectors(from: usize, strength: f64) -> Array2<f64> {
        Array2::from_shape_fn((200, 12), |(row, k)| {
            let i = from + row;
            let hash = (((i * 131 + k * 7919 + 5) as u64).pow(2).wrapping_mul(2_654_435_761) >> 11) % 1000;
            let noise = hash as f64 / 500.0 - 1.0;
            let sign = if bit(i, 13) == 1 { 1.0 } else { -1.0 };
            if k == 0 { strength * sign + 0.3 * noise } else { noise }
        })
    }

    fn mean(task: &Task, strength: f64) -> f64 {
        let accuracies = task.accuracies(&vectors(0, strength), &vectors(200, strength), 0.1).unwrap();
        assert_eq!(accuracies.len(), 10);
        accuracies.iter().sum::<f64>() / 10.0
    }

    #[test]
    fn a_planted_feature_is_read_and_one_that_was_dropped_is_not() {
        let task = task(|i| bit(i, 13));
        let (planted, weak, dropped) = (mean(&task, 1.0), mean(&task, 0.15), mean(&task, 0.0));
        assert!(planted > 0.95, "{planted}");
        assert!((0.35..0.65).contains(&dropped), "{dropped}");
        assert!(weak > dropped && weak < planted, "{weak}");
    }

    #[test]
    fn shuffled_labels_are_read_by_chance() {
        let shuffled = mean(&task(|i| bit(i, 21)), 1.0);
        assert!((0.35..0.65).contains(&shuffled), "{shuffled}");
    }

    #[test]
    fn twins_are_on_one_side_and_topics_of_one_passage_are_left_out() {
        let document = |id: usize, topic: &str, pair: &str| {
            let mut document = Document::new(id.to_string(), format!("text {id}"));
            document.metadata.insert("topic".into(), topic.into());
            document.metadata.insert("pair".into(), pair.into());
            document
        };
        let documents = [
            document(0, "a", "a1"),
            document(1, "a", "a1"),
            document(2, "a", "a2"),
            document(3, "a", "a2"),
            document(4, "b", "b1"),
            document(5, "b", "b1"),
        ];
        let task = halves(&documents.iter().collect::<Vec<_>>());
        let texts = |labelled: &[Labelled]| -> Vec<String> {
            labelled.iter().map(|labelled| labelled.text.clone()).collect()
        };
        assert_eq!((task.classes, texts(&task.fitted)), (1, vec!["text 0".to_owned(), "text 1".into()]));
        assert_eq!(texts(&task.tried), ["text 2", "text 3"]);
        assert!(task.check("topics").is_err(), "one class");
    }

    #[test]
    fn of_many_texts_some_of_either_class_are_kept() {
        let labelled = |i: usize| Labelled { text: i.to_string(), class: i % 2, unit: String::new() };
        let all: Vec<Labelled> = (0..2 * DOCUMENTS).map(labelled).collect();
        let kept = thinned(all.clone());
        let first = kept.iter().filter(|labelled| labelled.class == 0).count();
        assert_eq!(kept.len(), DOCUMENTS);
        assert!((DOCUMENTS / 3..2 * DOCUMENTS / 3).contains(&first), "{first}");
        assert_eq!(thinned(all[..10].to_vec()).len(), 10);
    }
}
