//! `config.json`: the description of an encoder, and every key that affects what it computes.

use std::path::Path;

use serde_json::Value;

use super::architecture_file::architecture;
use super::encoder::{Activation, EncoderConfig, PADDING, Positions, RELATIVE_BUCKETS};
use super::family::Family;
use super::keys::{Keys, MOST};
use crate::files::{Object, get, read_json};
use crate::{Error, Result};

/// The type to which transformers rounds the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// 16-bit floats of IEEE 754.
    F16,
    /// 16-bit floats with the range of 32-bit ones.
    Bf16,
}

impl Rounding {
    pub(crate) fn round(self, x: f32) -> f32 {
        match self {
            Self::F16 => half::f16::from_f32(x).to_f32(),
            Self::Bf16 => half::bf16::from_f32(x).to_f32(),
        }
    }
}

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
        let keys = Keys { path, file: &file, family };
        refuse_other_computations(&keys)?;
        let rounding = rounding(path, &file)?;
        let architectures: Vec<String> = get(path, &file, "architectures")?.unwrap_or_default();
        let is_causal = architectures.first().is_some_and(|name| name.ends_with("ForCausalLM"))
            && get::<bool>(path, &file, "is_causal")?.unwrap_or(true);
        let tokenizer_class = get(path, &file, "tokenizer_class")?;
        Ok(Self { encoder: encoder(&keys, rounding)?, rounding, tokenizer_class, is_causal })
    }
}

/// The description; a missing key takes transformers' default.
fn encoder(keys: &Keys<'_>, rounding: Option<Rounding>) -> Result<EncoderConfig> {
    let family = keys.family;
    let usual = EncoderConfig::of(family);
    let mut config = EncoderConfig {
        vocab_size: keys.count("vocab_size", usual.vocab_size, MOST)?,
        hidden_size: keys.count("hidden_size", usual.hidden_size, MOST)?,
        num_hidden_layers: keys.count("num_hidden_layers", usual.num_hidden_layers, MOST_LAYERS)?,
        num_attention_heads: keys.count("num_attention_heads", usual.num_attention_heads, MOST)?,
        intermediate_size: keys.count("intermediate_size", usual.intermediate_size, MOST)?,
        hidden_act: hidden_act(keys, usual.hidden_act)?,
        max_position_embeddings: keys.count(
            "max_position_embeddings",
            usual.max_position_embeddings,
            MOST,
        )?,
        type_vocab_size: match family {
            // Its code leaves out the embeddings of segments with 0.
            Family::Gte | Family::New => keys.or("type_vocab_size", usual.type_vocab_size)?.min(MOST),
            _ if family.has_segments() => keys.count("type_vocab_size", usual.type_vocab_size, MOST)?,
            _ => 0,
        },
        // DistilBERT's is fixed, whatever the file says.
        layer_norm_eps: match family {
            Family::DistilBert => usual.layer_norm_eps,
            _ => keys.or("layer_norm_eps", usual.layer_norm_eps)?,
        },
        positions: match family {
            Family::Roberta | Family::XlmRoberta => Positions::AfterPadding(padding(keys)?),
            // MPNet's is fixed.
            _ => usual.positions,
        },
        relative_buckets: match family {
            Family::Mpnet => keys.count("relative_attention_num_buckets", usual.relative_buckets, MOST)?,
            _ => 0,
        },
        ..usual
    };
    config.architecture = architecture(keys, &config)?;
    if let Some(rounding) = rounding {
        config.architecture.embedding_scale = rounding.round(config.architecture.embedding_scale);
    }
    check(keys, &config)?;
    Ok(config)
}

/// The non-linearity of the MLP; NomicBERT's own name for it says that the MLP is gated, too.
fn hidden_act(keys: &Keys<'_>, usual: Activation) -> Result<Activation> {
    const OWN: &str = "activation_function";
    match keys.get::<String>(OWN)?.filter(|_| keys.family == Family::NomicBert) {
        None => keys.or("hidden_act", usual),
        Some(name) => match name.as_str() {
            "swiglu" => Ok(Activation::Silu),
            "geglu" => Ok(Activation::Gelu),
            _ => Err(keys.refused(OWN, "swiglu or geglu", name)),
        },
    }
}

