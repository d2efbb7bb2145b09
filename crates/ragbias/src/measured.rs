use ragbias_core::{Bias, Counts};
use ragbias_data::{Measurement, Outcome, Qrels};
use ragbias_stats::Equivalence;
use serde::{Deserialize, Serialize};

use crate::answer_bias::{AnswerBias, Coverage, NothingScored};
use crate::calibration::Correction;
use crate::measure::AnswerMode;
use crate::selection::Selection;
use crate::system::{Answers, Audited, ByRank, Labels, Retrieved, TwinPreference};

/// The biases of the components of a RAG system. Serialised, it is the output of `ragbias measure --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// L_b: answers without context; none if no LLM was asked, or none of its answers was scored.
    pub llm_bias: Option<Bias>,
    /// C_b: every document of the corpus.
    pub corpus_bias: Bias,
    /// C_b around the questions: the 20 nearest documents of each.
    pub neighbourhood_bias: Bias,
    /// E_b: the top-k documents of each question, the majority of each pole.
    pub embedder_bias: Bias,
    /// E_b and exposure by rank, where the LLM is given more than one document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_rank: Option<ByRank>,
    /// The expected E_b under stochastic ranking or re-ranking, if one document is drawn.
    pub expected_embedder_bias: Option<f64>,
    /// Which twin of a passage the embedder ranks first; none if the corpus has no twins, or no question is about them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin_preference: Option<TwinPreference>,
    /// How the LLM's answers were read, if it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<AnswerMode>,
    /// Two-sided p value of the hypothesis that R_b is 0, or E_b if no LLM was asked; none in results of versions that did not compute it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_of_no_bias: Option<f64>,
    /// R_b: answers given these documents; none if no LLM was asked, or none of its answers was scored.
    pub rag_bias: Option<Bias>,
    /// L_b and R_b that are missing although the LLM was asked, because no answer could be scored.
    #[serde(default)]
    pub nothing_scored: Vec<NothingScored>,
    /// Mean log-odds of the claim shown first, with context, for choices; for pair answers, of the name whose document is shown first, per
    /// token, over the questions whose context shows both twins.
    pub position_bias: Option<f64>,
    /// The coverage: how probable it was that the LLM would answer with one of the two letters or names, with and without context; only
    /// for choices and pair answers.
    pub coverage: Option<Coverage>,
    /// Mean nDCG@10 over the questions that have judgements.
    pub ndcg10: Option<f64>,
    /// How often each pole is selected: behind E_b, L_b and R_b.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selections: Vec<Selection>,
    /// Biases corrected for the errors of their scorers, where these have a calibration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corrections: Vec<Correction>,
    /// The outcome of each question.
    #[serde(skip)]
    pub outcomes: Vec<Outcome>,
}

impl Measured {
    /// The results of the stages; L_b and R_b if the LLM was asked.
    pub fn new(
        found: &Retrieved,
        alone: Option<&Answers>,
        given: Option<&Answers>,
        qrels: Option<&Qrels>,
        labels: Labels<'_>,
    ) -> Self {
        let mut nothing_scored = Vec::new();
        let mut bias = |answers: Option<&Answers>| match answers?.judged() {
            Ok(bias) => Some(bias),
            Err(none) => {
                nothing_scored.push(none);
                None
            }
        };
        let audited = Audited::new(found, alone, given);
        let (llm_bias, rag_bias) = (bias(alone), bias(given));
        Self {
            llm_bias,
            corpus_bias: found.judged().bias(),
            neighbourhood_bias: found.neighbourhood_bias(),
            embedder_bias: found.bias(),
            by_rank: ByRank::of(found),
            expected_embedder_bias: found.expected_bias(),
            twin_preference: found.twin_preference(),
            answers: given.or(alone).and_then(|_| found.answering()),
            p_of_no_bias: found.p_of_no_bias(given),
            rag_bias,
            nothing_scored,
            position_bias: given.and_then(Answers::position_bias),
            coverage: Coverage::of([alone, given].into_iter().flatten().flat_map(Answers::coverages)),
            ndcg10: qrels.and_then(|qrels| found.ndcg10(qrels)),
            selections: audited.selections(),
            corrections: audited.corrections(),
            outcomes: found.outcomes(labels, alone, given),
        }
    }

