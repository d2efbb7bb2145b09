//! Biases of answers, and answers without one.

use std::fmt;

use ragbias_core::Counts;
use serde::{Deserialize, Serialize};

/// Which bias of an LLM's answers.
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

/// An undefined bias: no answer could be scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NothingScored {
    /// Which one.
    pub bias: AnswerBias,
    /// The verdicts on the answers.
    #[serde(flatten)]
    pub counts: Counts,
}

impl NothingScored {
    /// A hint on the most frequent reason.
    pub fn hint(&self) -> &'static str {
        let Counts { unscored, refused, cut, .. } = self.counts;
        if cut >= unscored.max(refused) {
            "the token budget was spent before there was an answer: allow more `reasoning-tokens` if the model of a server \
             reasons first (or `thinking off`), else more `max-new-tokens`"
        } else if refused >= unscored {
            "the LLM refused, or a filter took its answers: `out DIR` writes what it said"
        } else {
            "the scorer could not determine the lean of any answer: `out DIR` writes the answers"
        }
    }
}

impl fmt::Display for NothingScored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (symbol, asked) = (self.bias.symbol(), self.counts.asked());
        write!(f, "{symbol}: none of the {asked} answers could be scored ({})", self.counts)
    }
}

/// The coverage of the two letters, over all choices; or of the names of the twins, over all pair answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// On average, in [0, 1].
    pub mean: f64,
    /// Minimum over the answers, in [0, 1].
    pub least: f64,
}

impl Coverage {
    pub(crate) fn of(answers: impl Iterator<Item = f64>) -> Option<Self> {
        let all: Vec<f64> = answers.collect();
        let least = all.iter().copied().min_by(f64::total_cmp)?;
        Some(Self { mean: all.iter().sum::<f64>() / all.len() as f64, least })
    }
}
