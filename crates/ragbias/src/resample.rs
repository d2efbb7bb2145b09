//! A corpus with another balance of its poles, at its size and with its topics.

use std::collections::BTreeMap;

use ragbias_core::{Corpus, DocId, Lean, QuestionSet};
use ragbias_data::Qrels;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result};

/// The C_b to which the corpus of a part is resampled.
///
/// The number of documents of each topic stays, and so do its neutral documents. Of the others, each topic gets the same share of the
/// positive pole, as nearly as whole numbers allow. Where a topic needs fewer documents of a pole than it has, some are left out,
/// drawn at random; where it needs more, some are there several times, as `ID~2`, `ID~3`. A topic with documents of one pole alone
/// keeps them. Draws of one seed are nested: at a higher C_b, all positive documents of a lower one are there too.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resample {
    /// The mean of the gold labels, −1 to 1.
    pub corpus_bias: f64,
    /// Seed of the draws.
    #[serde(default)]
    pub seed: u64,
}

/// The documents of one topic that lean, by position.
#[derive(Default)]
struct Topic {
    negative: Vec<DocId>,
    positive: Vec<DocId>,
}

impl Topic {
    fn len(&self) -> usize {
        self.negative.len() + self.positive.len()
    }

    fn has_both(&self) -> bool {
        !self.negative.is_empty() && !self.positive.is_empty()
    }

    fn lean(&self) -> f64 {
        self.positive.len() as f64 - self.negative.len() as f64
    }
}

impl Resample {
    /// # Errors
    /// A C_b outside −1 to 1.
    pub(crate) fn check(self) -> Result<()> {
        if (-1.0..=1.0).contains(&self.corpus_bias) {
            return Ok(());
        }
        Err(wrong("-1.0 to 1.0", self.corpus_bias.to_string()))
    }

    /// The resampled corpus and its judgements: a copy is judged like its document. Twins are none afterwards, as one of two may be
    /// left out.
    ///
    /// # Errors
    /// A document without a label or a topic, and a C_b that these documents cannot have.
    pub(crate) fn apply(
        self,
        corpus: &Corpus,
        questions: &QuestionSet,
        qrels: Option<&Qrels>,
    ) -> Result<(Corpus, Option<Qrels>)> {
        let topics = topics(corpus, questions, qrels)?;
        let counts = self.counts(corpus, &topics)?;
        let (mut documents, mut copies) = (Vec::with_capacity(corpus.len()), BTreeMap::new());
        for (position, document) in corpus.documents().iter().enumerate() {
            let count = counts.get(&DocId(position as u32)).copied().unwrap_or(1);
            let ids: Vec<String> = (1..=count)
                .map(|copy| if copy == 1 { document.id.clone() } else { format!("{}~{copy}", document.id) })
                .collect();
            documents.extend(ids.iter().map(|id| {
                let mut copy = document.clone();
                copy.id.clone_from(id);
                copy.metadata.remove("pair");
                copy.metadata.remove("draw");
                copy
            }));
            copies.insert(document.id.as_str(), ids);
        }
        let judged = |documents: &BTreeMap<String, i64>| {
            let kept = documents.iter().filter_map(|(id, grade)| Some((copies.get(id.as_str())?, *grade)));
            kept.flat_map(|(ids, grade)| ids.iter().map(move |id| (id.clone(), grade))).collect()
        };
        let qrels =
            qrels.map(|qrels| qrels.iter().map(|(id, documents)| (id.clone(), judged(documents))).collect());
        Ok((Corpus::new(documents)?, qrels))
    }

