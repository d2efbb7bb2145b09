//! The transformer: one definition, for inference and for training, over sequences that are packed without padding.
//!
//! A batch is one `(tokens, hidden)` matrix: the tokens of all sequences, one after the other. Linear maps, the MLP
//! and the LayerNorms work on the whole matrix; attention works on one sequence at a time, so that no token ever sees
//! another text, nothing is computed for padding, and a text's vector does not depend on its batch.

use candle_core::{D, Device, Tensor};
use candle_nn::ops::{layer_norm, layer_norm_slow, softmax, softmax_last_dim};

use crate::Result;
use crate::config::{Activation, BertConfig, Pooling};
use crate::parameters::Parameters;

/// A BERT encoder (Devlin et al., 2019, <https://arxiv.org/abs/1810.04805>), post-LayerNorm, absolute positions.
///
/// It is a function of its [`Parameters`]. Where one of them is being trained, or depends on one that is, everything
/// above it is differentiable: candle's fused LayerNorm and softmax, which have no backward pass, give way to their
/// plain forms there.
#[derive(Debug, Clone)]
pub struct Bert {
    words: Tensor,
    positions: Tensor,
    /// The first segment's embedding, `(hidden,)`: texts have one segment.
    segment: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
    device: Device,
}

/// Token ids of several texts, packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Ids of all tokens.
    pub ids: Vec<u32>,
    /// Length of each sequence, in order; none is 0.
    pub lengths: Vec<usize>,
}

impl Packed {
    /// These sequences, one after the other.
    pub fn new(sequences: &[impl AsRef<[u32]>]) -> Self {
        Self {
            ids: sequences.iter().flat_map(|sequence| sequence.as_ref().iter().copied()).collect(),
            lengths: sequences.iter().map(|sequence| sequence.as_ref().len()).collect(),
        }
    }
}

impl Bert {
    /// The encoder of these weights, on the device where they are.
    ///
    /// # Errors
    /// A weight that is not there.
    pub fn new(config: &BertConfig, parameters: &Parameters) -> Result<Self> {
        let layers = (0..config.num_hidden_layers)
            .map(|layer| Layer::new(config, layer, parameters))
            .collect::<Result<Vec<_>>>()?;
        let words = parameters.get("embeddings.word_embeddings.weight")?.clone();
        Ok(Self {
            device: words.device().clone(),
            words,
            positions: parameters.get("embeddings.position_embeddings.weight")?.clone(),
            segment: parameters.get("embeddings.token_type_embeddings.weight")?.get(0)?,
            norm: LayerNorm::new("embeddings.LayerNorm", config, parameters)?,
            layers,
        })
    }

    /// How many layers there are.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Hidden states under the first layer, `(tokens, hidden)`.
    ///
    /// # Errors
    /// A token that the vocabulary does not have.
    pub fn embed_tokens(&self, batch: &Packed) -> Result<Tensor> {
        let ids = Tensor::from_slice(&batch.ids, batch.ids.len(), &self.device)?;
        let positions: Vec<u32> = batch.lengths.iter().flat_map(|&length| 0..length as u32).collect();
        let positions = Tensor::from_vec(positions, batch.ids.len(), &self.device)?;
        let words = self.words.index_select(&ids, 0)?;
        let states = (words + self.positions.index_select(&positions, 0)?)?.broadcast_add(&self.segment)?;
        self.norm.forward(&states)
    }

    /// Hidden states after a range of layers from those under it, `(tokens, hidden)` both.
    ///
    /// # Errors
    /// States of another width.
    pub fn run_layers(
        &self,
        states: &Tensor,
        lengths: &[usize],
        layers: std::ops::Range<usize>,
    ) -> Result<Tensor> {
        let mut states = states.clone();
        for layer in &self.layers[layers] {
            states = layer.forward(&states, lengths)?;
        }
        Ok(states)
    }

    /// Hidden states after the last layer, `(tokens, hidden)`.
    ///
    /// # Errors
    /// As [`Bert::embed_tokens`].
    pub fn forward(&self, batch: &Packed) -> Result<Tensor> {
        self.run_layers(&self.embed_tokens(batch)?, &batch.lengths, 0..self.layers())
    }

    /// One vector per text, `(texts, hidden)`, not normalised.
    ///
    /// # Errors
    /// Lengths that do not add up to the number of states.
    pub fn pool(states: &Tensor, lengths: &[usize], pooling: Pooling) -> Result<Tensor> {
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
    fn new(config: &BertConfig, layer: usize, parameters: &Parameters) -> Result<Self> {
        let at = |part: &str| format!("encoder.layer.{layer}.{part}");
        let linear = |part: &str| Linear::new(&at(part), parameters);
        let parts = ["query", "key", "value"].map(|part| linear(&format!("attention.self.{part}")));
        Ok(Self {
            query_key_value: Linear::stacked(parts)?,
            attention_output: linear("attention.output.dense")?,
            attention_norm: LayerNorm::new(&at("attention.output.LayerNorm"), config, parameters)?,
            up: linear("intermediate.dense")?,
            down: linear("output.dense")?,
            output_norm: LayerNorm::new(&at("output.LayerNorm"), config, parameters)?,
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
                let scores = q?.contiguous()?.matmul(&k?.contiguous()?.t()?)?;
                let weights =
                    if scores.track_op() { softmax(&scores, D::Minus1)? } else { softmax_last_dim(&scores)? };
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
    fn new(name: &str, parameters: &Parameters) -> Result<Self> {
        Ok(Self {
            weight: parameters.get(&format!("{name}.weight"))?.clone(),
            bias: parameters.get(&format!("{name}.bias"))?.clone(),
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
    fn new(name: &str, config: &BertConfig, parameters: &Parameters) -> Result<Self> {
        Ok(Self {
            weight: parameters.get(&format!("{name}.weight"))?.clone(),
            bias: parameters.get(&format!("{name}.bias"))?.clone(),
            eps: config.layer_norm_eps as f32,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        debug_assert_eq!(x.dim(D::Minus1)?, self.weight.elem_count());
        let trained = x.track_op() || self.weight.track_op() || self.bias.track_op();
        let norm = if trained { layer_norm_slow } else { layer_norm };
        Ok(norm(x, &self.weight, &self.bias, self.eps)?)
    }
}
