//! The weights of an encoder's layers, as its description asks for them.

use crate::config::{EncoderConfig, Gate, Matrices, NormKind, NormOrder};

/// A linear map of a layer; several with the same input are stacked.
pub(crate) struct Map {
    /// Name and number of outputs of each, in order.
    pub(crate) parts: Vec<(String, usize)>,
    pub(crate) inputs: usize,
    pub(crate) has_bias: bool,
}

/// The linear maps of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MapPlace {
    /// To queries, keys and values.
    QueryKeyValue,
    /// After the attention.
    AttentionOutput,
    /// To the inner width of the MLP, and to its gate.
    Up,
    /// Back from it.
    Down,
}

impl MapPlace {
    pub(crate) const ALL: [Self; 4] = [Self::QueryKeyValue, Self::AttentionOutput, Self::Up, Self::Down];
}

/// The norms of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NormPlace {
    AttentionInput,
    AttentionOutput,
    MlpInput,
    MlpOutput,
}

impl NormPlace {
    pub(crate) const ALL: [Self; 4] =
        [Self::AttentionInput, Self::AttentionOutput, Self::MlpInput, Self::MlpOutput];
}

impl EncoderConfig {
    /// A linear map of a layer.
    pub(crate) fn map(&self, layer: usize, place: MapPlace) -> Map {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let (attention, mlp) = (&self.architecture.attention, &self.architecture.mlp);
        let (queries, keys) =
            (self.num_attention_heads * self.head_width(), self.key_value_heads() * self.head_width());
        let (parts, inputs, has_bias) = match place {
            MapPlace::QueryKeyValue if attention.matrices == Matrices::Stacked => {
                (vec![("attention.self.query_key_value", queries + 2 * keys)], hidden, attention.input_bias)
            }
            MapPlace::QueryKeyValue => (
                vec![
                    ("attention.self.query", queries),
                    ("attention.self.key", keys),
                    ("attention.self.value", keys),
                ],
                hidden,
                attention.input_bias,
            ),
            MapPlace::AttentionOutput => {
                (vec![("attention.output.dense", hidden)], queries, attention.output_bias)
            }
            MapPlace::Up => {
                let parts = match mlp.gate {
                    None => vec![("intermediate.dense", inner)],
                    Some(Gate::Separate) => vec![("intermediate.gate", inner), ("intermediate.dense", inner)],
                    Some(Gate::First | Gate::Last) => vec![("intermediate.dense", 2 * inner)],
                };
                (parts, hidden, mlp.up_bias)
            }
            MapPlace::Down => (vec![("output.dense", hidden)], inner, mlp.down_bias),
        };
        let parts = parts.into_iter().map(|(part, outputs)| (name(layer, part), outputs)).collect();
        Map { parts, inputs, has_bias }
    }

    /// The name of a norm of a layer, if the layer has it.
    pub(crate) fn norm(&self, layer: usize, place: NormPlace) -> Option<String> {
        let (is_before, is_after) = match self.architecture.norms.order {
            NormOrder::After => (false, true),
            NormOrder::Before { .. } => (true, false),
            NormOrder::Around => (true, true),
        };
        let skips_first = self.architecture.norms.order == NormOrder::Before { skips_first: true };
        let (part, is_there) = match place {
            NormPlace::AttentionInput => {
                ("attention.input.LayerNorm", is_before && !(skips_first && layer == 0))
            }
            NormPlace::AttentionOutput => ("attention.output.LayerNorm", is_after),
            NormPlace::MlpInput => ("intermediate.input.LayerNorm", is_before),
            NormPlace::MlpOutput => ("output.LayerNorm", is_after),
        };
        is_there.then(|| name(layer, part))
    }

    /// The names of the norms of a layer's queries and keys, if there are any.
    pub(crate) fn head_norms(&self, layer: usize) -> Option<[String; 2]> {
        let parts = ["attention.self.query.LayerNorm", "attention.self.key.LayerNorm"];
        self.architecture.attention.norms.then(|| parts.map(|part| name(layer, part)))
    }

    /// The name of the norm after the embeddings.
    pub(crate) fn embedding_norm(&self) -> Option<&'static str> {
        self.architecture.norms.after_embeddings.then_some("embeddings.LayerNorm")
    }

    /// The name of the norm after the last layer.
    pub(crate) fn last_norm(&self) -> Option<&'static str> {
        (self.architecture.norms.order != NormOrder::After).then_some("encoder.LayerNorm")
    }

    /// Whether norms have biases.
    pub(crate) fn has_norm_bias(&self) -> bool {
        self.architecture.norms.kind == NormKind::LayerNorm { bias: true }
    }

    /// Whether the gate of an MLP comes before the map up in what is stacked; `None` without a gate.
    pub(crate) fn gate_is_first(&self) -> Option<bool> {
        self.architecture.mlp.gate.map(|gate| gate != Gate::Last)
    }

    /// Scores are multiplied by this.
    pub(crate) fn attention_scale(&self) -> f32 {
        match self.architecture.attention.scale_of {
            Some(scale_of) => scale_of.powf(-0.5) as f32,
            None => 1.0 / (self.head_width() as f32).sqrt(),
        }
    }
}

/// The name of a part of a layer.
fn name(layer: usize, part: &str) -> String {
    format!("encoder.layer.{layer}.{part}")
}