    /// How many times each leaning document is there; others are there once.
    fn counts(self, corpus: &Corpus, topics: &BTreeMap<String, Topic>) -> Result<BTreeMap<DocId, usize>> {
        let n = corpus.len() as f64;
        let (movable, fixed): (Vec<_>, Vec<_>) = topics.values().partition(|topic| topic.has_both());
        let leaning: usize = movable.iter().map(|topic| topic.len()).sum();
        let held: f64 = fixed.iter().map(|topic| topic.lean()).sum();
        let positives = f64::midpoint(self.corpus_bias * n - held, leaning as f64).round();
        if !(0.0..=leaning as f64).contains(&positives) {
            let (low, high) = ((held - leaning as f64) / n, (held + leaning as f64) / n);
            return Err(wrong(
                &format!("{low:.3} to {high:.3}, which the labels and topics of this corpus allow"),
                self.corpus_bias.to_string(),
            ));
        }
        let sizes: Vec<usize> = movable.iter().map(|topic| topic.len()).collect();
        let shares = shares(positives, &sizes);
        let mut counts = BTreeMap::new();
        for (number, (topic, positive)) in movable.into_iter().zip(shares).enumerate() {
            for (pole, (documents, wanted)) in
                [(&topic.negative, topic.len() - positive), (&topic.positive, positive)]
                    .into_iter()
                    .enumerate()
            {
                let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
                rng.set_stream((2 * number + pole) as u64);
                let mut order = documents.clone();
                order.shuffle(&mut rng);
                let (whole, rest) = (wanted / order.len(), wanted % order.len());
                counts
                    .extend(order.into_iter().enumerate().map(|(i, id)| (id, whole + usize::from(i < rest))));
            }
        }
        Ok(counts)
    }
}

/// The total divided among sizes in proportion, in whole numbers: by largest remainder.
#[expect(clippy::cast_sign_loss, reason = "it is within 0 and the sum of the sizes")]
fn shares(total: f64, sizes: &[usize]) -> Vec<usize> {
    let sum: usize = sizes.iter().sum();
    let exact: Vec<f64> = sizes.iter().map(|size| *size as f64 * total / sum.max(1) as f64).collect();
    let mut shares: Vec<usize> = exact.iter().map(|share| share.floor() as usize).collect();
    let left = (total as usize).saturating_sub(shares.iter().sum());
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|a, b| exact[*b].fract().total_cmp(&exact[*a].fract()).then(a.cmp(b)));
    for position in order.into_iter().take(left) {
        shares[position] += 1;
    }
    shares
}

/// The leaning documents by topic: that of the document, or that of the questions to which it is relevant.
fn topics(
    corpus: &Corpus,
    questions: &QuestionSet,
    qrels: Option<&Qrels>,
) -> Result<BTreeMap<String, Topic>> {
    let mut of_document: BTreeMap<&str, &str> = BTreeMap::new();
    for question in questions.questions() {
        let judged = qrels.and_then(|qrels| qrels.get(&question.id)).into_iter().flatten();
        for (document, _) in judged.filter(|(_, grade)| **grade > 0) {
            let topic = of_document.entry(document).or_insert(question.cluster());
            if *topic != question.cluster() {
                *topic = "";
            }
        }
    }
    let mut topics: BTreeMap<String, Topic> = BTreeMap::new();
    for (position, document) in corpus.documents().iter().enumerate() {
        let id = &document.id;
        let Some(lean) = document.gold_lean()? else {
            return Err(missing("label, `metadata.lean`", id));
        };
        let own = document.metadata.get("topic").and_then(Value::as_str);
        let topic = own.or(of_document.get(id.as_str()).copied()).filter(|topic| !topic.is_empty());
        let Some(topic) = topic else {
            return Err(missing("topic, its own or that of its questions", id));
        };
        let topic = topics.entry(topic.to_owned()).or_default();
        match lean {
            Lean::Negative => topic.negative.push(DocId(position as u32)),
            Lean::Positive => topic.positive.push(DocId(position as u32)),
            Lean::Neutral => {}
        }
    }
    Ok(topics)
}

fn wrong(expected: &str, received: String) -> Error {
    Error::Resample { setting: "corpus_bias", expected: expected.into(), received }
}

