//! `config.json`: the shape of a BERT encoder, and every key that affects what it computes.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::files::{Object, get, read_json};
use crate::{Error, Result};

/// The part of `config.json` that determines the shape of a BERT encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct BertConfig {
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of a hidden state.
    pub hidden_size: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width between the two linear layers of an MLP.
    pub intermediate_size: usize,
    /// The MLP's non-linearity.
    pub hidden_act: Activation,
    /// Number of position embeddings, the longest possible sequence.
    pub max_position_embeddings: usize,
    /// Segment embeddings; texts use the first.
    pub type_vocab_size: usize,
    /// ε of every LayerNorm, added to the variance.
    pub layer_norm_eps: f64,
}

/// Non-linearity of an MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Activation {
    /// x·Φ(x), with the exact normal distribution function.
    #[serde(rename = "gelu", alias = "gelu_python")]
    Gelu,
    /// The tanh approximation of GELU.
    #[serde(
        rename = "gelu_new",
        alias = "gelu_pytorch_tanh",
        alias = "gelu_python_tanh",
        alias = "gelu_fast",
        alias = "gelu_accurate"
    )]
    GeluTanh,
    /// max(0, x).
    #[serde(rename = "relu")]
    Relu,
}

/// The type to which transformers rounds the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    F16,
    Bf16,
}

/// Larger numbers of layers are an error.
const MOST_LAYERS: usize = 1024;

/// The content of `config.json`.
pub(crate) struct ConfigFile {
    pub(crate) bert: BertConfig,
    pub(crate) rounding: Option<Rounding>,
    /// The tokenizer's class, if `tokenizer_config.json` does not give it.
    pub(crate) tokenizer_class: Option<String>,
    /// Whether a folder without `modules.json` uses last-token pooling.
    pub(crate) is_causal: bool,
}

impl ConfigFile {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file: Object = read_json(path)?;
        let model_type: String = get(path, &file, "model_type")?.unwrap_or_default();
        if model_type != "bert" {
            return Err(Error::unsupported(path, "model_type", "bert", model_type));
        }
        refuse_other_computations(path, &file)?;
        let rounding = rounding(path, &file)?;
        let architectures: Vec<String> = get(path, &file, "architectures")?.unwrap_or_default();
        let is_causal = architectures.first().is_some_and(|name| name.ends_with("ForCausalLM"))
            && get::<bool>(path, &file, "is_causal")?.unwrap_or(true);
        let tokenizer_class = get(path, &file, "tokenizer_class")?;
        Ok(Self { bert: BertConfig::from_file(path, &file)?, rounding, tokenizer_class, is_causal })
    }
}

impl BertConfig {
    /// A missing key takes transformers' default.
    fn from_file(path: &Path, file: &Object) -> Result<Self> {
        fn or<T: DeserializeOwned>(path: &Path, file: &Object, key: &'static str, default: T) -> Result<T> {
            Ok(get(path, file, key)?.unwrap_or(default))
        }
        let count = |key, default: usize, most: usize| match or(path, file, key, default)? {
            count if (1..=most).contains(&count) => Ok(count),
            count => Err(Error::unsupported(path, key, format!("1 to {most}"), count.to_string())),
        };
        let most = u32::MAX as usize;
        let config = Self {
            vocab_size: count("vocab_size", 30522, most)?,
            hidden_size: count("hidden_size", 768, most)?,
            num_hidden_layers: count("num_hidden_layers", 12, MOST_LAYERS)?,
            num_attention_heads: count("num_attention_heads", 12, most)?,
            intermediate_size: count("intermediate_size", 3072, most)?,
            hidden_act: or(path, file, "hidden_act", Activation::Gelu)?,
            max_position_embeddings: count("max_position_embeddings", 512, most)?,
            type_vocab_size: count("type_vocab_size", 2, most)?,
            layer_norm_eps: or(path, file, "layer_norm_eps", 1e-12)?,
        };
        if !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            let expected = format!("a divisor of hidden_size {}", config.hidden_size);
            let received = config.num_attention_heads.to_string();
            return Err(Error::unsupported(path, "num_attention_heads", expected, received));
        }
        if !(config.layer_norm_eps > 0.0 && config.layer_norm_eps < 1.0) {
            let received = config.layer_norm_eps.to_string();
            return Err(Error::unsupported(path, "layer_norm_eps", "a number between 0 and 1", received));
        }
        Ok(config)
    }
}

/// Keys that would make `BertModel` compute something else, or run other code.
fn refuse_other_computations(path: &Path, file: &Object) -> Result<()> {
    let positions: Option<String> = get(path, file, "position_embedding_type")?;
    if let Some(other) = positions.filter(|kind| kind != "absolute") {
        return Err(Error::unsupported(path, "position_embedding_type", "absolute", other));
    }
    for key in ["is_decoder", "add_cross_attention", "is_encoder_decoder"] {
        if get::<bool>(path, file, key)?.unwrap_or(false) {
            return Err(Error::unsupported(path, key, "false: an encoder that sees both ways", "true"));
        }
    }
    for key in ["pruned_heads", "quantization_config", "transformers_weights"] {
        match file.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::Object(empty)) if empty.is_empty() => {}
            Some(value) => return Err(Error::unsupported(path, key, "nothing", value.to_string())),
        }
    }
    if let Some(code) = file.get("auto_map").and_then(|map| map.get("AutoModel")) {
        let expected = "an encoder that transformers has, not code of the checkpoint's own";
        return Err(Error::unsupported(path, "auto_map", expected, code.to_string()));
    }
    Ok(())
}

/// transformers computes in the type `dtype`; if it has fewer bits than the weights, they are rounded.
fn rounding(path: &Path, file: &Object) -> Result<Option<Rounding>> {
    let key = if file.contains_key("dtype") { "dtype" } else { "torch_dtype" };
    let name: Option<String> = get(path, file, key)?;
    match name.as_deref().map(|name| name.strip_prefix("torch.").unwrap_or(name)) {
        None | Some("float32" | "float64" | "auto") => Ok(None),
        Some("float16") => Ok(Some(Rounding::F16)),
        Some("bfloat16") => Ok(Some(Rounding::Bf16)),
        Some(other) => Err(Error::unsupported(path, key, "float16, bfloat16, float32 or float64", other)),
    }
}
