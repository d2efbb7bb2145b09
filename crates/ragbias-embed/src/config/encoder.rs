//! What an encoder computes.

use serde::Deserialize;

use super::architecture::{
    Architecture, Attention, Gate, Local, Matrices, Mlp, NormKind, NormOrder, Norms, Reach, Rotary,
};
use super::family::Family;

/// The description of an encoder: everything of its `config.json` that determines what it computes.
///
/// The shapes and names of its weights, what the CPU's kernels and candle's operators compute of them, and what can be
/// trained all follow from it.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// How its files name settings and weights.
    pub family: Family,
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of a hidden state.
    pub hidden_size: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`, unless the width of a head is given.
    pub num_attention_heads: usize,
    /// Width between the two linear layers of an MLP.
    pub intermediate_size: usize,
    /// The MLP's non-linearity.
    pub hidden_act: Activation,
    /// Number of position embeddings; without them, the longest text unless the checkpoint has another.
    pub max_position_embeddings: usize,
    /// Segment embeddings, of which texts use the first; 0 if there are none.
    pub type_vocab_size: usize,
    /// ε of every norm, added to the variance or the mean square.
    pub layer_norm_eps: f64,
    /// The positions of a text's tokens.
    pub positions: Positions,
    /// Number of biases per head of the relative attention; 0 if the family has none.
    pub relative_buckets: usize,
    /// What the layers are made of.
    pub architecture: Architecture,
}

/// The position embeddings of a text's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// 0, 1, 2, ….
    FromZero,
    /// p + 1, p + 2, …, where p is the token that fills up batches. In a text, that token has the position p and is not
    /// counted, as in fairseq and transformers.
    AfterPadding(u32),
    /// None: the attention has rotary positions.
    Rotary,
}

impl Positions {
    /// Number of positions before that of the first token.
    pub(crate) fn skipped(self) -> usize {
        match self {
            Self::FromZero | Self::Rotary => 0,
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
    /// x/(1 + e^(−x)).
    #[serde(rename = "silu", alias = "swish")]
    Silu,
}

/// Number of biases that MPNet's relative attention uses, whatever the size of their table.
pub(crate) const RELATIVE_BUCKETS: usize = 32;

/// The token that fills up batches of RoBERTa and its descendants, unless `config.json` names another.
pub(super) const PADDING: u32 = 1;

impl EncoderConfig {
    /// The description that transformers gives an encoder of this family where `config.json` says nothing.
    pub fn of(family: Family) -> Self {
        let bert = Self {
            family,
            vocab_size: 30522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: Activation::Gelu,
            max_position_embeddings: 512,
            type_vocab_size: if family.has_segments() { 2 } else { 0 },
            layer_norm_eps: 1e-12,
            positions: Positions::FromZero,
            relative_buckets: 0,
            architecture: Architecture::BERT,
        };
        match family {
            Family::Bert => bert,
            Family::DistilBert => Self { num_hidden_layers: 6, ..bert },
            Family::Roberta => {
                Self { vocab_size: 50265, positions: Positions::AfterPadding(PADDING), ..bert }
            }
            Family::XlmRoberta => Self { positions: Positions::AfterPadding(PADDING), ..bert },
            Family::Mpnet => Self {
                vocab_size: 30527,
                positions: Positions::AfterPadding(PADDING),
                relative_buckets: RELATIVE_BUCKETS,
                ..bert
            },
            Family::ModernBert => Self {
                vocab_size: 50368,
                num_hidden_layers: 22,
                intermediate_size: 1152,
                max_position_embeddings: 8192,
                layer_norm_eps: 1e-5,
                positions: Positions::Rotary,
                architecture: modernbert(22),
                ..bert
            },
            Family::NomicBert => Self {
                vocab_size: 30528,
                hidden_act: Activation::Silu,
                max_position_embeddings: 2048,
                positions: Positions::Rotary,
                architecture: nomic_bert(),
                ..bert
            },
            Family::Gte => Self {
                vocab_size: 250_048,
                max_position_embeddings: 8192,
                type_vocab_size: 1,
                positions: Positions::Rotary,
                architecture: gte(160_000.0),
                ..bert
            },
            Family::New => Self {
                vocab_size: 30528,
                max_position_embeddings: 2048,
                type_vocab_size: 1,
                positions: Positions::Rotary,
                architecture: gte(10_000.0),
                ..bert
            },
            Family::Qwen3 => Self {
                vocab_size: 151_936,
                hidden_size: 4096,
                num_hidden_layers: 32,
                num_attention_heads: 32,
                intermediate_size: 22016,
                hidden_act: Activation::Silu,
                max_position_embeddings: 32768,
                layer_norm_eps: 1e-6,
                positions: Positions::Rotary,
                architecture: qwen3(),
                ..bert
            },
            Family::Gemma3 => Self {
                vocab_size: 262_208,
                hidden_size: 2304,
                num_hidden_layers: 26,
                num_attention_heads: 8,
                intermediate_size: 9216,
                hidden_act: Activation::GeluTanh,
                max_position_embeddings: 131_072,
                layer_norm_eps: 1e-6,
                positions: Positions::Rotary,
                architecture: gemma3(2304, 26),
                ..bert
            },
        }
    }

    /// Tokens of the longest text, unless the checkpoint limits its length: one with a position embedding for each, if there are
    /// any.
    pub fn longest_text(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.positions.skipped())
    }

    /// Tokens of the longest text that can be computed at all.
    pub(crate) fn most_tokens(&self) -> usize {
        if self.positions == Positions::Rotary { usize::MAX } else { self.longest_text() }
    }

    /// Width of an attention head.
    pub fn head_width(&self) -> usize {
        self.architecture.attention.head_width.unwrap_or(self.hidden_size / self.num_attention_heads)
    }

    /// Heads of keys and values.
    pub fn key_value_heads(&self) -> usize {
        self.architecture.attention.key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// The settings for an embedder's id; for the families of the first versions in the format used since then.
    pub(crate) fn describe(&self) -> String {
        let Self {
            family,
            vocab_size,
            hidden_size,
            num_hidden_layers,
            num_attention_heads,
            intermediate_size,
            hidden_act,
            max_position_embeddings,
            type_vocab_size,
            layer_norm_eps,
            positions,
            relative_buckets,
            architecture,
        } = self;
        if *architecture != Architecture::BERT {
            return format!("encoder: {self:?}");
        }
        let size = format!(
            "vocab_size: {vocab_size}, hidden_size: {hidden_size}, num_hidden_layers: {num_hidden_layers}, \
             num_attention_heads: {num_attention_heads}, intermediate_size: {intermediate_size}, \
             hidden_act: {hidden_act:?}, max_position_embeddings: {max_position_embeddings}, \
             type_vocab_size: {type_vocab_size}, layer_norm_eps: {layer_norm_eps:?}"
        );
        if *family == Family::Bert {
            return format!("bert: BertConfig {{ {size} }}");
        }
        format!(
            "encoder: EncoderConfig {{ family: {family:?}, {size}, positions: {positions:?}, \
             relative_buckets: {relative_buckets} }}"
        )
    }
}

/// Norms before each part and after the last layer, rotary positions, a window in two layers of three, a stacked gate.
fn modernbert(layers: usize) -> Architecture {
    Architecture {
        norms: Norms {
            kind: NormKind::LayerNorm { bias: false },
            order: NormOrder::Before { skips_first: true },
            after_embeddings: true,
        },
        attention: Attention {
            matrices: Matrices::Stacked,
            input_bias: false,
            output_bias: false,
            rotary: Some(Rotary::of(160_000.0)),
            local: Some(Local {
                layers: (0..layers).map(|layer| layer % 3 != 0).collect(),
                reach: Reach::within(64),
                rotary: Some(Rotary::of(10_000.0)),
            }),
            ..Architecture::BERT.attention
        },
        mlp: Mlp { gate: Some(Gate::First), up_bias: false, down_bias: false },
        embedding_scale: 1.0,
    }
}

/// BERT's norms, rotary positions, a gate, no biases.
fn nomic_bert() -> Architecture {
    Architecture {
        attention: Attention {
            matrices: Matrices::Stacked,
            input_bias: false,
            output_bias: false,
            rotary: Some(Rotary::of(1000.0)),
            ..Architecture::BERT.attention
        },
        mlp: Mlp { gate: Some(Gate::Separate), up_bias: false, down_bias: false },
        ..Architecture::BERT
    }
}

/// BERT's norms, rotary positions, a stacked gate, biases but for that of the gate.
fn gte(theta: f64) -> Architecture {
    Architecture {
        attention: Attention {
            matrices: Matrices::Stacked,
            rotary: Some(Rotary::of(theta)),
            ..Architecture::BERT.attention
        },
        mlp: Mlp { gate: Some(Gate::Last), up_bias: false, down_bias: true },
        ..Architecture::BERT
    }
}

/// A causal decoder with norms before each part, of queries and keys, and after the last layer.
fn qwen3() -> Architecture {
    Architecture {
        norms: Norms {
            kind: NormKind::Rms,
            order: NormOrder::Before { skips_first: false },
            after_embeddings: false,
        },
        attention: Attention {
            key_value_heads: Some(32),
            head_width: Some(128),
            input_bias: false,
            output_bias: false,
            norms: true,
            reach: Reach::CAUSAL,
            rotary: Some(Rotary::of(10_000.0)),
            ..Architecture::BERT.attention
        },
        mlp: Mlp { gate: Some(Gate::Separate), up_bias: false, down_bias: false },
        embedding_scale: 1.0,
    }
}

/// A decoder with norms around each part, of queries and keys, and after the last layer, and a window in five layers of six.
fn gemma3(hidden: usize, layers: usize) -> Architecture {
    Architecture {
        norms: Norms { kind: NormKind::RmsFromOne, order: NormOrder::Around, after_embeddings: false },
        attention: Attention {
            key_value_heads: Some(4),
            head_width: Some(256),
            scale_of: Some(256.0),
            rotary: Some(Rotary::of(1_000_000.0)),
            local: Some(Local {
                layers: (0..layers).map(|layer| (layer + 1) % 6 != 0).collect(),
                reach: Reach { before: Some(4095), after: Some(0) },
                rotary: Some(Rotary::of(10_000.0)),
            }),
            ..qwen3().attention
        },
        mlp: qwen3().mlp,
        embedding_scale: (hidden as f32).sqrt(),
    }
}
