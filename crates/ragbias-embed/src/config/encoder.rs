//! `config.json`: the shape of an encoder, and every key that affects what it computes.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::family::Family;
use crate::files::{Object, get, read_json};
use crate::{Error, Result};

/// The part of `config.json` that determines what an encoder computes.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// The architecture.
    pub family: Family,
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
    /// Number of position embeddings.
    pub max_position_embeddings: usize,
    /// Segment embeddings, of which texts use the first; 0 if the family has none.
    pub type_vocab_size: usize,
    /// ε of every LayerNorm, added to the variance.
    pub layer_norm_eps: f64,
    /// The positions of a text's tokens.
    pub positions: Positions,
    /// Number of biases per head of the relative attention; 0 if the family has none.
    pub relative_buckets: usize,
}

/// The position embeddings of a text's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// 0, 1, 2, ….
    FromZero,
    /// p + 1, p + 2, …, where p is the token that fills up batches. In a text, that token has the position p and is not
    /// counted, as in fairseq and transformers.
    AfterPadding(u32),
}

impl Positions {
    /// Number of positions before that of the first token.
    pub(crate) fn skipped(self) -> usize {
        match self {
            Self::FromZero => 0,
            Self::AfterPadding(padding) => padding as usize + 1,
        }
    }

    /// The positions of the tokens of texts of these lengths, one after the other.
    pub(crate) fn of_all<'t>(self, ids: &'t [u32], lengths: &'t [usize]) -> impl Iterator<Item = usize> + 't {
        let mut rest = ids;
        lengths.iter().flat_map(move |&length| {
            let text;
            (text, rest) = rest.split_at(length.min(rest.len()));
            self.of(text)
        })
    }

    /// The positions of a text's tokens.
    pub(crate) fn of(self, ids: &[u32]) -> impl Iterator<Item = usize> {
        let mut next = self.skipped();
        ids.iter().map(move |&id| match self {
            Self::AfterPadding(padding) if id == padding => padding as usize,
            _ => {
                next += 1;
                next - 1
            }
        })
    }
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

/// Number of biases that MPNet's relative attention uses, whatever the size of their table.
pub(crate) const RELATIVE_BUCKETS: usize = 32;

/// The token that fills up batches of RoBERTa and its descendants, unless `config.json` names another.
const PADDING: u32 = 1;

/// Larger numbers of layers are an error.
const MOST_LAYERS: usize = 1024;

/// The content of `config.json`.
pub(crate) struct ConfigFile {
    pub(crate) encoder: EncoderConfig,
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
        let family = Family::of(&model_type)
            .ok_or_else(|| Error::unsupported(path, "model_type", Family::all(), model_type))?;
        refuse_other_computations(path, &file)?;
        let rounding = rounding(path, &file)?;
        let architectures: Vec<String> = get(path, &file, "architectures")?.unwrap_or_default();
        let is_causal = architectures.first().is_some_and(|name| name.ends_with("ForCausalLM"))
            && get::<bool>(path, &file, "is_causal")?.unwrap_or(true);
        let tokenizer_class = get(path, &file, "tokenizer_class")?;
        Ok(Self {
            encoder: EncoderConfig::from_file(path, family, &file)?,
            rounding,
            tokenizer_class,
            is_causal,
        })
    }
}

impl EncoderConfig {
    /// The size that transformers gives an encoder of this family where `config.json` says nothing.
    pub fn of(family: Family) -> Self {
        let is_after_padding = matches!(family, Family::Roberta | Family::XlmRoberta | Family::Mpnet);
        Self {
            family,
            vocab_size: match family {
                Family::Roberta => 50265,
                Family::Mpnet => 30527,
                _ => 30522,
            },
            hidden_size: 768,
            num_hidden_layers: if family == Family::DistilBert { 6 } else { 12 },
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: Activation::Gelu,
            max_position_embeddings: 512,
            type_vocab_size: if family.has_segments() { 2 } else { 0 },
            layer_norm_eps: 1e-12,
            positions: if is_after_padding { Positions::AfterPadding(PADDING) } else { Positions::FromZero },
            relative_buckets: if family == Family::Mpnet { RELATIVE_BUCKETS } else { 0 },
        }
    }

