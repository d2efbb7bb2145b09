//! The transformer: one definition, over sequences that are packed without padding.
//!
//! A batch is one `(tokens, hidden)` matrix: the tokens of all sequences, one after the other. Linear maps, the MLP
//! and the LayerNorms work on the whole matrix; attention works on one sequence at a time, so that no token ever sees
//! another text, nothing is computed for padding, and a text's vector does not depend on its batch.

use candle_core::{D, Device, Tensor};
use candle_nn::ops::{layer_norm, softmax_last_dim};

use crate::Result;
use crate::config::{Activation, BertConfig, Pooling};
use crate::weights::Tensors;

/// A BERT encoder (Devlin et al., 2019, <https://arxiv.org/abs/1810.04805>), post-LayerNorm, absolute positions.
#[derive(Debug, Clone)]
pub(crate) struct Bert {
    words: Tensor,
    positions: Tensor,
    /// The first segment's embedding, `(hidden,)`: texts have one segment.
    segment: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
    device: Device,
}

/// Token ids of several texts, packed.
pub(crate) struct Packed {
    /// Ids of all tokens.
    pub(crate) ids: Vec<u32>,
    /// Length of each sequence, in order; none is 0.
    pub(crate) lengths: Vec<usize>,
}

impl Bert {
    pub(crate) fn load(config: &BertConfig, tensors: &Tensors<'_>, device: &Device) -> Result<Self> {
        let hidden = config.hidden_size;
        let get = |name: &str, shape: &[usize]| tensors.get(name, shape, device);
        let layers = (0..config.num_hidden_layers)
            .map(|layer| Layer::load(config, layer, &get))
            .collect::<Result<Vec<_>>>()?;
        let segments = get("embeddings.token_type_embeddings.weight", &[config.type_vocab_size, hidden])?;
        Ok(Self {
            words: get("embeddings.word_embeddings.weight", &[config.vocab_size, hidden])?,
            positions: get(
                "embeddings.position_embeddings.weight",
                &[config.max_position_embeddings, hidden],
            )?,
            segment: segments.get(0)?,
            norm: LayerNorm::load("embeddings.LayerNorm", config, &get)?,
            layers,
            device: device.clone(),
        })
    }

    /// Hidden states after the last layer, `(tokens, hidden)`.
    pub(crate) fn forward(&self, batch: &Packed) -> Result<Tensor> {
        let ids = Tensor::from_slice(&batch.ids, batch.ids.len(), &self.device)?;
        let positions: Vec<u32> = batch.lengths.iter().flat_map(|&length| 0..length as u32).collect();
        let positions = Tensor::from_vec(positions, batch.ids.len(), &self.device)?;
        let words = self.words.index_select(&ids, 0)?;
        let states = (words + self.positions.index_select(&positions, 0)?)?.broadcast_add(&self.segment)?;
        let mut states = self.norm.forward(&states)?;
        for layer in &self.layers {
            states = layer.forward(&states, &batch.lengths)?;
        }
        Ok(states)
    }

    /// One vector per text, `(texts, hidden)`, not normalised.
    pub(crate) fn pool(states: &Tensor, lengths: &[usize], pooling: Pooling) -> Result<Tensor> {
        let mut start = 0;
        let rows = lengths
            .iter()
            .map(|&length| {
                let row = match pooling {
                    Pooling::Mean => states.narrow(0, start, length)?.mean(0)?,
                    Pooling::Cls => states.get(start)?,
                };
                start += length;
                Ok(row)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::stack(&rows, 0)?)
    }
}

#[derive(Debug, Clone)]
struct Layer {
    /// Query, key and value in one product, `(3·hidden, hidden)`.
    query_key_value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    up: Linear,
    down: Linear,
    output_norm: LayerNorm,
    activation: Activation,
    heads: usize,
}

impl Layer {
    fn load(
        config: &BertConfig,
        layer: usize,
        get: &impl Fn(&str, &[usize]) -> Result<Tensor>,
    ) -> Result<Self> {
        let at = |part: &str| format!("encoder.layer.{layer}.{part}");
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let parts = ["query", "key", "value"]
            .map(|part| Linear::load(&at(&format!("attention.self.{part}")), hidden, hidden, get));
        Ok(Self {
            query_key_value: Linear::stacked(parts)?,
            attention_output: Linear::load(&at("attention.output.dense"), hidden, hidden, get)?,
            attention_norm: LayerNorm::load(&at("attention.output.LayerNorm"), config, get)?,
            up: Linear::load(&at("intermediate.dense"), hidden, inner, get)?,
            down: Linear::load(&at("output.dense"), inner, hidden, get)?,
            output_norm: LayerNorm::load(&at("output.LayerNorm"), config, get)?,
            activation: config.hidden_act,
            heads: config.num_attention_heads,
        })
    }

