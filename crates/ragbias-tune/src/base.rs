use std::path::{Path, PathBuf};

use candle_core::Device;
use ragbias_core::{ContentId, Embedder, Similarity};
use ragbias_embed::{
    Architecture, CheckpointConfig, EncoderConfig, Family, Parameters, PoolingMode, StepConfig, TextEmbedder,
    TextEmbedderConfig,
};

use crate::{Error, Result, Scope};

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
        let device = parameters.device().clone();
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

    /// Checks that its encoder is trained in a scope, and has as many layers.
    ///
    /// # Errors
    /// [`Error::Setting`] for the scope.
    pub fn check(&self, scope: Scope) -> Result<()> {
        scope.check(self.layers())?;
        match untrained(self.embedder.config(), scope) {
            None => Ok(()),
            Some((what, expected)) => Err(Error::Setting {
                setting: "scope",
                expected: format!("{expected} for a base with {what}"),
                received: scope.to_string(),
            }),
        }
    }

    /// Number of linear maps after its pooling.
    pub(crate) fn linear_maps(&self) -> usize {
        self.embedder.config().steps.iter().filter(|step| step.is_linear_map()).count()
    }

    pub(crate) fn shape(&self) -> &EncoderConfig {
        &self.embedder.config().encoder
    }
}

/// The scopes that an encoder is trained in, if a scope is not among them, and the property of the base that they are for.
fn untrained(config: &CheckpointConfig, scope: Scope) -> Option<(String, &'static str)> {
    let encoder = &config.encoder;
    match scope {
        Scope::Head => None,
        _ if matches!(encoder.family, Family::Qwen3 | Family::Gemma3) => {
            Some((format!("a {:?} encoder", encoder.family), "head"))
        }
        _ if config.pooling.single() == Some(PoolingMode::LastToken) => {
            Some(("pooling by lasttoken".into(), "head"))
        }
        _ if config.steps.iter().any(StepConfig::is_linear_map) => Some(("a Dense module".into(), "head")),
        Scope::Lora if encoder.architecture != Architecture::BERT => {
            Some((format!("a {:?} encoder", encoder.family), "full, mlp-top-N, layers-top-N or head"))
        }
        _ => None,
    }
}

/// A property of the base that training does not support, and what it supports.
fn untrainable(config: &CheckpointConfig) -> Option<(String, &'static str)> {
    let modes: Vec<&str> = config.pooling.modes().iter().map(|mode| mode.name()).collect();
    if !matches!(config.pooling.single(), Some(PoolingMode::Mean | PoolingMode::Cls | PoolingMode::LastToken))
    {
        let expected = "pooling by mean, cls or lasttoken";
        return Some((format!("pooling by {}", modes.join(" and ")), expected));
    }
    let prompts = [&config.prefixes.question, &config.prefixes.document];
    if !config.pooling.includes_prompt() && prompts.iter().any(|prompt| !prompt.is_empty()) {
        return Some(("prompts that are left out of pooling".into(), "include_prompt true, or no prompts"));
    }
    let is_kept = |step: &StepConfig| *step == StepConfig::Normalize || step.is_linear_map();
    if let Some(step) = config.steps.iter().find(|step| !is_kept(step)) {
        let expected = "Transformer, Pooling, Dense without bias and function, and Normalize alone";
        return Some((format!("a {} module", step.name()), expected));
    }
    if let Some(dim) = config.truncate_dim {
        return Some((format!("truncate_dim {dim}"), "vectors that are not cut"));
    }
    (config.similarity != Similarity::Cosine)
        .then(|| (format!("similarity_fn_name {}", config.similarity), "cosine, which the loss is over"))
}

#[cfg(test)]
mod tests {
    use ragbias_embed::{DenseConfig, Function, Pooling, Prefixes};

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

    #[test]
    fn scopes_that_a_base_is_not_trained_in_are_refused_with_the_reason() {
        let scopes = [Scope::Full, Scope::MlpTop(1), Scope::LayersTop(2), Scope::Lora, Scope::Head];
        let trained = |config: &CheckpointConfig| scopes.map(|scope| untrained(config, scope).is_none());
        let of = |family| CheckpointConfig { encoder: EncoderConfig::of(family), ..plain() };
        for family in [Family::Bert, Family::DistilBert, Family::Mpnet] {
            assert_eq!(trained(&of(family)), [true; 5]);
        }
        for family in [Family::ModernBert, Family::NomicBert, Family::Gte, Family::New] {
            assert_eq!(trained(&of(family)), [true, true, true, false, true], "{family:?}");
        }
        let dense = DenseConfig {
            inputs: 768,
            outputs: 64,
            bias: false,
            function: Function::Identity,
            residual: false,
        };
        let with_dense = CheckpointConfig { steps: vec![StepConfig::Dense(dense)], ..plain() };
        let last = CheckpointConfig { pooling: PoolingMode::LastToken.into(), ..plain() };
        for config in [of(Family::Qwen3), of(Family::Gemma3), with_dense, last] {
            assert_eq!(untrainable(&config), None);
            assert_eq!(trained(&config), [false, false, false, false, true]);
        }
        let (what, expected) = untrained(&of(Family::Qwen3), Scope::Full).unwrap();
        assert_eq!((what.as_str(), expected), ("a Qwen3 encoder", "head"));
    }
}
