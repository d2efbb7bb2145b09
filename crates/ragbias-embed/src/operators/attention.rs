//! softmax(QKᵀ·scale + B)·V of each text, a masked product for each bucket of texts; B are the biases of relative attention.

use candle_core::{D, DType, Tensor};
use candle_nn::ops::{softmax, softmax_last_dim};

use super::buckets::Bucket;
use super::pass::Pass;
use super::weights::{Linear, Norm, Weights};
use crate::Result;
use crate::config::{Reach, Rotary};
use crate::parts::MapPlace;

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

    /// The tokens that a token attends to, and their positions if they are rotary.
    pub(super) fn reach(&self) -> (Reach, Option<Rotary>) {
        (self.reach, self.rotary)
    }

    /// What the attention adds to states, `(tokens, hidden)`.
    pub(super) fn forward(&self, states: &Tensor, pass: &Pass) -> Result<Tensor> {
        let projected = self.query_key_value.forward(states)?;
        let [query, key] = [0, 1].map(|part| self.turned(&projected, part, pass));
        let all = [(query? * self.scale)?, key?, self.part(&projected, 2, None)?];
        let view = pass.view(self.reach);
        let contexts = view.buckets.iter().map(|bucket| self.context(&all, bucket, pass));
        let contexts = Tensor::cat(&contexts.collect::<Result<Vec<_>>>()?, 0)?;
        self.output.forward(&contexts.index_select(&view.places, 0)?)
    }

    /// The contexts of a bucket's queries, `(texts · queries, heads · width)`, from the queries, keys and values of all tokens.
    fn context(&self, [query, key, value]: &[Tensor; 3], bucket: &Bucket, pass: &Pass) -> Result<Tensor> {
        let &Bucket { texts, queries, keys, .. } = bucket;
        let (heads, shared, width) = (self.heads, self.key_value_heads, self.width);
        let of = |all: &Tensor, tokens: &Tensor| -> Result<Tensor> {
            let shape = (texts, tokens.dim(0)? / texts, all.dim(1)?, width);
            Ok(all.index_select(tokens, 0)?.reshape(shape)?.transpose(1, 2)?.contiguous()?)
        };
        // Consecutive heads of queries share keys and values: their queries are rows of one matrix.
        let rows = heads / shared * queries;
        let query = of(query, &bucket.query_tokens)?.reshape((texts, shared, rows, width))?;
        let scores = query.matmul(&of(key, &bucket.key_tokens)?.t()?)?;
        let mut scores = scores.reshape((texts, heads, queries, keys))?.to_dtype(DType::F32)?;
        if let Some(biases) = pass.biases(queries) {
            scores = scores.broadcast_add(biases)?;
        }
        if let Some(mask) = &bucket.mask {
            scores = scores.broadcast_add(mask)?;
        }
        let weights =
            if scores.track_op() { softmax(&scores, D::Minus1)? } else { softmax_last_dim(&scores)? };
        let weights = weights.to_dtype(value.dtype())?.reshape((texts, shared, rows, keys))?;
        let contexts = weights.matmul(&of(value, &bucket.key_tokens)?)?;
        let contexts = contexts.reshape((texts, heads, queries, width))?.transpose(1, 2)?;
        Ok(contexts.reshape((texts * queries, heads * width))?)
    }

    /// Queries (0), keys (1) or values (2) of all tokens, normalised if `norm` is given, `(tokens, heads, width)`.
    fn part(&self, projected: &Tensor, part: usize, norm: Option<&Norm>) -> Result<Tensor> {
        let heads = [self.heads, self.key_value_heads, self.key_value_heads];
        let start = heads[..part].iter().sum::<usize>() * self.width;
        let tokens = projected.dim(0)?;
        let rows = projected.narrow(1, start, heads[part] * self.width)?;
        let rows = rows.reshape((tokens, heads[part], self.width))?;
        norm.map_or(Ok(rows.contiguous()?), |norm| norm.forward(&rows))
    }

    /// Queries (0) or keys (1), normalised and turned.
    fn turned(&self, projected: &Tensor, part: usize, pass: &Pass) -> Result<Tensor> {
        let rows = self.part(projected, part, self.norms.as_ref().map(|norms| &norms[part]))?;
        match self.rotary.and_then(|rotary| pass.rotation(rotary)) {
            Some(rotation) => rotation.turn(&rows),
            None => Ok(rows),
        }
    }
}
