use std::sync::Arc;

use ragbias_core::IndexBackend;
use ragbias_core::limits::{TEMPERATURE, TOP_K};
use ragbias_index::{Exact, Hnsw};
use serde::{Deserialize, Serialize};

use crate::Result;

/// Settings of retrieval and resampling.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `top_k` | 1 | documents given to the LLM; E_b takes the majority of each pole over them | 1 to 1000; at most the corpus |
/// | `index` | exact | exact or HNSW search | |
/// | `temperature` | 0 | above 0, the top k are drawn from the 20 (or k) nearest, by the softmax of cosine / T | 0 to 1,000,000 |
/// | `seed` | 0 | seed of the draws and of the bootstrap | any |
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
    /// Seed of the draws and of the bootstrap.
    pub seed: u64,
}

ragbias_core::setters!(MeasureConfig { top_k: usize, index: IndexKind, temperature: f64, seed: u64 });

impl Default for MeasureConfig {
    fn default() -> Self {
        Self { top_k: 1, index: IndexKind::Exact, temperature: 0.0, seed: 0 }
    }
}

impl MeasureConfig {
    /// Checks the range of every setting.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) for the first value outside its range.
    pub fn check(&self) -> Result<()> {
        TOP_K.check("top-k", self.top_k)?;
        Ok(TEMPERATURE.check("temperature", self.temperature)?)
    }
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
