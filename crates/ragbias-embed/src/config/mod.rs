//! What the JSON files of a checkpoint say.

mod bert;
mod modules;
mod pooling;
mod sentence;
mod step;

use std::path::{Path, PathBuf};

use ragbias_core::Similarity;

pub use self::bert::{Activation, BertConfig};
pub use self::pooling::{Pooling, PoolingMode};
pub use self::sentence::Prefixes;
pub use self::step::{DenseConfig, Function, StepConfig};

pub(crate) use self::bert::{ConfigFile, Rounding};
pub(crate) use self::modules::{Module, Modules};
pub(crate) use self::sentence::{SentenceFile, TransformerFile};
pub(crate) use self::step::{DenseFile, IDENTITY};

use crate::{Error, Result};

/// Everything that the JSON files of a checkpoint say of its vectors, checked; what they say of tokens is the tokenizer's.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointConfig {
    /// Shape of the encoder.
    pub bert: BertConfig,
    /// How tokens are pooled.
    pub pooling: Pooling,
    /// What is done with a pooled vector, in order.
    pub steps: Vec<StepConfig>,
    /// Dimensions that vectors are cut to, after all steps.
    pub truncate_dim: Option<usize>,
    /// How vectors are compared.
    pub similarity: Similarity,
    /// What is put before texts.
    pub prefixes: Prefixes,
}

/// A checkpoint's folders, and what its files say.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointFiles {
    pub(crate) config: CheckpointConfig,
    /// The folder of the transformer: weights and tokenizer.
    pub(crate) transformer: PathBuf,
    /// The folders of the steps.
    pub(crate) steps: Vec<PathBuf>,
    /// Longest text in tokens, where sentence-transformers' own file says.
    pub(crate) max_seq_length: Option<usize>,
    /// Texts are lower-cased before the tokenizer sees them.
    pub(crate) do_lower_case: bool,
    /// The tokenizer's class, where its own file does not say.
    pub(crate) tokenizer_class: Option<String>,
    /// What weights are rounded to.
    pub(crate) rounding: Option<Rounding>,
    /// Prompts that are never put before a text.
    pub(crate) unused_prompts: Vec<String>,
}

impl CheckpointConfig {
    /// Reads the JSON files of a checkpoint folder.
    ///
    /// # Errors
    /// A missing or malformed file, and everything that would change vectors in a way that this crate does not compute.
    pub fn read(folder: &Path) -> Result<Self> {
        Ok(CheckpointFiles::read(folder)?.config)
    }

    /// Dimensions of a pooled vector.
    pub fn pooled_dim(&self) -> usize {
        self.pooling.dim(self.bert.hidden_size)
    }

    /// What decides vectors, in the words that ids were made of from the first version on: what a plain checkpoint has not,
    /// it does not say.
    pub(crate) fn describe(&self, max_tokens: usize) -> String {
        let pooling = match (self.pooling.single(), self.pooling.includes_prompt()) {
            (Some(PoolingMode::Mean), true) => "Mean".to_owned(),
            (Some(PoolingMode::Cls), true) => "Cls".to_owned(),
            _ => format!("{:?}", self.pooling),
        };
        let mut parts = vec![
            format!("bert: {:?}", self.bert),
            format!("pooling: {pooling}"),
            format!("max_tokens: {max_tokens}"),
            format!("prefixes: {:?}", self.prefixes),
        ];
        // Vectors that are compared by cosine have unit length in the end, with or without a step that says so.
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
            let file = read_config(&modules.transformer)?;
            let settings = TransformerFile::read(&modules.transformer)?;
            return Self::of(modules, file, settings, SentenceFile::read(folder)?);
        }
        // As sentence-transformers does it without modules.json: its own files are not looked at.
        let file = read_config(folder)?;
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
            bert: file.bert,
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

fn read_config(folder: &Path) -> Result<ConfigFile> {
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
    ConfigFile::read(&path)
}

/// Every step takes what the one before it gives.
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