    fn forward(&self, states: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let attended = self.attention_output.forward(&self.attend(states, lengths)?)?;
        let states = self.attention_norm.forward(&(attended + states)?)?;
        let inner = self.activation.apply(&self.up.forward(&states)?)?;
        self.output_norm.forward(&(self.down.forward(&inner)? + states)?)
    }

    /// softmax(QKᵀ/√d)·V of each sequence, `(tokens, hidden)`.
    fn attend(&self, states: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let (tokens, hidden) = states.dims2()?;
        let width = hidden / self.heads;
        let scale = 1.0 / (width as f64).sqrt();
        // (3, heads, tokens, width)
        let projected = self
            .query_key_value
            .forward(states)?
            .reshape((tokens, 3, self.heads, width))?
            .permute((1, 2, 0, 3))?
            .contiguous()?;
        let [query, key, value] = [projected.get(0)?, projected.get(1)?, projected.get(2)?];
        let query = (query * scale)?;
        let mut start = 0;
        let contexts = lengths
            .iter()
            .map(|&length| {
                let [q, k, v] = [&query, &key, &value].map(|all| all.narrow(1, start, length));
                start += length;
                let weights = softmax_last_dim(&q?.contiguous()?.matmul(&k?.contiguous()?.t()?)?)?;
                // (heads, length, width) → (length, hidden)
                Ok(weights.matmul(&v?.contiguous()?)?.transpose(0, 1)?.reshape((length, hidden))?)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&contexts, 0)?)
    }
}

impl Activation {
    fn apply(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Gelu => x.gelu_erf()?,
            Self::GeluTanh => x.gelu()?,
            Self::Relu => x.relu()?,
        })
    }
}

/// y = x·Wᵀ + b.
#[derive(Debug, Clone)]
struct Linear {
    /// `(out, in)`, as the file has it.
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn load(
        name: &str,
        inputs: usize,
        outputs: usize,
        get: &impl Fn(&str, &[usize]) -> Result<Tensor>,
    ) -> Result<Self> {
        Ok(Self {
            weight: get(&format!("{name}.weight"), &[outputs, inputs])?,
            bias: get(&format!("{name}.bias"), &[outputs])?,
        })
    }

    /// Several maps of one input as one.
    fn stacked<const N: usize>(parts: [Result<Self>; N]) -> Result<Self> {
        let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
        let weights: Vec<_> = parts.iter().map(|part| &part.weight).collect();
        let biases: Vec<_> = parts.iter().map(|part| &part.bias).collect();
        Ok(Self { weight: Tensor::cat(&weights, 0)?, bias: Tensor::cat(&biases, 0)? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)?)
    }
}

#[derive(Debug, Clone)]
struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f32,
}

impl LayerNorm {
    fn load(
        name: &str,
        config: &BertConfig,
        get: &impl Fn(&str, &[usize]) -> Result<Tensor>,
    ) -> Result<Self> {
        Ok(Self {
            weight: get(&format!("{name}.weight"), &[config.hidden_size])?,
            bias: get(&format!("{name}.bias"), &[config.hidden_size])?,
            eps: config.layer_norm_eps as f32,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        debug_assert_eq!(x.dim(D::Minus1)?, self.weight.elem_count());
        Ok(layer_norm(x, &self.weight, &self.bias, self.eps)?)
    }
}
