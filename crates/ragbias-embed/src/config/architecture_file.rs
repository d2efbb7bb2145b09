//! The keys of `config.json` that say what the layers of a family are made of.

use serde_json::{Value, json};

use super::architecture::{Architecture, Attention, Local, Mlp, NormKind, Norms, Reach, Rotary};
use super::encoder::EncoderConfig;
use super::family::Family;
use super::keys::{Keys, MOST};
use super::rotary::{self, KINDS};
use crate::Result;

/// The architecture of an encoder of this size; a missing key takes transformers' default.
pub(super) fn architecture(keys: &Keys<'_>, config: &EncoderConfig) -> Result<Architecture> {
    match keys.family {
        Family::Bert | Family::DistilBert | Family::Roberta | Family::XlmRoberta | Family::Mpnet => {
            Ok(config.architecture.clone())
        }
        Family::ModernBert => modernbert(keys, config),
        Family::NomicBert => nomic_bert(keys, config),
        Family::Gte | Family::New => gte(keys, config),
        Family::Qwen3 => qwen3(keys, config),
        Family::Gemma3 => gemma3(keys, config),
    }
}

fn modernbert(keys: &Keys<'_>, config: &EncoderConfig) -> Result<Architecture> {
    // It would be the width of what is turned of a head, and nothing else.
    keys.only("head_dim", &json!(config.hidden_size / config.num_attention_heads))?;
    let usual = config.architecture.clone();
    let (attention_bias, mlp_bias) = (keys.or("attention_bias", false)?, keys.or("mlp_bias", false)?);
    let thetas = [("global_rope_theta", 160_000.0), ("local_rope_theta", 10_000.0)];
    let [rotary, local_rotary] = rotary::by_layer(keys, thetas, true)?;
    let every = keys.count("global_attn_every_n_layers", 3, MOST)?;
    let layers = local_layers(keys, config, |layer| !layer.is_multiple_of(every))?;
    let local = Local {
        layers,
        reach: Reach::within(keys.count("local_attention", 128, MOST)? / 2),
        rotary: Some(local_rotary),
    };
    Ok(Architecture {
        norms: Norms { kind: NormKind::LayerNorm { bias: keys.or("norm_bias", false)? }, ..usual.norms },
        attention: Attention {
            input_bias: attention_bias,
            output_bias: attention_bias,
            rotary: Some(rotary),
            local: Some(local),
            ..usual.attention
        },
        mlp: Mlp { up_bias: mlp_bias, down_bias: mlp_bias, ..usual.mlp },
        ..usual
    })
}

/// The names of its own code are those of GPT-2, and so are some of its defaults: a file with these names must give them.
fn nomic_bert(keys: &Keys<'_>, config: &EncoderConfig) -> Result<Architecture> {
    let is_own = keys.file.contains_key("n_embd");
    for (key, expected) in [
        ("rotary_emb_fraction", json!(1.0)),
        ("qkv_proj_bias", json!(false)),
        ("mlp_fc1_bias", json!(false)),
        ("mlp_fc2_bias", json!(false)),
    ] {
        keys.only(key, &expected)?;
        if is_own && !keys.file.contains_key(key) {
            return Err(keys.refused(key, expected.to_string(), "missing"));
        }
    }
    for key in ["n_layer", "n_head", "n_inner", "n_positions", "layer_norm_epsilon", "rotary_emb_base"] {
        if is_own && !keys.file.contains_key(key) {
            return Err(keys.refused(key, "a number, as beside n_embd", "missing"));
        }
    }
    for key in ["rotary_emb_interleaved", "prenorm", "parallel_block", "use_rms_norm", "causal"] {
        keys.only(key, &json!(false))?;
    }
    for key in ["num_experts", "moe_every_n_layers"] {
        keys.only(key, &json!(0))?;
    }
    for key in ["rotary_emb_scale_base", "rotary_scaling_factor"] {
        keys.only(key, &Value::Null)?;
    }
    keys.only("scale_attn_weights", &json!(true))?;
    let usual = config.architecture.clone();
    let rotary = Some(rotary::flat(keys, 1000.0)?);
    Ok(Architecture {
        attention: Attention { head_width: head_width(keys)?, rotary, ..usual.attention },
        ..usual
    })
}

fn gte(keys: &Keys<'_>, config: &EncoderConfig) -> Result<Architecture> {
    if keys.family == Family::New {
        keys.only("pack_qkv", &json!(true))?;
        keys.only("logn_attention_scale", &json!(false))?;
        keys.only("layer_norm_type", &json!("layer_norm"))?;
    }
    let usual = config.architecture.clone();
    let theta = if keys.family == Family::New { 10_000.0 } else { 160_000.0 };
    let rotary = Some(rotary::flat(keys, theta)?);
    let head_width = if keys.family == Family::New { None } else { head_width(keys)? };
    Ok(Architecture { attention: Attention { head_width, rotary, ..usual.attention }, ..usual })
}

