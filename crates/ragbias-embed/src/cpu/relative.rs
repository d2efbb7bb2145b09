//! The biases of MPNet's relative attention, laid out by distance, and their gradient.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use ragbias_kernels::row::add;

use super::weight::Weight;
use crate::Result;
use crate::config::EncoderConfig;
use crate::parameters::{Parameters, RELATIVE};
use crate::relative::buckets;

/// A bias for each head and distance, shared by all layers.
#[derive(Clone)]
pub(super) struct Relative {
    /// `(heads, distances)`, from a key that is `longest − 1` before its query to one as far after it.
    biases: Arc<[f32]>,
    heads: usize,
    /// Tokens of the longest text.
    longest: usize,
    /// The shape of the table, `(buckets, heads)`.
    shape: [usize; 2],
}

impl Relative {
    /// From the table of an encoder that has one.
    pub(super) fn new(config: &EncoderConfig, parameters: &Parameters) -> Result<Option<Self>> {
        if config.relative_buckets == 0 {
            return Ok(None);
        }
        let (heads, longest) = (config.num_attention_heads, config.longest_text());
        let table = Weight::named(parameters, RELATIVE)?;
        let values = table.values();
        let of_head = |head: usize| buckets(longest).map(move |bucket| bucket * heads + head);
        let biases = (0..heads).flat_map(of_head).map(|at| values[at]).collect();
        Ok(Some(Self { biases, heads, longest, shape: [config.relative_buckets, heads] }))
    }

    /// Number of values of a gradient by distance.
    pub(super) fn size(&self) -> usize {
        self.biases.len()
    }

    /// Where the values of a query are, for the first `length` keys of a text.
    fn place(&self, head: usize, query: usize, length: usize) -> std::ops::Range<usize> {
        let start = head * (2 * self.longest - 1) + self.longest - 1 - query;
        start..start + length
    }

    /// The biases of a query's scores.
    pub(super) fn of(&self, head: usize, query: usize, length: usize) -> &[f32] {
        &self.biases[self.place(head, query, length)]
    }

    /// Adds the gradient of a query's scores to that of the biases by distance.
    pub(super) fn add_gradient(&self, sums: &mut [f32], head: usize, query: usize, scores: &[f32]) {
        add(&mut sums[self.place(head, query, scores.len())], scores);
    }

    /// The gradient of the table from that of the biases by distance.
    pub(super) fn gradient_of_table(&self, sums: &[f32]) -> Result<Tensor> {
        let mut table = vec![0.0; self.shape[0] * self.heads];
        for (head, sums) in sums.chunks_exact(2 * self.longest - 1).enumerate() {
            for (bucket, sum) in buckets(self.longest).zip(sums) {
                table[bucket * self.heads + head] += sum;
            }
        }
        Ok(Tensor::from_vec(table, &self.shape[..], &Device::Cpu)?)
    }
}
