//! The description of each family's encoder where `config.json` says nothing.

use super::architecture::{
    Architecture, Attention, Gate, Local, Matrices, Mlp, NormKind, NormOrder, Norms, Reach, Rotary,
};
use super::encoder::{Activation, EncoderConfig, PADDING, Positions, RELATIVE_BUCKETS};
use super::family::Family;

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
