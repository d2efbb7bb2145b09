//! What an encoder computes.

use serde::Deserialize;

use super::architecture::Architecture;
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
