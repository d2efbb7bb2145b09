//! Twin preference: which of two documents that differ in a person alone is more similar to the question.

use std::collections::{BTreeSet, HashMap};

use ndarray::{ArrayView1, Axis};
use ragbias_core::{
    Bias, Corpus, DocId, Embeddings, Hit, Pairs, Question, QuestionSet, Similarity, Twins, Verdict,
};
use ragbias_data::Qrels;
use ragbias_stats::ClusterBootstrap;
use serde::{Deserialize, Serialize};

use super::judged::Judged;
use crate::Result;

/// E_b over twins: the mean over questions of which twin of a passage the embedder ranks first, +1 for the positive one, −1 for the
/// negative one, 0 if their similarities are equal to within rounding.
///
/// The twins differ in the person alone, so this is a paired measurement: neither topic nor relevance differ. The ranking (a temperature)
/// has no part in it, and the twins need not be among the nearest documents. If a passage is there with several draws of names, `n`
/// counts every draw, and the draws of a question are in one cluster; the interval resamples topics.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TwinPreference {
    /// The mean, with `n`, the number of comparisons.
    #[serde(flatten)]
    pub bias: Bias,
    /// Which passages were compared.
    pub twins_of: TwinsOf,
    /// Draws of names per passage, at least 1: `n` counts this many comparisons of a passage and a question.
    #[serde(default = "one_draw")]
    pub draws: usize,
}

/// Of results that were saved before passages had draws.
fn one_draw() -> usize {
    1
}

/// The passages whose twins are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TwinsOf {
    /// Those that are relevant to the question; others are not asked about.
    Relevant,
    /// That of the nearest document, as there are no judgements.
    Nearest,
}

/// The vectors of the documents that have a twin.
pub(super) struct TwinVectors {
    rows: HashMap<DocId, usize>,
    vectors: ndarray::Array2<f32>,
}

impl TwinVectors {
    /// Of a corpus; none if no document has a `metadata.pair`. Whether these are twins is checked where they are compared.
    pub(super) fn of(corpus: &Corpus, vectors: &Embeddings) -> Option<Self> {
        let paired: Vec<usize> = (corpus.documents().iter().enumerate())
            .filter(|(_, document)| document.metadata.contains_key("pair"))
            .map(|(number, _)| number)
            .collect();
        let rows = paired.iter().enumerate().map(|(row, number)| (DocId(*number as u32), row)).collect();
        (!paired.is_empty()).then(|| Self { rows, vectors: vectors.view().select(Axis(0), &paired) })
    }

    /// Which twin is more similar to a question's vector.
    fn preferred(&self, question: ArrayView1<'_, f32>, similarity: Similarity, twins: Twins) -> Verdict {
        let of = |document: DocId| compared(question, self.vectors.row(self.rows[&document]), similarity);
        let ((negative, a), (positive, b)) = (of(twins.negative), of(twins.positive));
        if (positive - negative).abs() <= ROUNDING * a.max(b) {
            Verdict::NEITHER
        } else if positive > negative {
            Verdict::POSITIVE
        } else {
            Verdict::NEGATIVE
        }
    }
}

/// Relative error of a similarity, beyond that of vectors in f32, up to which two of them are equal.
const ROUNDING: f64 = 1e-6;

/// The similarity of two vectors, and the size of the numbers that it is made of.
fn compared(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>, similarity: Similarity) -> (f64, f64) {
    let sum = |of: fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| of(f64::from(a), f64::from(b))).sum()
    };
    let (a_length, b_length) = (sum(|a, _| a * a).sqrt(), sum(|_, b| b * b).sqrt());
    match similarity {
        Similarity::Cosine | Similarity::Dot => (sum(|a, b| a * b), a_length * b_length),
        Similarity::Euclidean => (-sum(|a, b| (a - b) * (a - b)).sqrt(), a_length + b_length),
    }
}

/// What is compared.
pub(super) struct Comparison<'a> {
    pub(super) judged: &'a Judged,
    /// Vectors of the twins, and how they are compared.
    pub(super) twins: Option<(&'a TwinVectors, Similarity)>,
    pub(super) questions: &'a QuestionSet,
    /// Of the questions.
    pub(super) vectors: &'a Embeddings,
    /// Before ranking.
    pub(super) nearest: &'a [Vec<Hit>],
    pub(super) qrels: Option<&'a Qrels>,
}

impl Comparison<'_> {
    /// The twin preference; none if no question has twins.
    pub(super) fn preference(&self, bootstrap: ClusterBootstrap) -> Result<Option<TwinPreference>> {
        let (Some(pairs), Some((twins, similarity))) = (self.judged.pairs(), self.twins) else {
            return Ok(None);
        };
        let (mut verdicts, mut topics) = (Vec::new(), Vec::new());
        for (row, question) in self.questions.questions().iter().enumerate() {
            for pair in self.passages(pairs, question, &self.nearest[row]) {
                verdicts.push(twins.preferred(self.vectors.row(row), similarity, pair));
                topics.push(question.cluster());
            }
        }
        if verdicts.is_empty() {
            return Ok(None);
        }
        let twins_of = if self.qrels.is_some() { TwinsOf::Relevant } else { TwinsOf::Nearest };
        let bias = bootstrap.bias(&verdicts, &topics)?;
        Ok(Some(TwinPreference { bias, twins_of, draws: pairs.draws() }))
    }

    /// The twins of a question's passages, in every draw of names.
    fn passages(&self, pairs: &Pairs, question: &Question, nearest: &[Hit]) -> Vec<Twins> {
        let documents: Vec<DocId> = match self.qrels {
            None => nearest.iter().take(1).map(|hit| hit.document).collect(),
            Some(qrels) => (qrels.get(&question.id).into_iter().flatten())
                .filter(|(_, grade)| **grade > 0)
                .filter_map(|(id, _)| self.judged.corpus().position(id))
                .collect(),
        };
        let mut seen = BTreeSet::new();
        (documents.into_iter())
            .filter_map(|document| pairs.passage(document))
            .filter(|(passage, _)| seen.insert(*passage))
            .flat_map(|(_, twins)| twins.iter().copied())
            .collect()
    }
}
