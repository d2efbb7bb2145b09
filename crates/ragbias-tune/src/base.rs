use std::path::{Path, PathBuf};

use candle_core::Device;
use ragbias_core::{ContentId, Embedder, Similarity};
use ragbias_embed::{
    CheckpointConfig, EncoderConfig, Parameters, PoolingMode, StepConfig, TextEmbedder, TextEmbedderConfig,
};

use crate::{Error, Result};

/// The base embedder of a family.
#[derive(Debug, Clone)]
pub struct Base {
    folder: PathBuf,
    pub(crate) embedder: TextEmbedder,
    pub(crate) parameters: Parameters,
    /// The device of its weights, on which members are trained.
    pub(crate) device: Device,
}

impl Base {
    /// Loads a checkpoint folder.
    ///
    /// # Errors
    /// Anything missing, malformed or of another architecture, with its file; modules that a member could not have, or that the
    /// loss does not support ([`Error::Base`]).
    pub fn load(folder: &Path, settings: &TextEmbedderConfig) -> Result<Self> {
        let (embedder, parameters) = TextEmbedder::load_with_parameters(folder, settings)?;
        if let Some((what, expected)) = untrainable(embedder.config()) {
            return Err(Error::Base { folder: folder.into(), what, expected });
        }
        let device = settings.processor.device()?;
        Ok(Self { folder: folder.into(), embedder, parameters, device })
    }

    /// The checkpoint folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The unchanged embedder.
    pub fn embedder(&self) -> &TextEmbedder {
        &self.embedder
    }

    /// Hash of its weights and settings.
    pub fn id(&self) -> ContentId {
        self.embedder.id()
    }

    /// Number of layers of its encoder.
    pub fn layers(&self) -> usize {
        self.shape().num_hidden_layers
    }

    pub(crate) fn shape(&self) -> &EncoderConfig {
        &self.embedder.config().encoder
    }
}

/// A property of the base that training does not support, and what it supports.
fn untrainable(config: &CheckpointConfig) -> Option<(String, &'static str)> {
    let modes: Vec<&str> = config.pooling.modes().iter().map(|mode| mode.name()).collect();
    if !matches!(config.pooling.single(), Some(PoolingMode::Mean | PoolingMode::Cls)) {
        return Some((format!("pooling by {}", modes.join(" and ")), "pooling by mean or by cls"));
    }
    let prompts = [&config.prefixes.question, &config.prefixes.document];
    if !config.pooling.includes_prompt() && prompts.iter().any(|prompt| !prompt.is_empty()) {
        return Some(("prompts that are left out of pooling".into(), "include_prompt true, or no prompts"));
    }
    if let Some(step) = config.steps.iter().find(|step| **step != StepConfig::Normalize) {
        return Some((format!("a {} module", step.name()), "Transformer, Pooling and Normalize alone"));
    }
    if let Some(dim) = config.truncate_dim {
        return Some((format!("truncate_dim {dim}"), "vectors that are not cut"));
    }
    (config.similarity != Similarity::Cosine)
        .then(|| (format!("similarity_fn_name {}", config.similarity), "cosine, which the loss is over"))
}

#[cfg(test)]
mod tests {
    use ragbias_embed::{Family, Pooling, Prefixes};

    use super::*;

    fn plain() -> CheckpointConfig {
        CheckpointConfig {
            encoder: EncoderConfig::of(Family::Bert),
            pooling: PoolingMode::Mean.into(),
            steps: vec![StepConfig::Normalize],
            truncate_dim: None,
            similarity: Similarity::Cosine,
            prefixes: Prefixes::default(),
        }
    }

    #[test]
    fn a_base_that_training_does_not_go_through_is_refused_by_what_it_has() {
        assert_eq!(untrainable(&plain()), None);
        let prefixes = Prefixes { question: "query: ".into(), document: String::new() };
        let left_out = Pooling::joined(vec![PoolingMode::Cls]).without_prompts();
        assert_eq!(untrainable(&CheckpointConfig { prefixes: prefixes.clone(), ..plain() }), None);
        assert_eq!(untrainable(&CheckpointConfig { pooling: left_out.clone(), ..plain() }), None);
        let joined = Pooling::joined(vec![PoolingMode::Mean, PoolingMode::Max]);
        for (config, what) in [
            (CheckpointConfig { pooling: joined, ..plain() }, "pooling by mean and max"),
            (
                CheckpointConfig { pooling: left_out, prefixes, ..plain() },
                "prompts that are left out of pooling",
            ),
            (
                CheckpointConfig { steps: vec![StepConfig::LayerNorm { dim: 8 }], ..plain() },
                "a LayerNorm module",
            ),
            (CheckpointConfig { truncate_dim: Some(4), ..plain() }, "truncate_dim 4"),
            (CheckpointConfig { similarity: Similarity::Dot, ..plain() }, "similarity_fn_name dot"),
        ] {
            assert_eq!(untrainable(&config).unwrap().0, what);
        }
    }
}
