//! softmax(QKᵀ·scale + B)·V of each sequence; B are the biases of relative attention.

use std::ops::Range;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::{softmax, softmax_last_dim};

use super::pass::Pass;
use super::weights::{Linear, Norm, Weights};
use crate::config::{Reach, Rotary};
use crate::parts::MapPlace;
use crate::{Error, Result};

/// Number of queries that are worked on at once where they do not attend to all tokens: their scores are with the tokens that any
/// of them attends to.
const BLOCK: usize = 128;

#[derive(Debug, Clone)]
pub(super) struct Attention {
    /// Query, key and value in one product.
    query_key_value: Linear,
    output: Linear,
    /// Norms of queries and keys.
    norms: Option<[Norm; 2]>,
    heads: usize,
    key_value_heads: usize,
    width: usize,
    scale: f64,
    reach: Reach,
    rotary: Option<Rotary>,
}

impl Attention {
    pub(super) fn new(layer: usize, weights: &Weights<'_>) -> Result<Self> {
        let config = weights.config;
        let norms = match config.head_norms(layer) {
            Some([query, key]) => weights.norm(Some(query))?.zip(weights.norm(Some(key))?).map(Into::into),
            None => None,
        };
        let (reach, rotary) = config.architecture.attention_of(layer);
        Ok(Self {
            query_key_value: weights.map(layer, MapPlace::QueryKeyValue)?,
            output: weights.map(layer, MapPlace::AttentionOutput)?,
            norms,
            heads: config.num_attention_heads,
            key_value_heads: config.key_value_heads(),
            width: config.head_width(),
            scale: config.attention_scale().into(),
            reach,
            rotary,
        })
    }

    pub(super) fn rotary(&self) -> Option<Rotary> {
        self.rotary
    }

    /// What the attention adds to states, `(tokens, hidden)`.
    pub(super) fn forward(&self, states: &Tensor, pass: &Pass) -> Result<Tensor> {
        let projected = self.query_key_value.forward(states)?;
        let [query, key] = [0, 1].map(|part| self.turned(&projected, part, pass));
        let (query, key) = ((query? * self.scale)?, self.repeated(&key?)?);
        let value = self.repeated(&self.part(&projected, 2, None)?)?;
        let mut start = 0;
        let mut contexts = Vec::with_capacity(pass.lengths.len());
        for &length in &pass.lengths {
            let [q, k, v] = [&query, &key, &value].map(|all| all.narrow(1, start, length));
            let all = [q?.contiguous()?, k?.contiguous()?, v?.contiguous()?];
            start += length;
            let block = if self.reach == Reach::ALL { length } else { BLOCK };
            for first in (0..length).step_by(block) {
                let queries = first..length.min(first + block);
                contexts.push(self.context(&all, queries, pass.biases(length))?);
            }
        }
        self.output.forward(&Tensor::cat(&contexts, 0)?)
    }

    /// The contexts of some queries of a text, `(queries, heads·width)`.
    fn context(
        &self,
        [query, key, value]: &[Tensor; 3],
        queries: Range<usize>,
        biases: Option<&Tensor>,
    ) -> Result<Tensor> {
        let keys = self.reach.of_all(queries.clone(), key.dim(1)?);
        let some = |all: &Tensor, range: &Range<usize>| all.narrow(1, range.start, range.len())?.contiguous();
        let scores = some(query, &queries)?.matmul(&some(key, &keys)?.t()?)?;
        let mut scores = scores.to_dtype(DType::F32)?;
        if let Some(biases) = biases {
            scores = (scores + biases)?;
        }
        if let Some(mask) = mask(self.reach, &queries, &keys, key.dim(1)?, key.device())? {
            scores = scores.broadcast_add(&mask)?;
        }
        let weights =
            if scores.track_op() { softmax(&scores, D::Minus1)? } else { softmax_last_dim(&scores)? };
        let contexts = weights.to_dtype(value.dtype())?.matmul(&some(value, &keys)?)?;
        // (heads, queries, width) → (queries, heads·width)
        Ok(contexts.transpose(0, 1)?.reshape((queries.len(), self.heads * self.width))?)
    }

    /// Queries (0), keys (1) or values (2) of all tokens, normalised if `norm` is given, `(heads, tokens, width)`.
    fn part(&self, projected: &Tensor, part: usize, norm: Option<&Norm>) -> Result<Tensor> {
        let heads = [self.heads, self.key_value_heads, self.key_value_heads];
        let start = heads[..part].iter().sum::<usize>() * self.width;
        let tokens = projected.dim(0)?;
        let rows = projected.narrow(1, start, heads[part] * self.width)?;
        let rows = rows.reshape((tokens, heads[part], self.width))?;
        let rows = norm.map_or(Ok(rows.clone()), |norm| norm.forward(&rows))?;
        Ok(rows.transpose(0, 1)?.contiguous()?)
    }

    /// Queries (0) or keys (1), normalised and turned.
    fn turned(&self, projected: &Tensor, part: usize, pass: &Pass) -> Result<Tensor> {
        let rows = self.part(projected, part, self.norms.as_ref().map(|norms| &norms[part]))?;
        match self.rotary.and_then(|rotary| pass.rotation(rotary)) {
            Some(rotation) => rotation.turn(&rows),
            None => Ok(rows),
        }
    }

    /// Keys or values for each head of queries: consecutive ones share them.
    fn repeated(&self, rows: &Tensor) -> Result<Tensor> {
        let sharing = self.heads / self.key_value_heads;
        if sharing == 1 {
            return Ok(rows.clone());
        }
        let (heads, tokens, width) = rows.dims3()?;
        let all = rows.unsqueeze(1)?.expand((heads, sharing, tokens, width))?;
        Ok(all.reshape((heads * sharing, tokens, width))?)
    }
}

/// −∞ where a query does not attend to a key, `(queries, keys)`, f32; `None` if every one attends to all.
fn mask(
    reach: Reach,
    queries: &Range<usize>,
    keys: &Range<usize>,
    length: usize,
    device: &Device,
) -> Result<Option<Tensor>> {
    let (first, last) = (reach.of(queries.start, length), reach.of(queries.end - 1, length));
    if first == *keys && last == *keys {
        return Ok(None);
    }
    let place = |token: usize| i64::try_from(token).expect("tokens are in memory; this is a bug");
    let places = |range: &Range<usize>| Tensor::arange(place(range.start), place(range.end), device);
    let distance = places(keys)?.unsqueeze(0)?.broadcast_sub(&places(queries)?.unsqueeze(1)?)?;
    let most =
        |tokens: Option<usize>| tokens.map_or(i64::MAX, |tokens| i64::try_from(tokens).unwrap_or(i64::MAX));
    let is_near = (distance.le(most(reach.after))? * distance.ge(-most(reach.before))?)?;
    let shape = (queries.len(), keys.len());
    let nothing = Tensor::zeros(shape, DType::F32, device)?;
    let never = Tensor::full(f32::NEG_INFINITY, shape, device)?;
    Ok::<_, Error>(Some(is_near.where_cond(&nothing, &never)?))
}