    /// Tokens of the longest text that has a position embedding for each.
    pub fn longest_text(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.positions.skipped())
    }

    /// A missing key takes transformers' default.
    fn from_file(path: &Path, family: Family, file: &Object) -> Result<Self> {
        fn or<T: DeserializeOwned>(path: &Path, file: &Object, key: &'static str, default: T) -> Result<T> {
            Ok(get(path, file, key)?.unwrap_or(default))
        }
        let count = |key: &'static str, default: usize, most: usize| {
            let key = family.key(path, file, key)?;
            match or(path, file, key, default)? {
                count if (1..=most).contains(&count) => Ok(count),
                count => Err(Error::unsupported(path, key, format!("1 to {most}"), count.to_string())),
            }
        };
        let (most, usual) = (u32::MAX as usize, Self::of(family));
        let config = Self {
            vocab_size: count("vocab_size", usual.vocab_size, most)?,
            hidden_size: count("hidden_size", usual.hidden_size, most)?,
            num_hidden_layers: count("num_hidden_layers", usual.num_hidden_layers, MOST_LAYERS)?,
            num_attention_heads: count("num_attention_heads", usual.num_attention_heads, most)?,
            intermediate_size: count("intermediate_size", usual.intermediate_size, most)?,
            hidden_act: or(path, file, family.key(path, file, "hidden_act")?, usual.hidden_act)?,
            max_position_embeddings: count("max_position_embeddings", usual.max_position_embeddings, most)?,
            type_vocab_size: if family.has_segments() {
                count("type_vocab_size", usual.type_vocab_size, most)?
            } else {
                0
            },
            // DistilBERT's is fixed, whatever the file says.
            layer_norm_eps: match family {
                Family::DistilBert => usual.layer_norm_eps,
                _ => or(path, file, "layer_norm_eps", usual.layer_norm_eps)?,
            },
            positions: match family {
                Family::Roberta | Family::XlmRoberta => Positions::AfterPadding(padding(path, file)?),
                // MPNet's is fixed.
                _ => usual.positions,
            },
            relative_buckets: match family {
                Family::Mpnet => count("relative_attention_num_buckets", usual.relative_buckets, most)?,
                _ => 0,
            },
            family,
        };
        let refused =
            |key, expected: String, received: String| Err(Error::unsupported(path, key, expected, received));
        if !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            let expected = format!("a divisor of hidden_size {}", config.hidden_size);
            return refused("num_attention_heads", expected, config.num_attention_heads.to_string());
        }
        if !(config.layer_norm_eps > 0.0 && config.layer_norm_eps < 1.0) {
            let expected = "a number between 0 and 1".into();
            return refused("layer_norm_eps", expected, config.layer_norm_eps.to_string());
        }
        if config.longest_text() == 0 {
            let expected = format!("more than the {} before the first token", config.positions.skipped());
            return refused("max_position_embeddings", expected, config.max_position_embeddings.to_string());
        }
        if config.relative_buckets > 0 && config.relative_buckets < RELATIVE_BUCKETS {
            let expected = format!("at least the {RELATIVE_BUCKETS} that transformers uses");
            let received = config.relative_buckets.to_string();
            return refused("relative_attention_num_buckets", expected, received);
        }
        Ok(config)
    }

    /// The settings for an embedder's id; for BERT in the format used since the first version.
    pub(crate) fn describe(&self) -> String {
        if self.family != Family::Bert {
            return format!("encoder: {self:?}");
        }
        let Self {
            family: _,
            vocab_size,
            hidden_size,
            num_hidden_layers,
            num_attention_heads,
            intermediate_size,
            hidden_act,
            max_position_embeddings,
            type_vocab_size,
            layer_norm_eps,
            positions: _,
            relative_buckets: _,
        } = self;
        format!(
            "bert: BertConfig {{ vocab_size: {vocab_size}, hidden_size: {hidden_size}, \
             num_hidden_layers: {num_hidden_layers}, num_attention_heads: {num_attention_heads}, \
             intermediate_size: {intermediate_size}, hidden_act: {hidden_act:?}, \
             max_position_embeddings: {max_position_embeddings}, type_vocab_size: {type_vocab_size}, \
             layer_norm_eps: {layer_norm_eps:?} }}"
        )
    }
}

/// The token that fills up batches, after whose id positions begin.
fn padding(path: &Path, file: &Object) -> Result<u32> {
    match file.get("pad_token_id") {
        None => Ok(PADDING),
        Some(value) => value
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| Error::unsupported(path, "pad_token_id", "the id of a token", value.to_string())),
    }
}

/// Keys that would make the model compute something else, or run other code.
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
