//! Reads the JSON files of a checkpoint.

mod architecture;
mod architecture_file;
mod encoder;
mod encoder_file;
mod family;
mod keys;
mod modules;
mod names;
mod pooling;
mod rotary;
mod sentence;
mod step;
mod usual;

use std::path::{Path, PathBuf};

use ragbias_core::Similarity;

pub use self::architecture::{
    Architecture, Attention, Gate, Local, Matrices, Mlp, NormKind, NormOrder, Norms, Reach, Rotary,
    RotaryScaling,
};
pub use self::encoder::{Activation, EncoderConfig, Positions};
pub use self::encoder_file::Rounding;
pub use self::family::Family;
pub use self::pooling::{Pooling, PoolingMode};
pub use self::sentence::Prefixes;
pub use self::step::{DenseConfig, Function, StepConfig};

pub(crate) use self::encoder::RELATIVE_BUCKETS;
pub(crate) use self::encoder_file::{ConfigFile, rounding};
pub(crate) use self::modules::{Module, Modules};
pub(crate) use self::sentence::{SentenceFile, TransformerFile};
pub(crate) use self::step::{DenseFile, IDENTITY};

use crate::{Error, Result};

/// Everything in the JSON files of a checkpoint that affects its vectors, checked, except the tokenizer's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointConfig {
    /// What the encoder computes.
    pub encoder: EncoderConfig,
    /// How tokens are pooled.
    pub pooling: Pooling,
    /// The steps applied to a pooled vector, in order.
    pub steps: Vec<StepConfig>,
    /// Dimension to which vectors are truncated after all steps.
    pub truncate_dim: Option<usize>,
    /// How vectors are compared.
    pub similarity: Similarity,
    /// Prefixes of texts.
    pub prefixes: Prefixes,
}

/// A checkpoint's folders, and the content of its files.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointFiles {
    pub(crate) config: CheckpointConfig,
    /// The folder of the transformer: weights and tokenizer.
    pub(crate) transformer: PathBuf,
    /// The folders of the steps.
    pub(crate) steps: Vec<PathBuf>,
    /// Longest text in tokens, if sentence-transformers' own file gives it.
    pub(crate) max_seq_length: Option<usize>,
    /// Whether texts are lower-cased before the tokenizer.
    pub(crate) do_lower_case: bool,
    /// The tokenizer's class, if its own file does not give it.
    pub(crate) tokenizer_class: Option<String>,
    /// The type to which weights are rounded.
    pub(crate) rounding: Option<Rounding>,
    /// Prompts that are never used.
    pub(crate) unused_prompts: Vec<String>,
}

impl CheckpointConfig {
    /// Reads the JSON files of a checkpoint folder.
    ///
    /// # Errors
    /// A missing or malformed file, and every setting that would change vectors and is not supported.
    pub fn read(folder: &Path) -> Result<Self> {
        Ok(CheckpointFiles::read(folder)?.config)
    }

    /// Dimensions of a pooled vector.
    pub fn pooled_dim(&self) -> usize {
        self.pooling.dim(self.encoder.hidden_size)
    }

    /// Whether a text's vector does not depend on padding before it: rotary positions count from any, and in sentence-transformers
    /// these modes leave padding out.
    pub(crate) fn pads_anywhere(&self) -> bool {
        let counts = |mode: &PoolingMode| matches!(mode, PoolingMode::Cls | PoolingMode::WeightedMean);
        self.encoder.positions == Positions::Rotary && !self.pooling.modes().iter().any(counts)
    }

    /// The settings that determine vectors, in the format used for ids since the first version: settings at their default are
    /// left out.
    pub(crate) fn describe(&self, max_tokens: usize) -> String {
        let pooling = match (self.pooling.single(), self.pooling.includes_prompt()) {
            (Some(PoolingMode::Mean), true) => "Mean".to_owned(),
            (Some(PoolingMode::Cls), true) => "Cls".to_owned(),
            _ => format!("{:?}", self.pooling),
        };
        let mut parts = vec![
            self.encoder.describe(),
            format!("pooling: {pooling}"),
            format!("max_tokens: {max_tokens}"),
            format!("prefixes: {:?}", self.prefixes),
        ];
        // Vectors compared by cosine have unit length in the end, with or without a `Normalize` step.
        let is_plain = self.similarity == Similarity::Cosine && self.steps == [StepConfig::Normalize];
        if !(is_plain || self.steps.is_empty()) {
            parts.push(format!("steps: {:?}", self.steps));
        }
        parts.extend(self.truncate_dim.map(|dim| format!("truncate_dim: {dim}")));
        if self.similarity != Similarity::Cosine {
            parts.push(format!("similarity: {}", self.similarity));
        }
        format!("CheckpointConfig {{ {} }}", parts.join(", "))
    }
}

impl CheckpointFiles {
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        if let Some(modules) = Modules::read(folder)? {
            let file = ConfigFile::read(&config_path(&modules.transformer)?)?;
            let settings = TransformerFile::read(&modules.transformer)?;
            return Self::of(modules, file, settings, SentenceFile::read(folder)?);
        }
        // As in sentence-transformers without modules.json: its own files are ignored.
        let file = ConfigFile::read(&config_path(folder)?)?;
        let modules = Modules::of_transformer(folder, file.is_causal);
        Self::of(modules, file, TransformerFile::default(), SentenceFile::default())
    }

    fn of(
        modules: Modules,
        file: ConfigFile,
        settings: TransformerFile,
        whole: SentenceFile,
    ) -> Result<Self> {
        let Modules { transformer, pooling, steps } = modules;
        let (folders, steps): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        let config = CheckpointConfig {
            encoder: file.encoder,
            pooling,
            steps,
            truncate_dim: whole.truncate_dim,
            similarity: whole.similarity,
            prefixes: whole.prefixes,
        };
        check_dimensions(&config, &folders)?;
        Ok(Self {
            config,
            transformer,
            steps: folders,
            max_seq_length: settings.max_seq_length,
            do_lower_case: settings.do_lower_case,
            tokenizer_class: file.tokenizer_class,
            rounding: file.rounding,
            unused_prompts: whole.unused_prompts,
        })
    }
}

/// The path of `config.json`.
///
/// # Errors
/// A folder without it, or with an adapter that changes the weights.
pub(crate) fn config_path(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("config.json");
    if !path.is_file() {
        return Err(Error::MissingFile { folder: folder.into(), file: "config.json" });
    }
    if folder.join("adapter_config.json").is_file() {
        let expected = "the weights themselves: merge_and_unload() of peft makes them";
        return Err(Error::unsupported(
            &folder.join("adapter_config.json"),
            "the checkpoint",
            expected,
            "an adapter",
        ));
    }
    Ok(path)
}

/// Checks that every step takes what the previous one gives.
fn check_dimensions(config: &CheckpointConfig, folders: &[PathBuf]) -> Result<()> {
    let mut dim = config.pooled_dim();
    for (step, folder) in config.steps.iter().zip(folders) {
        let (key, takes, gives) = match step {
            StepConfig::Dense(dense) => ("in_features", dense.inputs, dense.outputs),
            StepConfig::LayerNorm { dim } => ("dimension", *dim, *dim),
            StepConfig::Normalize => continue,
        };
        if takes != dim {
            let expected = format!("{dim}, the dimensions of what comes before");
            return Err(Error::unsupported(&folder.join("config.json"), key, expected, takes.to_string()));
        }
        dim = gives;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
