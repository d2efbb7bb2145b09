//! Saves fine-tuned checkpoints as folders that sentence-transformers loads.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use ragbias_files::{Staging, folder_of, sha256_of, sha256_once};
use serde_json::{Value, json};

use crate::card::Card;
use crate::config::{CheckpointConfig, CheckpointFiles, DenseFile, Family, IDENTITY, Module};
use crate::files::{Object, read_json};
use crate::parameters::Parameters;
use crate::steps::{linear_maps, other_than_linear};
use crate::tokenizer::{TextTokenizer, Wanted};
use crate::weights::{Owner, Weights, single};
use crate::{Error, Result};

/// A checkpoint that differs from its base in some weights, or by a head.
///
/// Saved, it is a folder that `SentenceTransformer(dir)` and text-embeddings-inference load: the weights with the changed
/// tensors replaced, the base's tokenizer, pooling, text length and prompts in files that every release from 5.0 on
/// can read, a `Dense` module if there is a head, and `ragbias.json` with the SHA-256 of each.
#[derive(Debug)]
pub struct Checkpoint<'a> {
    /// The folder of the base.
    pub base: &'a Path,
    /// Weights of the encoder that differ from the base's.
    pub parameters: Option<&'a Parameters>,
    /// A linear map after pooling and the base's own, `(dim, dim)`: W of y = x·Wᵀ.
    pub head: Option<&'a Tensor>,
    /// The content of `ragbias.json`: recipe, seed, base, measured biases.
    pub card: Value,
}

/// The file of the weights.
const WEIGHTS: &str = "model.safetensors";

/// Files of the tokenizer that a checkpoint copies from its base, if present.
const TOKENIZER: [&str; 4] =
    ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt"];

impl Checkpoint<'_> {
    /// Writes the folder atomically; an existing one is replaced.
    ///
    /// # Errors
    /// A base with modules that a member cannot have, missing files, failures of the file system.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let staging = Staging::within(folder_of(folder))?;
        self.fill(staging.path())?;
        #[cfg(unix)]
        fs_err::set_permissions(staging.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(staging.replace(folder)?)
    }

    /// Files are not synchronised one by one: one that a power cut loses is found by its hash, and the checkpoint made again.
    fn fill(&self, folder: &Path) -> Result<()> {
        let files = CheckpointFiles::read(self.base)?;
        check_kept(self.base, &files.config)?;
        let maps = linear_maps(&files, &Device::Cpu)?;
        let mut config: Object = read_json(&files.transformer.join("config.json"))?;
        if self.parameters.is_some() {
            // Training uses f32 weights; transformers would round them to this type.
            for key in ["dtype", "torch_dtype"] {
                if let Some(value) = config.get_mut(key).filter(|value| value.is_string()) {
                    *value = "float32".into();
                }
            }
        }
        write_json(&folder.join("config.json"), &Value::Object(config))?;
        let weights =
            self.write_weights(files.config.encoder.family, &files.transformer, &folder.join(WEIGHTS))?;
        let max_tokens = write_tokenizer(&files, folder)?;
        let text = json!({ "max_seq_length": max_tokens, "do_lower_case": files.do_lower_case });
        write_json(&folder.join("sentence_bert_config.json"), &text)?;
        let settings = self.base.join("config_sentence_transformers.json");
        // Without modules.json, sentence-transformers ignores the base's.
        if settings.is_file() && self.base.join("modules.json").is_file() {
            fs_err::copy(settings, folder.join("config_sentence_transformers.json"))?;
        }
        self.write_modules(folder, &files.config, &maps)?;
        Card::write(folder, &self.card, (WEIGHTS, weights))
    }

    /// Gives the SHA-256 of what it wrote.
    fn write_weights(&self, family: Family, base: &Path, own: &Path) -> Result<String> {
        let whole = base.join(WEIGHTS);
        if self.parameters.is_none() && whole.is_file() {
            let sum = sha256_once(&whole)?;
            // Never a link: changing a member would change the base. Where the file system can share the bytes of both files
            // until one is written to, as Btrfs, XFS and APFS can, the system's copy does so at no cost.
            fs_err::copy(&whole, own)?;
            return Ok(sum);
        }
        let changed: BTreeMap<_, &Tensor> = (self.parameters.into_iter().flat_map(Parameters::iter))
            .map(|(name, tensor)| (family.own_name(name), tensor))
            .collect();
        let values = |own: &str| changed.get(own).copied().cloned();
        let bytes = Weights::open(base, Owner::Encoder(family))?.with(&values)?;
        fs_err::write(own, &bytes)?;
        Ok(sha256_of(&bytes))
    }

    /// Transformer, pooling, linear maps, the head if there is one, normalisation.
    fn write_modules(&self, folder: &Path, config: &CheckpointConfig, maps: &[Tensor]) -> Result<()> {
        let pooling = config.pooling.to_file(config.encoder.hidden_size).ok_or_else(|| {
            let expected = "one that every release of sentence-transformers reads";
            let received = format!("{:?}", config.pooling.modes());
            Error::unsupported(&self.base.join("modules.json"), "the order of pooling", expected, received)
        })?;
        fs_err::create_dir(folder.join("1_Pooling"))?;
        write_json(&folder.join("1_Pooling/config.json"), &pooling)?;
        let mut modules = vec![(String::new(), "Transformer"), ("1_Pooling".to_owned(), "Pooling")];
        for map in maps.iter().chain(self.head) {
            let (outputs, inputs) = map.dims2()?;
            let name = format!("{}_Dense", modules.len());
            let dense = folder.join(&name);
            fs_err::create_dir(&dense)?;
            fs_err::write(dense.join(WEIGHTS), single("linear.weight", map)?)?;
            let file = DenseFile {
                in_features: inputs,
                out_features: outputs,
                bias: false,
                activation_function: IDENTITY,
            };
            write_json(&dense.join("config.json"), &json!(file))?;
            modules.push((name, "Dense"));
        }
        modules.push((format!("{}_Normalize", modules.len()), "Normalize"));
        let modules: Vec<Module> = modules
            .iter()
            .enumerate()
            .map(|(idx, (path, kind))| Module {
                idx,
                name: idx.to_string(),
                path: path.clone(),
                kind: format!("sentence_transformers.models.{kind}"),
            })
            .collect();
        write_json(&folder.join("modules.json"), &json!(modules))
    }
}

