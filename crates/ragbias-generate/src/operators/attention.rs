//! softmax(q·Kᵀ)·V of all tokens of a batch, a masked product for each bucket.

use candle_core::{DType, Result, Tensor};
use candle_nn::ops::softmax_last_dim;

use super::batch::{Bucket, View};
use super::heads::HeadLayout;

impl HeadLayout {
    /// What the queries attend to, `(tokens, heads · width)`, f32, for scaled queries of the same shape; `tables` are those of
    /// the heads of all keys and values.
    pub(super) fn attend(
        self,
        queries: &Tensor,
        tables: &[Tensor; 2],
        view: &View,
        cap: Option<f32>,
    ) -> Result<Tensor> {
        let parts = view.buckets.iter().map(|bucket| self.bucket(queries, tables, bucket, cap));
        Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)?.index_select(&view.places, 0)
    }

    /// `(sequences · queries, heads · width)`, with padding.
    fn bucket(
        self,
        queries: &Tensor,
        tables: &[Tensor; 2],
        bucket: &Bucket,
        cap: Option<f32>,
    ) -> Result<Tensor> {
        let Self { heads, key_heads, width } = self;
        let &Bucket { sequences, queries: rows, keys, .. } = bucket;
        let query = queries.index_select(&bucket.tokens, 0)?.reshape((sequences, rows, heads, width))?;
        // The heads that share keys are one matrix: (sequences, key_heads, sharing · queries, width).
        let shared = (sequences, key_heads, heads / key_heads * rows, width);
        let query = query.transpose(1, 2)?.contiguous()?.reshape(shared)?;
        let [key, value] = tables.each_ref().map(|table| {
            let rows = table.index_select(&bucket.rows, 0)?.to_dtype(DType::F32)?;
            rows.reshape((sequences, key_heads, keys, width))
        });
        let mut scores = query.matmul(&key?.t()?)?.reshape((sequences, heads, rows, keys))?;
        if let Some(cap) = cap {
            scores = soft_cap(&scores, cap)?;
        }
        if let Some(mask) = &bucket.mask {
            scores = scores.broadcast_add(mask)?;
        }
        let weights =
            softmax_last_dim(&scores)?.reshape((sequences, key_heads, heads / key_heads * rows, keys))?;
        let attended = weights.matmul(&value?)?.reshape((sequences, heads, rows, width))?;
        attended.transpose(1, 2)?.contiguous()?.reshape((sequences * rows, heads * width))
    }
}

/// cap · tanh(x / cap).
pub(crate) fn soft_cap(x: &Tensor, cap: f32) -> Result<Tensor> {
    let cap = f64::from(cap);
    (x / cap)?.tanh()? * cap
}
