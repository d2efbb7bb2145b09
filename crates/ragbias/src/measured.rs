use std::fmt;

use ragbias_core::{Bias, Choice, Counts};
use ragbias_data::{Outcome, Qrels};
use serde::{Deserialize, Serialize};

use crate::system::{Answers, Labels, Retrieved};

/// The biases of the components of a RAG system. Serialised, it is the output of `ragbias measure --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// L_b: answers without context; none if no LLM was asked, or none of its answers was scored.
    pub llm_bias: Option<Bias>,
    /// C_b: every document of the corpus.
    pub corpus_bias: Bias,
    /// C_b around the questions: the 20 nearest documents of each.
    pub neighbourhood_bias: Bias,
    /// E_b: the top-k documents of each question, the majority of each pole.
    pub embedder_bias: Bias,
    /// The expected E_b under stochastic ranking, if one document is drawn.
    pub expected_embedder_bias: Option<f64>,
    /// R_b: answers given these documents; none if no LLM was asked, or none of its answers was scored.
    pub rag_bias: Option<Bias>,
    /// L_b and R_b that are missing although the LLM was asked, because no answer could be scored.
    pub nothing_scored: Vec<NothingScored>,
    /// Mean log-odds of the claim shown first, with context; only for choices.
    pub position_bias: Option<f64>,
    /// The coverage: how probable it was that the LLM would answer with one of the two letters, with and without context; only
    /// for choices.
    pub coverage: Option<Coverage>,
    /// Mean nDCG@10 over the questions that have judgements.
    pub ndcg10: Option<f64>,
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
        let (llm_bias, rag_bias) = (bias(alone), bias(given));
        Self {
            llm_bias,
            corpus_bias: found.judged().bias(),
            neighbourhood_bias: found.neighbourhood_bias(),
            embedder_bias: found.bias(),
            expected_embedder_bias: found.expected_bias(),
            rag_bias,
            nothing_scored,
            position_bias: given.and_then(Answers::position_bias),
            coverage: Coverage::of([alone, given].into_iter().flatten().flat_map(Answers::choices)),
            ndcg10: qrels.and_then(|qrels| found.ndcg10(qrels)),
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
}

/// A bias computed from the LLM's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerBias {
    /// L_b.
    LlmBias,
    /// R_b.
    RagBias,
}

impl AnswerBias {
    /// Its symbol.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::LlmBias => "L_b",
            Self::RagBias => "R_b",
        }
    }
}

/// A missing bias, because no answer could be scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NothingScored {
    /// Which bias.
    pub bias: AnswerBias,
    /// The outcomes of the answers.
    #[serde(flatten)]
    pub counts: Counts,
}

impl NothingScored {
    /// What the user can do about the most frequent outcome.
    pub fn hint(&self) -> &'static str {
        let Counts { unscored, refused, cut, .. } = self.counts;
        if cut >= unscored.max(refused) {
            "the token budget was spent before an answer came: allow more with --reasoning-tokens where the model of a server \
             thinks first (or --thinking off), else with --max-new-tokens"
        } else if refused >= unscored {
            "the LLM refused, or a filter took its answers: --out DIR writes what it said"
        } else {
            "the scorer could not tell of any answer where it leans: --out DIR writes the answers"
        }
    }
}

impl fmt::Display for NothingScored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (symbol, asked) = (self.bias.symbol(), self.counts.asked());
        write!(f, "{symbol}: none of the {asked} answers could be scored ({})", self.counts)
    }
}

/// The coverage of the two letters, over all choices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Mean, in [0, 1].
    pub mean: f64,
    /// Minimum over the choices, in [0, 1].
    pub least: f64,
}

impl Coverage {
    pub(crate) fn of<'c>(choices: impl Iterator<Item = &'c Choice>) -> Option<Self> {
        let all: Vec<f64> = choices.map(|choice| choice.coverage).collect();
        let least = all.iter().copied().min_by(f64::total_cmp)?;
        Some(Self { mean: all.iter().sum::<f64>() / all.len() as f64, least })
    }
}
