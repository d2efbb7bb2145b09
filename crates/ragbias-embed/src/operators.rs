//! The encoder made of candle's operators: used on devices other than the CPU, and as the reference implementation of the CPU's.
//!
//! A batch is one `(tokens, hidden)` matrix: the tokens of all sequences, one after the other. Linear layers, the MLP
//! and the LayerNorms work on the whole matrix; attention works on one sequence at a time, so that no token attends to
//! another text, nothing is computed for padding, and a text's vector does not depend on its batch.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::{layer_norm, layer_norm_slow, softmax, softmax_last_dim};

use crate::config::{Activation, EncoderConfig, Pooling, PoolingMode, Positions};
use crate::input::{Input, Packed};
use crate::parameters::{Parameters, RELATIVE};
use crate::relative::buckets;
use crate::{Error, Result};

/// An encoder of one of the families of [`Family`](crate::Family).
///
/// It is a function of its [`Parameters`]. If a parameter is trained, or depends on one that is, everything
/// above it is differentiable: candle's fused LayerNorm and softmax, which have no backward pass, are replaced there by
/// unfused operators.
#[derive(Debug, Clone)]
pub(crate) struct DeviceEncoder {
    words: Tensor,
    positions: Tensor,
    places: Positions,
    /// The first segment's embedding, `(hidden,)`, which all texts use, if the family has segments.
    segment: Option<Tensor>,
    /// The biases of relative attention, `(buckets, heads)`.
    relative: Option<Tensor>,
    norm: LayerNorm,
    layers: Vec<Layer>,
    device: Device,
}

impl DeviceEncoder {
    /// The encoder with these weights, on their device, computing in this type.
    ///
    /// # Errors
    /// A missing weight.
    pub(crate) fn new(config: &EncoderConfig, parameters: &Parameters, dtype: DType) -> Result<Self> {
        let weights = Weights { parameters, dtype };
        let layers = (0..config.num_hidden_layers)
            .map(|layer| Layer::new(config, layer, &weights))
            .collect::<Result<Vec<_>>>()?;
        let words = weights.get("embeddings.word_embeddings.weight")?;
        Ok(Self {
            device: words.device().clone(),
            words,
            positions: weights.get("embeddings.position_embeddings.weight")?,
            places: config.positions,
            segment: if config.type_vocab_size > 0 {
                Some(weights.get("embeddings.token_type_embeddings.weight")?.get(0)?)
            } else {
                None
            },
            relative: (config.relative_buckets > 0).then(|| weights.get(RELATIVE)).transpose()?,
            norm: LayerNorm::new("embeddings.LayerNorm", config, &weights)?,
            layers,
        })
    }

    /// Hidden states at the input of the first layer, `(tokens, hidden)`.
    fn embed_tokens(&self, batch: &Packed) -> Result<Tensor> {
        let ids = Tensor::from_slice(&batch.ids, batch.ids.len(), &self.device)?;
        let positions = self.places.of_all(&batch.ids, &batch.lengths);
        let positions: Vec<u32> = positions.map(|position| position as u32).collect();
        let positions = Tensor::from_vec(positions, batch.ids.len(), &self.device)?;
        let words = self.words.index_select(&ids, 0)?;
        let states = (words + self.positions.index_select(&positions, 0)?)?;
        self.norm.forward(&match &self.segment {
            Some(segment) => states.broadcast_add(segment)?,
            None => states,
        })
    }

    /// Hidden states at the input of a sublayer, `(tokens, hidden)`, f32.
    ///
    /// # Errors
    /// A token outside the vocabulary, states of another width.
    pub(crate) fn states(&self, input: Input<'_>, until: usize) -> Result<Tensor> {
        let mut states = match input {
            Input::Tokens(batch) => self.embed_tokens(batch)?,
            Input::States { rows, lengths, .. } => {
                let shape = (lengths.iter().sum::<usize>(), self.words.dim(1)?);
                Tensor::from_slice(rows, shape, &self.device)?.to_dtype(self.words.dtype())?
            }
        };
        let biases = self.biases(input.lengths())?;
        for half in input.half()..until {
            let layer = &self.layers[half / 2];
            states = if half % 2 == 0 {
                layer.attend(&states, input.lengths(), &biases)?
            } else {
                layer.transform(&states)?
            };
        }
        Ok(states.to_dtype(DType::F32)?)
    }

    /// The biases of relative attention for texts of these lengths; none if the family has no relative attention.
    fn biases(&self, lengths: &[usize]) -> Result<Biases> {
        let Some(table) = &self.relative else { return Ok(Biases::new()) };
        let lengths: BTreeSet<usize> = lengths.iter().copied().collect();
        lengths.into_iter().map(|length| Ok((length, biases(table, length)?))).collect()
    }

    /// One vector per text, `(texts, pooled)`, f32, not normalised: each pooled over the tokens after the first `skipped`.
    ///
    /// # Errors
    /// A token outside the vocabulary, states of another width, a text with no token left.
    pub(crate) fn vectors(&self, input: Input<'_>, pooling: &Pooling, skipped: usize) -> Result<Tensor> {
        let states = self.states(input, 2 * self.layers.len())?;
        let mut start = 0;
        let rows = input.lengths().iter().enumerate().map(|(row, &length)| {
            let kept =
                length.checked_sub(skipped).filter(|&kept| kept > 0).ok_or(Error::OnlyPrompt { row })?;
            let tokens = states.narrow(0, start + skipped, kept)?;
            start += length;
            let parts = pooling.modes().iter().map(|mode| pool(*mode, &tokens, skipped));
            Ok(Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)?)
        });
        Ok(Tensor::stack(&rows.collect::<Result<Vec<_>>>()?, 0)?)
    }
}

