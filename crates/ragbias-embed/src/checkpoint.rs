//! Fine-tuned checkpoints as folders that sentence-transformers loads.

use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use crate::config::{CheckpointConfig, Pooling, read_optional_json};
use crate::head::{DenseFile, Head, IDENTITY, Module};
use crate::parameters::Parameters;
use crate::weights::{Weights, single};
use crate::{Error, Result};

/// A checkpoint that differs from a base in some weights, or by a head.
///
/// Saved, it is a folder that `SentenceTransformer(dir)` and text-embeddings-inference load: the base's files, the weights
/// with the changed tensors in their places, `1_Pooling/config.json` (without which text-embeddings-inference takes the
/// first token), a `2_Dense` module where there is a head, and `ragbias.json`.
#[derive(Debug)]
pub struct Checkpoint<'a> {
    /// The folder of the base.
    pub base: &'a Path,
    /// Weights of the encoder, where they differ from the base's.
    pub parameters: Option<&'a Parameters>,
    /// A linear map after pooling, `(dim, dim)`: W of y = x·Wᵀ.
    pub head: Option<&'a Tensor>,
    /// What `ragbias.json` says: recipe, seed, base, measured biases.
    pub card: Value,
}

/// Files that a checkpoint takes over from its base; the last ones not every base has.
const REQUIRED: [&str; 2] = ["config.json", "tokenizer.json"];
const OPTIONAL: [&str; 5] = [
    "tokenizer_config.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "config_sentence_transformers.json",
];

impl Checkpoint<'_> {
    /// Writes the folder, whole or not at all; one that was there is replaced.
    ///
    /// # Errors
    /// A base that already has a head where this one has one too, missing files, failures of the file system.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let parent = folder.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs_err::create_dir_all(parent)?;
        let staging = tempfile::Builder::new().prefix(".checkpoint").tempdir_in(parent)?;
        self.fill(staging.path())?;
        #[cfg(unix)]
        fs_err::set_permissions(staging.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        if folder.exists() {
            fs_err::remove_dir_all(folder)?;
        }
        fs_err::rename(staging.keep(), folder)?;
        Ok(())
    }

    fn fill(&self, folder: &Path) -> Result<()> {
        let config = CheckpointConfig::read(self.base)?;
        for file in REQUIRED {
            let from = self.base.join(file);
            if !from.is_file() {
                return Err(Error::MissingFile { folder: self.base.into(), file });
            }
            fs_err::copy(from, folder.join(file))?;
        }
        for file in OPTIONAL {
            let from = self.base.join(file);
            if from.is_file() {
                fs_err::copy(from, folder.join(file))?;
            }
        }
        let weights = self.base.join("model.safetensors");
        let own = folder.join("model.safetensors");
        if let Some(parameters) = self.parameters {
            let base = Weights::open(&weights)?;
            let bytes = base.tensors()?.with(&|name| parameters.get(name).ok().cloned())?;
            fs_err::write(own, bytes)?;
        } else {
            // The same bytes in a second place: a link costs nothing where both are on one disk.
            fs_err::hard_link(&weights, &own).or_else(|_| fs_err::copy(&weights, &own).map(drop))?;
        }
        fs_err::create_dir(folder.join("1_Pooling"))?;
        write_json(
            &folder.join("1_Pooling/config.json"),
            &json!({
                "word_embedding_dimension": config.bert.hidden_size,
                "pooling_mode_cls_token": config.pooling == Pooling::Cls,
                "pooling_mode_mean_tokens": config.pooling == Pooling::Mean,
                "pooling_mode_max_tokens": false,
                "pooling_mode_mean_sqrt_len_tokens": false,
            }),
        )?;
        self.write_modules(folder)?;
        write_json(&folder.join("ragbias.json"), &self.card)
    }

    /// Transformer, pooling, the head where there is one, normalisation.
    fn write_modules(&self, folder: &Path) -> Result<()> {
        let based_on: Vec<Module> = read_optional_json(&self.base.join("modules.json"))?;
        if based_on.iter().any(|module| module.kind.ends_with("Dense")) {
            return Err(Error::Unsupported {
                path: self.base.join("modules.json"),
                what: "the base",
                expected: "a checkpoint without a Dense module".into(),
                received: "one with it".into(),
            });
        }
        let mut modules = vec![("", "Transformer"), ("1_Pooling", "Pooling")];
        if let Some(head) = self.head {
            let (outputs, inputs) = head.dims2()?;
            let dense = folder.join("2_Dense");
            fs_err::create_dir(&dense)?;
            fs_err::write(dense.join("model.safetensors"), single("linear.weight", head)?)?;
            let file = DenseFile {
                in_features: inputs,
                out_features: outputs,
                bias: false,
                activation_function: IDENTITY.into(),
            };
            write_json(&dense.join("config.json"), &json!(file))?;
            modules.push(("2_Dense", "Dense"));
        }
        let normalize = format!("{}_Normalize", modules.len());
        modules.push((&normalize, "Normalize"));
        let modules: Vec<Module> = modules
            .iter()
            .enumerate()
            .map(|(idx, (path, kind))| Module {
                idx,
                name: idx.to_string(),
                path: (*path).into(),
                kind: format!("sentence_transformers.models.{kind}"),
            })
            .collect();
        write_json(&folder.join("modules.json"), &json!(modules))
    }
}

/// W of a checkpoint's head, `(dim, dim)`, where it has one that is a matrix alone.
///
/// # Errors
/// A malformed head.
pub fn read_head(folder: &Path) -> Result<Option<Tensor>> {
    let config = CheckpointConfig::read(folder)?;
    let head = Head::read(folder, config.bert.hidden_size, &Device::Cpu)?;
    Ok(head.and_then(|(head, _)| head.weight().cloned()))
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text =
        serde_json::to_string_pretty(value).map_err(|source| Error::Json { path: path.into(), source })?;
    Ok(fs_err::write(path, text)?)
}
