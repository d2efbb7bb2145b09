use std::sync::Arc;

use ragbias_core::limits::{SHARE, TEMPERATURE, TOP_K};
use ragbias_core::{Answering, Axis, IndexBackend};
use ragbias_index::{Exact, Hnsw};
use ragbias_stats::{ClusterBootstrap, Discount};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Settings of retrieval and resampling.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `top_k` | 1 | documents given to the LLM; E_b takes the majority of each pole over them | 1 to 1000; at most the corpus |
/// | `index` | exact | exact or HNSW search | |
/// | `temperature` | 0 | above 0, the top k are drawn from the 20 (or k) nearest, by the softmax of cosine / T | 0 to 1,000,000 |
/// | `rerank` | none | the 20 nearest are re-ranked so that this share of the first j that lean is positive, for every j | 0 to 1, without a temperature |
/// | `seed` | 0 | seed of the draws and of the bootstrap | any |
/// | `discount` | log2 | with `top_k` above 1, how much attention each rank gets in the exposure of the poles | see [`Discount`] |
/// | `answers` | the axis's own | how the LLM's answers are read | what the axis allows, see [`AnswerMode`] |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct MeasureConfig {
    /// Number of documents given to the LLM.
    pub top_k: usize,
    /// How neighbours are found.
    pub index: IndexKind,
    /// Temperature of stochastic ranking; 0 for none.
    pub temperature: f64,
    /// Target share of the positive pole of a re-ranking; none for no re-ranking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rerank: Option<f64>,
    /// Seed of the draws and of the bootstrap.
    pub seed: u64,
    /// How much attention each rank gets, for more than one document.
    #[serde(skip_serializing_if = "is_default")]
    pub discount: Discount,
    /// How the LLM's answers are read; none means as the axis asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<AnswerMode>,
}

ragbias_core::setters!(MeasureConfig {
    top_k: usize,
    index: IndexKind,
    temperature: f64,
    rerank: Option<f64>,
    seed: u64,
    discount: Discount,
    answers: Option<AnswerMode>,
});

impl Default for MeasureConfig {
    fn default() -> Self {
        Self {
            top_k: 1,
            index: IndexKind::Exact,
            temperature: 0.0,
            rerank: None,
            seed: 0,
            discount: Discount::default(),
            answers: None,
        }
    }
}

/// Manifests of runs without a discount of their own stay as they are.
fn is_default(discount: &Discount) -> bool {
    *discount == Discount::default()
}

impl MeasureConfig {
    /// Checks the range of every setting.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for the first value outside its range.
    pub fn check(&self) -> Result<()> {
        TOP_K.check("top-k", self.top_k)?;
        TEMPERATURE.check("temperature", self.temperature)?;
        let Some(share) = self.rerank else { return Ok(()) };
        SHARE.check("rerank", share)?;
        if self.temperature != 0.0 {
            let (expected, received) = ("no temperature with it, as both order the hits", share.to_string());
            return Err(Error::Setting { setting: "rerank", expected, received });
        }
        Ok(())
    }
}

/// How an LLM's answers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerMode {
    /// The LLM writes an answer, which a scorer reads. The default, unless the axis asks for choices.
    Text,
    /// The LLM chooses between the question's two claims. The only one where the axis asks for choices.
    Choice,
    /// The likelier one of two twins' names, by its mean log-probability per token as the answer; every question has one. Only where the
    /// axis asks for a name.
    Pair,
}

impl AnswerMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Text, Self::Choice, Self::Pair];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Choice => "choice",
            Self::Pair => "pair",
        }
    }

    /// The mode that was asked for, or the default of the axis.
    ///
    /// # Errors
    /// [`Error::Setting`] for a mode in which the axis cannot be answered.
    pub fn on(axis: &Axis, asked: Option<Self>) -> Result<Self> {
        let allowed: &[Self] = match axis.answering {
            Answering::Name => &[Self::Text, Self::Pair],
            Answering::Choice => &[Self::Choice],
            Answering::Text => &[Self::Text],
        };
        let mode = asked.unwrap_or(allowed[0]);
        if allowed.contains(&mode) {
            return Ok(mode);
        }
        let expected = match axis.answering {
            Answering::Name => "text or pair, as the axis asks for a name",
            Answering::Choice => "choice, as the axis asks for choices",
            Answering::Text => "text, as the axis asks for any text",
        };
        Err(Error::Setting { setting: "answers", expected, received: mode.name().into() })
    }
}

/// The bootstrap behind the intervals of a measurement.
pub(crate) fn bootstrap(seed: u64) -> ClusterBootstrap {
    ClusterBootstrap::new(10_000, seed)
}

/// How neighbours are found.
///
/// Exact by default: every embedder needs its own index, and in the time it takes to build a graph of 23,000 documents,
/// some 90,000 questions are answered exactly (`docs/performance.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexKind {
    /// Every document is compared.
    Exact,
    /// Approximate search with HNSW.
    Hnsw,
}

impl IndexKind {
    /// The backend for this kind of index.
    pub fn backend(self) -> Arc<dyn IndexBackend> {
        match self {
            Self::Exact => Arc::new(Exact),
            Self::Hnsw => Arc::new(Hnsw::default()),
        }
    }
}