/// Pools the tokens of one text after the first `skipped`, `(tokens, hidden)`, into one vector, `(hidden,)`.
fn pool(mode: PoolingMode, tokens: &Tensor, skipped: usize) -> Result<Tensor> {
    let count = tokens.dim(0)?;
    Ok(match mode {
        PoolingMode::Mean => tokens.mean(0)?,
        PoolingMode::Cls => tokens.get(0)?,
        PoolingMode::LastToken => tokens.get(count - 1)?,
        PoolingMode::Max => tokens.max(0)?,
        PoolingMode::MeanSqrtLen => (tokens.sum(0)? / (count as f64).sqrt())?,
        PoolingMode::WeightedMean => {
            let weights: Vec<f32> =
                (skipped..skipped + count).map(|position| (position + 1) as f32).collect();
            let sum: f32 = weights.iter().sum();
            let weights = Tensor::from_vec(weights, (count, 1), tokens.device())?;
            (tokens.broadcast_mul(&weights)?.sum(0)? / f64::from(sum))?
        }
    })
}

/// Weights converted to the computation type.
struct Weights<'a> {
    parameters: &'a Parameters,
    dtype: DType,
}

impl Weights<'_> {
    fn get(&self, name: &str) -> Result<Tensor> {
        Ok(self.parameters.get(name)?.to_dtype(self.dtype)?)
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
    fn new(config: &EncoderConfig, layer: usize, weights: &Weights<'_>) -> Result<Self> {
        let at = |part: &str| format!("encoder.layer.{layer}.{part}");
        let linear = |part: &str| Linear::new(&at(part), weights);
        let parts = ["query", "key", "value"].map(|part| linear(&format!("attention.self.{part}")));
        Ok(Self {
            query_key_value: Linear::stacked(parts)?,
            attention_output: linear("attention.output.dense")?,
            attention_norm: LayerNorm::new(&at("attention.output.LayerNorm"), config, weights)?,
            up: linear("intermediate.dense")?,
            down: linear("output.dense")?,
            output_norm: LayerNorm::new(&at("output.LayerNorm"), config, weights)?,
            activation: config.hidden_act,
            heads: config.num_attention_heads,
        })
    }

    fn attend(&self, states: &Tensor, lengths: &[usize], biases: &Biases) -> Result<Tensor> {
        let attended = self.attention_output.forward(&self.contexts(states, lengths, biases)?)?;
        self.attention_norm.forward(&(attended + states)?)
    }

    fn transform(&self, states: &Tensor) -> Result<Tensor> {
        let inner = self.activation.apply(&self.up.forward(states)?)?;
        self.output_norm.forward(&(self.down.forward(&inner)? + states)?)
    }

    /// softmax(QKᵀ/√d + B)·V of each sequence, `(tokens, hidden)`; B are the biases of relative attention.
    fn contexts(&self, states: &Tensor, lengths: &[usize], biases: &Biases) -> Result<Tensor> {
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
                let mut scores = scores.to_dtype(DType::F32)?;
                if let Some(biases) = biases.get(&length) {
                    scores = (scores + biases)?;
                }
                let weights =
                    if scores.track_op() { softmax(&scores, D::Minus1)? } else { softmax_last_dim(&scores)? };
                let weights = weights.to_dtype(projected.dtype())?;
                // (heads, length, width) → (length, hidden)
                Ok(weights.matmul(&v?.contiguous()?)?.transpose(0, 1)?.reshape((length, hidden))?)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&contexts, 0)?)
    }
}

/// The biases of the scores of texts by their length, `(heads, length, length)`, f32.
type Biases = BTreeMap<usize, Tensor>;

/// The biases of a text's scores, `(heads, length, length)`, f32, from their table.
fn biases(table: &Tensor, length: usize) -> Result<Tensor> {
    let by_distance: Vec<u32> = buckets(length).map(|bucket| bucket as u32).collect();
    let at: Vec<u32> = (0..length)
        .flat_map(|query| &by_distance[length - 1 - query..2 * length - 1 - query])
        .copied()
        .collect();
    let rows = table.index_select(&Tensor::from_vec(at, length * length, table.device())?, 0)?;
    let biases = rows.reshape((length, length, table.dim(1)?))?.permute((2, 0, 1))?;
    Ok(biases.contiguous()?.to_dtype(DType::F32)?)
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
    /// `(out, in)`, as in the file.
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn new(name: &str, weights: &Weights<'_>) -> Result<Self> {
        Ok(Self {
            weight: weights.get(&format!("{name}.weight"))?,
            bias: weights.get(&format!("{name}.bias"))?,
        })
    }

    /// Stacks several linear layers with the same input.
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
    fn new(name: &str, config: &EncoderConfig, weights: &Weights<'_>) -> Result<Self> {
        Ok(Self {
            weight: weights.get(&format!("{name}.weight"))?,
            bias: weights.get(&format!("{name}.bias"))?,
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