fn check(keys: &Keys<'_>, config: &EncoderConfig) -> Result<()> {
    let attention = &config.architecture.attention;
    if attention.head_width.is_none() && !config.hidden_size.is_multiple_of(config.num_attention_heads) {
        let expected = format!("a divisor of hidden_size {}", config.hidden_size);
        return Err(keys.refused("num_attention_heads", expected, config.num_attention_heads.to_string()));
    }
    if !config.num_attention_heads.is_multiple_of(config.key_value_heads()) {
        let expected = format!("a divisor of num_attention_heads {}", config.num_attention_heads);
        return Err(keys.refused("num_key_value_heads", expected, config.key_value_heads().to_string()));
    }
    if config.num_attention_heads.checked_mul(config.head_width()).is_none_or(|width| width > MOST) {
        let expected = format!("a width of all heads of at most {MOST}");
        return Err(keys.refused("head_dim", expected, config.head_width().to_string()));
    }
    if attention.rotary.is_some() && !config.head_width().is_multiple_of(2) {
        let received = config.head_width().to_string();
        return Err(keys.refused(
            "head_dim",
            "an even width of a head, of which halves are turned",
            received,
        ));
    }
    if !(config.layer_norm_eps > 0.0 && config.layer_norm_eps < 1.0) {
        let received = config.layer_norm_eps.to_string();
        return Err(keys.refused("layer_norm_eps", "a number between 0 and 1", received));
    }
    if config.longest_text() == 0 {
        let expected = format!("more than the {} before the first token", config.positions.skipped());
        let received = config.max_position_embeddings.to_string();
        return Err(keys.refused("max_position_embeddings", expected, received));
    }
    if config.relative_buckets > 0 && config.relative_buckets < RELATIVE_BUCKETS {
        let expected = format!("at least the {RELATIVE_BUCKETS} that transformers uses");
        let received = config.relative_buckets.to_string();
        return Err(keys.refused("relative_attention_num_buckets", expected, received));
    }
    Ok(())
}

/// The token that fills up batches, after whose id positions begin.
fn padding(keys: &Keys<'_>) -> Result<u32> {
    match keys.file.get("pad_token_id") {
        None => Ok(PADDING),
        Some(value) => value
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| keys.refused("pad_token_id", "the id of a token", value.to_string())),
    }
}

/// Keys that would make the model compute something else, or run other code.
fn refuse_other_computations(keys: &Keys<'_>) -> Result<()> {
    let Keys { path, file, family } = *keys;
    let positions: Option<String> = keys.get("position_embedding_type")?;
    let expected = if family == Family::New { "rope" } else { "absolute" };
    if let Some(other) = positions.filter(|kind| kind != expected) {
        return Err(keys.refused("position_embedding_type", expected, other));
    }
    for key in ["is_decoder", "add_cross_attention", "is_encoder_decoder"] {
        if get::<bool>(path, file, key)?.unwrap_or(false) {
            return Err(keys.refused(key, "false: an encoder that sees both ways", "true"));
        }
    }
    for key in ["pruned_heads", "quantization_config", "transformers_weights"] {
        match file.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::Object(empty)) if empty.is_empty() => {}
            Some(value) => return Err(keys.refused(key, "nothing", value.to_string())),
        }
    }
    match file.get("auto_map").and_then(|map| map.get("AutoModel")) {
        None => Ok(()),
        Some(code) if is_known_code(family, code) => Ok(()),
        Some(code) => {
            let expected = match family.own_class() {
                Some(class) => format!("code whose class is {class}"),
                None => "an encoder that transformers has, not code of the checkpoint's own".to_owned(),
            };
            Err(keys.refused("auto_map", expected, code.to_string()))
        }
    }
}

/// Whether `auto_map` names the class that is computed here, in whatever repository and module.
fn is_known_code(family: Family, code: &Value) -> bool {
    let class = code.as_str().and_then(|code| code.rsplit('.').next());
    class.is_some() && class == family.own_class()
}

/// transformers computes in the type `dtype`; if it has fewer bits than the weights, they are rounded.
pub(crate) fn rounding(path: &Path, file: &Object) -> Result<Option<Rounding>> {
    let key = if file.contains_key("dtype") { "dtype" } else { "torch_dtype" };
    let name: Option<String> = get(path, file, key)?;
    match name.as_deref().map(|name| name.strip_prefix("torch.").unwrap_or(name)) {
        None | Some("float32" | "float64" | "auto") => Ok(None),
        Some("float16") => Ok(Some(Rounding::F16)),
        Some("bfloat16") => Ok(Some(Rounding::Bf16)),
        Some(other) => Err(Error::unsupported(path, key, "float16, bfloat16, float32 or float64", other)),
    }
}