    /// The outcomes of the answers behind a bias, if the LLM was asked.
    pub fn counts(&self, of: AnswerBias) -> Option<Counts> {
        let bias = match of {
            AnswerBias::LlmBias => self.llm_bias,
            AnswerBias::RagBias => self.rag_bias,
        };
        let none = self.nothing_scored.iter().find(|none| none.bias == of);
        bias.map(|bias| bias.counts()).or(none.map(|none| none.counts))
    }

    /// Why there is no R_b, although an LLM was asked.
    pub fn without_rag_bias(&self) -> Option<&NothingScored> {
        self.nothing_scored.iter().find(|none| none.bias == AnswerBias::RagBias)
    }

    /// The bias for the verdict: R_b, or E_b if there is none.
    pub fn outcome(&self) -> Bias {
        self.rag_bias.unwrap_or(self.embedder_bias)
    }

    /// The verdict on |bias| < δ; undecided if the outcomes are not known.
    pub fn verdict(&self, delta: f64) -> Equivalence {
        let judged = Equivalence::of(&self.outcome(), delta).ok();
        judged.filter(|_| self.without_rag_bias().is_none()).unwrap_or(Equivalence::Undecided)
    }
}

/// The family name of embedders without a family.
pub const BASE_FAMILY: &str = "base";

/// One measurement of a run. All of them are `results.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PartResult {
    /// The axis.
    pub axis: String,
    /// The pole of lean −1.
    pub negative: String,
    /// The pole of lean +1.
    pub positive: String,
    /// The data set.
    pub data: String,
    /// Which questions.
    pub split: String,
    /// How many questions.
    pub questions: usize,
    /// The embedder.
    pub embedder: String,
    /// Its family, or [`BASE_FAMILY`].
    pub family: String,
    /// The LLM, where one answered.
    pub llm: Option<String>,
    /// What was measured.
    #[serde(flatten)]
    pub measured: Measured,
}

impl PartResult {
    /// Whether the embedder belongs to no family.
    pub fn is_base(&self) -> bool {
        self.family == BASE_FAMILY
    }

    /// Why there is no R_b, although an LLM was asked.
    pub fn without_rag_bias(&self) -> Option<&NothingScored> {
        self.measured.without_rag_bias()
    }

    /// The bias for the verdict: R_b, or E_b if there is none.
    pub fn outcome(&self) -> Bias {
        self.measured.outcome()
    }

    /// The verdict on |bias| < δ; undecided if the outcomes are not known.
    pub fn verdict(&self, delta: f64) -> Equivalence {
        self.measured.verdict(delta)
    }

    /// As a row of a measurement table.
    pub(crate) fn measurement(&self) -> Measurement {
        let measured = &self.measured;
        Measurement {
            embedder: self.embedder.clone(),
            family: self.family.clone(),
            llm: self.llm.clone(),
            axis: self.axis.clone(),
            corpus: self.data.clone(),
            split: self.split.clone(),
            n: self.questions,
            embedder_bias: measured.embedder_bias,
            twin_preference: measured.twin_preference.map(|preference| preference.bias),
            rag_bias: measured.rag_bias,
            rag_counts: measured.counts(AnswerBias::RagBias),
            llm_bias: measured.llm_bias,
            llm_counts: measured.counts(AnswerBias::LlmBias),
            corpus_bias: measured.corpus_bias,
            ndcg10: measured.ndcg10,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use ragbias_core::Verdict;

    use super::*;

    /// A result of one question, with this p value.
    pub(crate) fn part_result(axis: &str, family: &str, p_of_no_bias: Option<f64>) -> PartResult {
        let bias = Bias::from_verdicts(&[Verdict::POSITIVE], -1.0..=1.0).unwrap();
        PartResult {
            axis: axis.into(),
            negative: "−".into(),
            positive: "+".into(),
            data: axis.into(),
            split: "all".into(),
            questions: 1,
            embedder: "e".into(),
            family: family.into(),
            llm: None,
            measured: Measured {
                llm_bias: None,
                corpus_bias: bias,
                neighbourhood_bias: bias,
                embedder_bias: bias,
                by_rank: None,
                expected_embedder_bias: None,
                twin_preference: None,
                answers: None,
                p_of_no_bias,
                rag_bias: None,
                nothing_scored: Vec::new(),
                position_bias: None,
                coverage: None,
                ndcg10: None,
                selections: Vec::new(),
                corrections: Vec::new(),
                outcomes: Vec::new(),
            },
        }
    }
}
