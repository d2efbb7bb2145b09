//! What the JSON files of a checkpoint say.

use std::path::{Path, PathBuf};

use ragbias_core::Role;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// The part of `config.json` that shapes a BERT encoder.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BertConfig {
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of a hidden state.
    pub hidden_size: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width between the two linear maps of an MLP.
    pub intermediate_size: usize,
    /// The MLP's non-linearity.
    pub hidden_act: Activation,
    /// Longest sequence that has position embeddings.
    pub max_position_embeddings: usize,
    /// Segment embeddings; texts use the first.
    pub type_vocab_size: usize,
    /// Added to the variance in every LayerNorm.
    #[serde(default = "default_layer_norm_eps")]
    pub layer_norm_eps: f64,
}

fn default_layer_norm_eps() -> f64 {
    1e-12
}

/// Non-linearity of an MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Activation {
    /// x·Φ(x), with the exact normal distribution function.
    #[serde(rename = "gelu")]
    Gelu,
    /// The tanh approximation of GELU.
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh", alias = "gelu_fast")]
    GeluTanh,
    /// max(0, x).
    #[serde(rename = "relu")]
    Relu,
}

/// How hidden states of the tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The mean over all tokens of the text.
    Mean,
    /// The hidden state of the first token.
    Cls,
}

/// What is put before a text, by role: E5 asks for `query: ` and `passage: `.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prefixes {
    /// Before a question.
    pub question: String,
    /// Before a document.
    pub document: String,
}

impl Prefixes {
    /// The prefix for texts of a role.
    pub fn of(&self, role: Role) -> &str {
        match role {
            Role::Question => &self.question,
            Role::Document => &self.document,
        }
    }
}

/// Everything that the JSON files of a checkpoint say, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointConfig {
    /// Shape of the encoder.
    pub bert: BertConfig,
    /// How tokens are pooled.
    pub pooling: Pooling,
    /// Longest sequence in tokens, special tokens included; longer texts are cut.
    pub max_tokens: usize,
    /// What is put before texts.
    pub prefixes: Prefixes,
}

#[derive(Deserialize)]
struct ModelType {
    model_type: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
}

fn absolute() -> String {
    "absolute".into()
}

#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the file's own layout")]
struct PoolingFile {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
}

#[derive(Deserialize, Default)]
struct SentenceBertFile {
    max_seq_length: Option<usize>,
}

#[derive(Deserialize, Default)]
struct SentenceTransformersFile {
    #[serde(default)]
    prompts: Prompts,
}

#[derive(Deserialize, Default)]
struct Prompts {
    #[serde(default)]
    query: String,
    #[serde(default, alias = "passage")]
    document: String,
}

impl CheckpointConfig {
    /// Reads the JSON files of a checkpoint folder.
    ///
    /// # Errors
    /// A missing or malformed file, and settings of models that are not BERT encoders.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        if !path.is_file() {
            return Err(Error::MissingFile { folder: folder.into(), file: "config.json" });
        }
        let kind: ModelType = read_json(&path)?;
        if kind.model_type != "bert" {
            return Err(unsupported(path, "model_type", "bert", kind.model_type));
        }
        if kind.position_embedding_type != "absolute" {
            return Err(unsupported(
                path,
                "position_embedding_type",
                "absolute",
                kind.position_embedding_type,
            ));
        }
        let bert: BertConfig = read_json(&path)?;
        if bert.num_attention_heads == 0 || !bert.hidden_size.is_multiple_of(bert.num_attention_heads) {
            let expected = format!("a divisor of hidden_size {}", bert.hidden_size);
            return Err(unsupported(
                path,
                "num_attention_heads",
                expected,
                bert.num_attention_heads.to_string(),
            ));
        }
        let sentence_bert: SentenceBertFile = read_optional_json(&folder.join("sentence_bert_config.json"))?;
        let max_tokens = sentence_bert
            .max_seq_length
            .unwrap_or(bert.max_position_embeddings)
            .min(bert.max_position_embeddings);
        let transformers: SentenceTransformersFile =
            read_optional_json(&folder.join("config_sentence_transformers.json"))?;
        let prefixes =
            Prefixes { question: transformers.prompts.query, document: transformers.prompts.document };
        Ok(Self { bert, pooling: read_pooling(folder)?, max_tokens, prefixes })
    }
}

/// Mean where the folder does not say, as sentence-transformers does.
fn read_pooling(folder: &Path) -> Result<Pooling> {
    let path = folder.join("1_Pooling").join("config.json");
    if !path.is_file() {
        return Ok(Pooling::Mean);
    }
    let file: PoolingFile = read_json(&path)?;
    let other = file.pooling_mode_max_tokens
        || file.pooling_mode_mean_sqrt_len_tokens
        || file.pooling_mode_weightedmean_tokens
        || file.pooling_mode_lasttoken;
    match (file.pooling_mode_mean_tokens, file.pooling_mode_cls_token, other) {
        (true, false, false) => Ok(Pooling::Mean),
        (false, true, false) => Ok(Pooling::Cls),
        _ => Err(unsupported(path, "the pooling mode", "mean or cls, one of them", "another".into())),
    }
}

pub(crate) fn unsupported(
    path: PathBuf,
    what: &'static str,
    expected: impl Into<String>,
    received: String,
) -> Error {
    Error::Unsupported { path, what, expected: expected.into(), received }
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs_err::read_to_string(path)?;
    serde_json::from_str(&text).map_err(|source| Error::Json { path: path.into(), source })
}

pub(crate) fn read_optional_json<T: DeserializeOwned + Default>(path: &Path) -> Result<T> {
    if path.is_file() { read_json(path) } else { Ok(T::default()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        folder
    }

    const BERT: &str = r#"{"model_type":"bert","vocab_size":9,"hidden_size":8,"num_hidden_layers":1,
        "num_attention_heads":2,"intermediate_size":16,"hidden_act":"gelu","max_position_embeddings":64,
        "type_vocab_size":2}"#;

    #[test]
    fn cls_pooling_prefixes_and_length_come_from_their_files() {
        let folder = folder(&[
            ("config.json", BERT),
            ("1_Pooling/config.json", r#"{"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":false}"#),
            ("sentence_bert_config.json", r#"{"max_seq_length":512}"#),
            ("config_sentence_transformers.json", r#"{"prompts":{"query":"query: ","passage":"passage: "}}"#),
        ]);
        let config = CheckpointConfig::read(folder.path()).unwrap();
        assert_eq!(config.pooling, Pooling::Cls);
        assert_eq!(config.prefixes.of(Role::Document), "passage: ");
        assert_eq!(config.max_tokens, 64, "no longer than there are position embeddings");
    }

    #[test]
    fn another_architecture_is_refused_by_name() {
        let folder = folder(&[("config.json", r#"{"model_type":"llama"}"#)]);
        let error = CheckpointConfig::read(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("config.json: model_type is `llama`, expected bert"), "{error}");
    }

    #[test]
    fn malformed_json_is_reported_with_its_line() {
        let folder = folder(&[("config.json", "{\n \"model_type\": }")]);
        let error = CheckpointConfig::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("config.json: expected value at line 2"), "{error}");
    }
}