fn qwen3(keys: &Keys<'_>, config: &EncoderConfig) -> Result<Architecture> {
    let is_windowed = keys.or("use_sliding_window", false)?;
    let window = unless_null(keys, "sliding_window", 4096)?.filter(|_| is_windowed);
    let first = keys.or("max_window_layers", 28)?;
    let layers = local_layers(keys, config, |layer| window.is_some() && layer >= first)?;
    let key_value_heads = unless_null(keys, "num_key_value_heads", 32)?;
    let rotary = rotary::flat(keys, 10_000.0)?;
    let decoder = Decoder { is_causal: true, layers, window, key_value_heads, head_width: 128 };
    let usual = config.architecture.clone();
    let attention = Attention { rotary: Some(rotary), ..usual.attention };
    let attention = decoder.attention(keys, attention, rotary)?;
    Ok(Architecture { attention, ..usual })
}

fn gemma3(keys: &Keys<'_>, config: &EncoderConfig) -> Result<Architecture> {
    let every = keys.count("sliding_window_pattern", 6, MOST)?;
    let layers = local_layers(keys, config, |layer| !(layer + 1).is_multiple_of(every))?;
    let window = unless_null(keys, "sliding_window", 4096)?;
    let thetas = [("rope_theta", 1_000_000.0), ("rope_local_base_freq", 10_000.0)];
    let [rotary, local_rotary] = rotary::by_layer(keys, thetas, false)?;
    let decoder = Decoder {
        is_causal: !keys.or("use_bidirectional_attention", false)?,
        layers,
        window,
        key_value_heads: Some(keys.count("num_key_value_heads", 4, MOST)?),
        head_width: 256,
    };
    let usual = config.architecture.clone();
    let scale_of = Some(keys.positive("query_pre_attn_scalar", 256.0)?);
    let attention = Attention { scale_of, rotary: Some(rotary), ..usual.attention };
    Ok(Architecture {
        attention: decoder.attention(keys, attention, local_rotary)?,
        embedding_scale: (config.hidden_size as f32).sqrt(),
        ..usual
    })
}

/// What Qwen3 and Gemma 3 have in common.
struct Decoder {
    is_causal: bool,
    /// Whether a layer has the window.
    layers: Vec<bool>,
    window: Option<usize>,
    key_value_heads: Option<usize>,
    /// Its default.
    head_width: usize,
}

impl Decoder {
    fn attention(self, keys: &Keys<'_>, usual: Attention, local_rotary: Rotary) -> Result<Attention> {
        let bias = keys.or("attention_bias", false)?;
        let sees_after = !keys.or("is_causal", true)?;
        let is_local = self.layers.contains(&true);
        if sees_after && is_local {
            let expected = "true, with layers of a sliding window";
            return Err(keys.refused("is_causal", expected, "false"));
        }
        let is_causal = self.is_causal && !sees_after;
        let local = match (is_local, self.window) {
            (false, _) => None,
            (true, None) => return Err(keys.refused("sliding_window", "a number of tokens", "null")),
            (true, Some(window)) => Some(Local {
                layers: self.layers,
                reach: if is_causal {
                    Reach { before: Some(window - 1), after: Some(0) }
                } else {
                    Reach::within(window / 2)
                },
                rotary: Some(local_rotary),
            }),
        };
        Ok(Attention {
            key_value_heads: self.key_value_heads,
            head_width: Some(keys.count("head_dim", self.head_width, MOST)?),
            input_bias: bias,
            output_bias: bias,
            reach: if is_causal { Reach::CAUSAL } else { Reach::ALL },
            local,
            ..usual
        })
    }
}

/// The width of a head, if it is not given by the number of heads.
fn head_width(keys: &Keys<'_>) -> Result<Option<usize>> {
    let is_there = keys.get::<Value>("head_dim")?.is_some();
    is_there.then(|| keys.count("head_dim", 1, MOST)).transpose()
}

/// A whole number above 0, or null for none.
fn unless_null(keys: &Keys<'_>, key: &'static str, default: usize) -> Result<Option<usize>> {
    let is_null = keys.file.get(key) == Some(&Value::Null);
    (!is_null).then(|| keys.count(key, default, MOST)).transpose()
}

/// Whether each layer attends to fewer tokens than all: by `layer_types`, or else as is usual.
fn local_layers(keys: &Keys<'_>, config: &EncoderConfig, usual: impl Fn(usize) -> bool) -> Result<Vec<bool>> {
    let layers = config.num_hidden_layers;
    let Some(types) = keys.get::<Vec<String>>("layer_types")? else {
        return Ok((0..layers).map(usual).collect());
    };
    let are_known = types.iter().all(|kind| KINDS.contains(&kind.as_str()));
    if !are_known || types.len() != layers {
        let expected = format!("{} or {} for each of {layers} layers", KINDS[0], KINDS[1]);
        return Err(keys.refused("layer_types", expected, types.join(", ")));
    }
    Ok(types.iter().map(|kind| kind == KINDS[1]).collect())
}
