//! The encoder made of candle's operators: used on devices other than the CPU, and as the reference implementation of the CPU's.
//!
//! A batch is one `(tokens, hidden)` matrix: the tokens of all sequences, one after the other. Linear layers, the MLP
//! and the norms work on the whole matrix; attention is one masked product for each bucket of texts with similar lengths, so
//! that no token attends to another text or to padding. What else is in a batch changes the shapes of products and thereby the
//! order of their sums: a text's vector is the same in any batch but for rounding.

mod attention;
mod buckets;
mod layer;
mod pass;
mod weights;

use candle_core::{DType, Device, Tensor};

use self::layer::Layer;
use self::pass::Pass;
use self::weights::{Norm, Weights};
use crate::config::{EncoderConfig, Pooling, PoolingMode, Positions};
use crate::input::{Input, Packed};
use crate::parameters::{Parameters, RELATIVE, WORD_EMBEDDINGS};
use crate::{Error, Result};

/// An encoder of any description.
///
/// It is a function of its [`Parameters`]. If a parameter is trained, or depends on one that is, everything
/// above it is differentiable: candle's fused LayerNorm and softmax, which have no backward pass, are replaced there by
/// unfused operators.
#[derive(Debug, Clone)]
pub(crate) struct DeviceEncoder {
    words: Tensor,
    word_scale: f64,
    /// The embeddings of positions, unless they are rotary.
    positions: Option<Tensor>,
    places: Positions,
    /// The first segment's embedding, `(hidden,)`, which all texts use, if the family has segments.
    segment: Option<Tensor>,
    /// The biases of relative attention, `(buckets, heads)`.
    relative: Option<Tensor>,
    norm: Option<Norm>,
    layers: Vec<Layer>,
    /// After the last layer.
    last_norm: Option<Norm>,
    /// Number and width of attention heads.
    heads: usize,
    width: usize,
    device: Device,
}

impl DeviceEncoder {
    /// The encoder with these weights, on their device, computing in this type.
    ///
    /// # Errors
    /// A missing weight.
    pub(crate) fn new(config: &EncoderConfig, parameters: &Parameters, dtype: DType) -> Result<Self> {
        let weights = Weights { config, parameters, dtype };
        let layers = (0..config.num_hidden_layers)
            .map(|layer| Layer::new(layer, &weights))
            .collect::<Result<Vec<_>>>()?;
        let words = weights.get(WORD_EMBEDDINGS)?;
        let has_positions = config.positions != Positions::Rotary;
        let positions = has_positions.then(|| weights.get("embeddings.position_embeddings.weight"));
        Ok(Self {
            device: words.device().clone(),
            words,
            word_scale: config.architecture.embedding_scale.into(),
            positions: positions.transpose()?,
            places: config.positions,
            segment: if config.type_vocab_size > 0 {
                Some(weights.get("embeddings.token_type_embeddings.weight")?.get(0)?)
            } else {
                None
            },
            relative: (config.relative_buckets > 0).then(|| weights.get(RELATIVE)).transpose()?,
            norm: weights.norm(config.embedding_norm())?,
            layers,
            last_norm: weights.norm(config.last_norm())?,
            heads: config.num_attention_heads,
            width: config.head_width(),
        })
    }

    /// Hidden states at the input of the first layer, `(tokens, hidden)`.
    fn embed_tokens(&self, batch: &Packed) -> Result<Tensor> {
        let ids = Tensor::from_slice(&batch.ids, batch.ids.len(), &self.device)?;
        let mut states = self.words.index_select(&ids, 0)?;
        if self.word_scale != 1.0 {
            states = (states * self.word_scale)?;
        }
        if let Some(table) = &self.positions {
            let positions = self.places.of_all(&batch.ids, &batch.lengths);
            let positions: Vec<u32> = positions.map(|position| position as u32).collect();
            let positions = Tensor::from_vec(positions, batch.ids.len(), &self.device)?;
            states = (states + table.index_select(&positions, 0)?)?;
        }
        if let Some(segment) = &self.segment {
            states = states.broadcast_add(segment)?;
        }
        match &self.norm {
            Some(norm) => norm.forward(&states),
            None => Ok(states),
        }
    }

    /// Hidden states at the input of a sublayer, `(tokens, hidden)`, f32; after the last one without the norm that follows it.
    ///
    /// # Errors
    /// A token outside the vocabulary, states of another width.
    pub(crate) fn states(&self, input: Input<'_>, until: usize) -> Result<Tensor> {
        Ok(self.run(input, until)?.to_dtype(DType::F32)?)
    }

    fn run(&self, input: Input<'_>, until: usize) -> Result<Tensor> {
        let mut states = match input {
            Input::Tokens(batch) => self.embed_tokens(batch)?,
            Input::States { rows, lengths, .. } => {
                let shape = (lengths.iter().sum::<usize>(), self.words.dim(1)?);
                Tensor::from_slice(rows, shape, &self.device)?.to_dtype(self.words.dtype())?
            }
        };
        let dtype = self.words.dtype();
        let heads = (self.heads, self.width);
        let layers = self.layers.iter().map(Layer::reach);
        let pass = Pass::new(input.lengths(), self.relative.as_ref(), layers, heads, dtype, &self.device)?;
        for half in input.half()..until {
            let layer = &self.layers[half / 2];
            states = if half % 2 == 0 { layer.attend(&states, &pass)? } else { layer.transform(&states)? };
        }
        Ok(states)
    }

    /// One vector per text, `(texts, pooled)`, f32, not normalised: each pooled over the tokens after the first `skipped`.
    ///
    /// # Errors
    /// A token outside the vocabulary, states of another width, a text with no token left.
    pub(crate) fn vectors(&self, input: Input<'_>, pooling: &Pooling, skipped: usize) -> Result<Tensor> {
        let mut states = self.run(input, 2 * self.layers.len())?;
        if let Some(norm) = &self.last_norm {
            states = norm.forward(&states)?;
        }
        let states = states.to_dtype(DType::F32)?;
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