/// A member has the base's encoder, pooling and linear maps, its own head, and unit vectors; other modules would be lost.
fn check_kept(base: &Path, config: &CheckpointConfig) -> Result<()> {
    match other_than_linear(&config.steps) {
        Some(other) => Err(Error::unsupported(
            &base.join("modules.json"),
            "a module of the base",
            "Transformer, Pooling, Dense without bias and function, and Normalize, which a tuned checkpoint keeps",
            other,
        )),
        None => Ok(()),
    }
}

/// The tokenizer's files and the text length; files that text-embeddings-inference requires are created if the base lacks them.
fn write_tokenizer(files: &CheckpointFiles, folder: &Path) -> Result<usize> {
    let base = &files.transformer;
    for file in TOKENIZER {
        let from = base.join(file);
        if from.is_file() {
            fs_err::copy(from, folder.join(file))?;
        }
    }
    let (tokenizer, source) = TextTokenizer::read(base, &Wanted::of(files))?;
    let (from, own) = (base.join("tokenizer.json"), folder.join("tokenizer.json"));
    if from.is_file() && source.changes.is_empty() {
        fs_err::copy(from, own)?;
    } else {
        fs_err::write(own, tokenizer.to_json(base)?)?;
    }
    if !base.join("tokenizer_config.json").is_file() {
        let class = tokenizer.class_name();
        let settings = json!({ "tokenizer_class": class, "model_max_length": tokenizer.max_tokens() });
        write_json(&folder.join("tokenizer_config.json"), &settings)?;
    }
    Ok(tokenizer.max_tokens())
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text =
        serde_json::to_string_pretty(value).map_err(|reason| Error::Json { path: path.into(), reason })?;
    Ok(fs_err::write(path, text)?)
}
