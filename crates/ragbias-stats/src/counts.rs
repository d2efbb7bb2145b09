use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, ArrayView1, Axis};
use ragbias_core::Lean;

use crate::{Error, Points, Result};

/// The outcome of one question, as needed for a fit. `None` means unscored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuestionOutcome<'a> {
    /// The embedder.
    pub embedder: &'a str,
    /// The topic of the question.
    pub topic: &'a str,
    /// Lean of the retrieved documents.
    pub document: Option<Lean>,
    /// Lean of the answer given these documents.
    pub answer: Option<Lean>,
    /// Lean of the answer without context.
    pub llm: Option<Lean>,
}

/// Sums of leans and numbers of scored texts per topic and embedder: all that resampling topics needs.
///
/// Topics and embedders are sorted by name, so that the order of outcomes is irrelevant.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicCounts {
    embedders: Vec<String>,
    topics: Vec<String>,
    /// A row per topic, 4J + 2 columns for J embedders: sum and number of document leans, sum and number of answer
    /// leans, each for all embedders in turn; then sum and number of answers without context.
    sums: Array2<f64>,
}

/// E_b and R_b of every embedder, and L_b.
pub(crate) struct Biases {
    pub(crate) embedder: Vec<f64>,
    pub(crate) rag: Vec<f64>,
    pub(crate) llm: f64,
}

impl TopicCounts {
    /// Counts outcomes, one per question and embedder.
    ///
    /// # Errors
    /// Fewer than two topics; an embedder that was asked a different number of questions on a topic than the first one, or
    /// has nothing scored.
    pub fn new<'a>(outcomes: impl IntoIterator<Item = QuestionOutcome<'a>>) -> Result<Self> {
        let outcomes: Vec<_> = outcomes.into_iter().collect();
        let index =
            |names: BTreeSet<&'a str>| -> BTreeMap<&'a str, usize> { names.into_iter().zip(0..).collect() };
        let embedders = index(outcomes.iter().map(|outcome| outcome.embedder).collect());
        let topics = index(outcomes.iter().map(|outcome| outcome.topic).collect());
        if topics.len() < 2 {
            return Err(Error::TooFew { what: "topics", expected: 2, received: topics.len() });
        }
        let j = embedders.len();
        let mut sums = Array2::zeros((topics.len(), 4 * j + 2));
        let mut asked = Array2::<usize>::zeros((topics.len(), j));
        for outcome in &outcomes {
            let (t, e) = (topics[outcome.topic], embedders[outcome.embedder]);
            asked[(t, e)] += 1;
            let places = [
                (outcome.document, e, j + e),
                (outcome.answer, 2 * j + e, 3 * j + e),
                (outcome.llm, 4 * j, 4 * j + 1),
            ];
            for (lean, sum, number) in places {
                if let Some(lean) = lean {
                    sums[(t, sum)] += lean.value();
                    sums[(t, number)] += 1.0;
                }
            }
        }
        let counts = Self {
            embedders: embedders.into_keys().map(str::to_owned).collect(),
            topics: topics.into_keys().map(str::to_owned).collect(),
            sums,
        };
        counts.check(&asked)?;
        Ok(counts)
    }

    fn check(&self, asked: &Array2<usize>) -> Result<()> {
        for ((t, e), received) in asked.indexed_iter() {
            let expected = asked[(t, 0)];
            if *received != expected {
                let (topic, embedder) = (self.topics[t].clone(), self.embedders[e].clone());
                return Err(Error::Questions { topic, embedder, expected, received: *received });
            }
        }
        let j = self.embedders.len();
        let total = self.sums.sum_axis(Axis(0));
        for (e, embedder) in self.embedders.iter().enumerate() {
            for (what, number) in
                [("documents", j + e), ("answers", 3 * j + e), ("answers without context", 4 * j + 1)]
            {
                if total[number] == 0.0 {
                    return Err(Error::NothingScored { embedder: embedder.clone(), what });
                }
            }
        }
        Ok(())
    }

    /// The embedders, in order.
    pub fn embedders(&self) -> &[String] {
        &self.embedders
    }

    /// The topics, in order.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// E_b and R_b of every embedder.
    ///
    /// # Errors
    /// Embedders that determine no line, see [`Points::new`].
    pub fn points(&self) -> Result<Points> {
        let biases = self.all();
        Points::new(biases.embedder, biases.rag)
    }

    /// L_b.
    pub fn llm_bias(&self) -> f64 {
        self.all().llm
    }

    pub(crate) fn all(&self) -> Biases {
        self.biases(self.sums.sum_axis(Axis(0)).view()).expect("checked when made; this is a bug")
    }

    /// (topics, 4J + 2).
    pub(crate) fn sums(&self) -> &Array2<f64> {
        &self.sums
    }

    /// From sums over drawn topics; none if one of them has nothing scored.
    pub(crate) fn biases(&self, sums: ArrayView1<f64>) -> Option<Biases> {
        let j = self.embedders.len();
        let ratio = |sum: usize, number: usize| (sums[number] > 0.0).then(|| sums[sum] / sums[number]);
        Some(Biases {
            embedder: (0..j).map(|e| ratio(e, j + e)).collect::<Option<_>>()?,
            rag: (0..j).map(|e| ratio(2 * j + e, 3 * j + e)).collect::<Option<_>>()?,
            llm: ratio(4 * j, 4 * j + 1)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome<'a>(embedder: &'a str, topic: &'a str, leans: [i64; 3]) -> QuestionOutcome<'a> {
        // 9 means unscored.
        let [document, answer, llm] = leans.map(|lean| Lean::try_from(lean).ok());
        QuestionOutcome { embedder, topic, document, answer, llm }
    }

    #[test]
    fn biases_are_means_over_what_is_scored() {
        let rows = [
            outcome("b", "law", [1, 1, -1]),
            outcome("a", "law", [-1, 9, -1]),
            outcome("c", "law", [0, 0, -1]),
            outcome("b", "art", [1, -1, 1]),
            outcome("c", "art", [1, 1, 1]),
            outcome("a", "art", [9, -1, 1]),
            outcome("a", "art", [0, 1, 9]),
            outcome("b", "art", [1, 9, 9]),
            outcome("c", "art", [1, 1, 9]),
        ];
        let counts = TopicCounts::new(rows).unwrap();
        assert_eq!(
            (counts.embedders(), counts.topics()),
            (&["a", "b", "c"].map(String::from)[..], &["art", "law"].map(String::from)[..])
        );
        let points = counts.points().unwrap();
        assert_eq!(points.embedder_bias(), [-0.5, 1.0, 2.0 / 3.0]);
        assert_eq!(points.rag_bias(), [0.0, 0.0, 2.0 / 3.0]);
        assert_eq!(counts.llm_bias(), 0.0);
        let refused =
            |rows: &[QuestionOutcome]| TopicCounts::new(rows.iter().copied()).unwrap_err().to_string();
        assert_eq!(
            refused(&rows[..8]),
            "topic `art`: expected 2 questions for each embedder, received 1 for `c`"
        );
        assert_eq!(refused(&rows[..3]), "topics: expected at least 2, received 1");
        let mute: Vec<_> = rows.iter().map(|row| QuestionOutcome { answer: None, ..*row }).collect();
        assert_eq!(refused(&mute), "embedder `a`: none of its answers is scored");
    }
}