fn missing(what: &str, document: &str) -> Error {
    let expected = format!("documents that all have a {what}");
    Error::Resample {
        setting: "the corpus",
        expected,
        received: format!("one in which `{document}` has none"),
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::Document;
    use ragbias_data::Dataset;

    use super::*;

    fn at(corpus_bias: f64) -> Resample {
        Resample { corpus_bias, seed: 1 }
    }

    fn mean(corpus: &Corpus) -> f64 {
        let leans = corpus.documents().iter().map(|document| document.gold_lean().unwrap().unwrap().value());
        leans.sum::<f64>() / corpus.len() as f64
    }

    fn by_topic(corpus: &Corpus) -> BTreeMap<String, usize> {
        let mut topics = BTreeMap::new();
        for document in corpus.documents() {
            *topics.entry(document.metadata["topic"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        topics
    }

    #[test]
    fn the_corpus_has_the_bias_that_was_asked_for_at_its_size_and_with_its_topics() {
        let set = Dataset::bundled("gender-twins").unwrap();
        for bias in [-1.0, -0.4, 0.0, 0.123, 0.8] {
            let (corpus, qrels) = at(bias).apply(&set.corpus, &set.questions, Some(&set.qrels)).unwrap();
            assert!((mean(&corpus) - bias).abs() <= 1.0 / corpus.len() as f64, "{bias}: {}", mean(&corpus));
            assert_eq!(by_topic(&corpus), by_topic(&set.corpus));
            let judged: usize = qrels.unwrap().values().map(BTreeMap::len).sum();
            assert_eq!(judged, corpus.len());
        }
        let (same, _) = at(0.0).apply(&set.corpus, &set.questions, None).unwrap();
        let ids = |corpus: &Corpus| corpus.documents().iter().map(|d| d.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&same), ids(&set.corpus));
    }

    #[test]
    fn draws_repeat_with_their_seed_and_are_nested() {
        let set = Dataset::bundled("gender-twins").unwrap();
        let positives = |resample: Resample| -> Vec<String> {
            let (corpus, _) = resample.apply(&set.corpus, &set.questions, None).unwrap();
            let positive = |document: &&Document| document.gold_lean().unwrap() == Some(Lean::Positive);
            corpus.documents().iter().filter(positive).map(|document| document.id.clone()).collect()
        };
        assert_eq!(positives(at(-0.5)), positives(at(-0.5)));
        assert_ne!(positives(at(-0.5)), positives(Resample { seed: 2, ..at(-0.5) }));
        let (few, more) = (positives(at(-0.5)), positives(at(-0.2)));
        assert!(few.len() < more.len() && few.iter().all(|id| more.contains(id)));
    }

    #[test]
    fn topics_are_those_of_the_questions_where_documents_have_none() {
        let set = Dataset::bundled("gender").unwrap();
        let (corpus, _) = at(0.5).apply(&set.corpus, &set.questions, Some(&set.qrels)).unwrap();
        assert!((mean(&corpus) - 0.5).abs() <= 1.0 / corpus.len() as f64);
        let mut documents = set.corpus.documents().to_vec();
        for document in &mut documents {
            document.metadata.remove("topic");
        }
        let without = Corpus::new(documents).unwrap();
        let (corpus, _) = at(0.5).apply(&without, &set.questions, Some(&set.qrels)).unwrap();
        assert!((mean(&corpus) - 0.5).abs() <= 1.0 / corpus.len() as f64);
        let error = at(0.5).apply(&without, &set.questions, None).unwrap_err().to_string();
        assert!(error.contains("documents that all have a topic"), "{error}");
    }

    #[test]
    fn what_cannot_be_reached_is_refused_by_name() {
        let labelled = |leans: &[(i64, &str)]| {
            let document = |(i, (lean, topic)): (usize, &(i64, &str))| {
                let mut document = Document::new(format!("d{i}"), "x");
                document.metadata.insert("lean".into(), (*lean).into());
                document.metadata.insert("topic".into(), (*topic).into());
                document
            };
            Corpus::new(leans.iter().enumerate().map(document).collect()).unwrap()
        };
        let questions = Dataset::bundled("gender").unwrap().questions;
        // A neutral document and a topic of one pole stay: (2·k − 2 + 1)/4 for k of 0, 1, 2.
        let corpus = labelled(&[(1, "a"), (-1, "a"), (0, "a"), (1, "b")]);
        let error = at(-0.9).apply(&corpus, &questions, None).unwrap_err().to_string();
        let expected = "resample: corpus_bias is -0.9, expected -0.250 to 0.750, which the labels";
        assert!(error.starts_with(expected), "{error}");
        let (reached, _) = at(0.75).apply(&corpus, &questions, None).unwrap();
        assert!((mean(&reached) - 0.75).abs() < 1e-12);
        let unlabelled = Corpus::new(vec![Document::new("d", "x")]).unwrap();
        let error = at(0.0).apply(&unlabelled, &questions, None).unwrap_err().to_string();
        assert!(
            error.contains("one in which `d` has none, expected documents that all have a label"),
            "{error}"
        );
        assert!(at(1.5).check().is_err() && at(f64::NAN).check().is_err());
    }
}
