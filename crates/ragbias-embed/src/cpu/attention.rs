//! softmax(Q·Kᵀ/√d + B)·V of one sequence at a time, head by head, and its backward pass; B are the biases of relative
//! attention, where an encoder has it.
//!
//! Query, key and value of a token are one row of `3·hidden` values, the result of one product; a head's part of
//! them is a view of `width` columns.

use ragbias_kernels::row::{LANES, largest, sum};
use ragbias_kernels::{Into, Matrix, dot, exp_clamped as exp, product, widest};
use rayon::prelude::*;

use super::panels::Panels;
use super::relative::Relative;

/// Number of queries whose attention weights stay in the L1 cache from one step to the next.
const BLOCK: usize = 32;

/// Size of the attention weights of a head over a sequence: `(length, length)`, each row padded to whole panels
/// of keys.
pub(super) fn area(length: usize) -> usize {
    length * Panels::room(length)
}

/// The heads of a layer.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    /// Number of heads.
    pub(super) count: usize,
    /// Columns per head.
    pub(super) width: usize,
}

impl Heads {
    pub(super) fn hidden(self) -> usize {
        self.count * self.width
    }

    fn scale(self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }

    /// Query (0), key (1) or value (2) of a head, `(length, width)`, in rows of all three.
    fn view(self, rows: &[f32], length: usize, part: usize, head: usize) -> Matrix<'_> {
        let at = part * self.hidden() + head * self.width;
        Matrix::strided(&rows[at..], length, self.width, 3 * self.hidden())
    }

    /// The contexts of a sequence, `(length, hidden)`, from its `(length, 3·hidden)` rows; if `spread`, over all threads.
    ///
    /// Attention weights are written to `weights`: one [`area`] per head if it has room for all, else each head overwrites the
    /// previous one's.
    pub(super) fn forward(
        self,
        rows: &[f32],
        relative: Option<&Relative>,
        contexts: &mut [f32],
        weights: &mut [f32],
        spread: bool,
    ) {
        let hidden = self.hidden();
        let length = rows.len() / (3 * hidden);
        if !spread {
            return self.of_tokens(rows, 0, relative, contexts, weights);
        }
        let share = length.div_ceil(rayon::current_num_threads());
        let weights = weights.par_chunks_mut(share * Panels::room(length));
        let parts = contexts.par_chunks_mut(share * hidden).zip(weights);
        parts.enumerate().for_each(|(part, (contexts, weights))| {
            self.of_tokens(rows, part * share, relative, contexts, weights);
        });
    }

    /// The contexts of some tokens of a sequence, from token `first`.
    fn of_tokens(
        self,
        rows: &[f32],
        first: usize,
        relative: Option<&Relative>,
        contexts: &mut [f32],
        weights: &mut [f32],
    ) {
        let hidden = self.hidden();
        let (length, tokens) = (rows.len() / (3 * hidden), contexts.len() / hidden);
        let room = Panels::room(length);
        let area = tokens * room;
        let step = if weights.len() >= self.count * area { area } else { 0 };
        for head in 0..self.count {
            let weights = &mut weights[head * step..head * step + area];
            let query = self.view(&rows[first * 3 * hidden..], tokens, 0, head);
            let [key, value] = [1, 2].map(|part| self.view(rows, length, part, head));
            let (keys, values) = (Panels::of(key).filled_up(), Panels::of(value.t()));
            let parts = weights.chunks_mut(BLOCK * room).zip(contexts.chunks_mut(BLOCK * hidden));
            for (part, (weights, contexts)) in parts.enumerate() {
                let some = part * BLOCK..tokens.min((part + 1) * BLOCK);
                keys.product(query.part(some.clone(), 0), None, weights, room, false);
                widest(|| {
                    for (query, row) in (first + some.start..).zip(weights.chunks_exact_mut(room)) {
                        let biases = relative.map(|relative| relative.of(head, query, length));
                        softmax(row, length, self.scale(), biases);
                    }
                });
                let weights = Matrix::strided(weights, some.len(), length, room);
                values.product(weights, None, &mut contexts[head * self.width..], hidden, false);
            }
        }
    }

    /// The gradient of a sequence's rows, `(length, 3·hidden)`, from that of its contexts and its attention weights;
    /// `scratch` has an [`area`]. That of the biases is added to the sums beside them.
    pub(super) fn backward(
        self,
        rows: &[f32],
        mut relative: Option<(&Relative, &mut [f32])>,
        weights: &[f32],
        contexts_gradient: &[f32],
        rows_gradient: &mut [f32],
        scratch: &mut [f32],
    ) {
        let hidden = self.hidden();
        let length = rows.len() / (3 * hidden);
        let (room, area) = (Panels::room(length), area(length));
        let scores = &mut scratch[..area];
        for head in 0..self.count {
            let weights = &weights[head * area..(head + 1) * area];
            let square = Matrix::strided(weights, length, length, room);
            let [query, key, value] = [0, 1, 2].map(|part| self.view(rows, length, part, head));
            let gradient =
                Matrix::strided(&contexts_gradient[head * self.width..], length, self.width, hidden);
            product(scores, room, Into::Set, 1.0, gradient, value.t());
            widest(|| {
                let rows = scores.chunks_exact_mut(room).zip(weights.chunks_exact(room));
                for (query, (gradient, weight)) in rows.enumerate() {
                    softmax_backward(&mut gradient[..length], &weight[..length]);
                    if let Some((relative, sums)) = &mut relative {
                        relative.add_gradient(sums, head, query, &gradient[..length]);
                    }
                }
            });
            let scores = Matrix::strided(scores, length, length, room);
            for (part, scale, a, b) in [
                (0, self.scale(), scores, key),
                (1, self.scale(), scores.t(), query),
                (2, 1.0, square.t(), gradient),
            ] {
                let out = &mut rows_gradient[part * hidden + head * self.width..];
                product(out, 3 * hidden, Into::Set, scale, a, b);
            }
        }
    }
}

/// Turns the first `length` scores of one row, times `scale` and with a bias each, into weights that sum to 1.
#[inline(always)]
fn softmax(row: &mut [f32], length: usize, scale: f32, biases: Option<&[f32]>) {
    // Whole registers, without a remainder.
    let row = &mut row[..length.next_multiple_of(LANES)];
    row[length..].fill(f32::NEG_INFINITY);
    let scale = biases.map_or(scale, |biases| {
        row.iter_mut().zip(biases).for_each(|(x, bias)| *x = x.mul_add(scale, *bias));
        1.0
    });
    let largest = largest(row);
    for x in &mut *row {
        *x = exp((*x - largest) * scale);
    }
    row[length..].fill(0.0);
    let whole = 1.0 / sum(row, |x| x);
    for x in row {
        *x *= whole;
    }
}

/// Replaces the gradient of one row's weights by that of its scores.
#[inline(always)]
fn softmax_backward(gradient: &mut [f32], weights: &[f32]) {
    let mean = dot::in_16_lanes(gradient, weights);
    for (g, w) in gradient.iter_mut().zip(weights) {
        *g = w * (*g - mean);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_to_one_and_are_the_same_in_registers_of_any_width() {
        let biases: Vec<f32> = (0..129).map(|i| (i * 31 % 17) as f32 / 4.0).collect();
        for (length, biases) in
            [1_usize, 15, 16, 129].into_iter().flat_map(|n| [(n, None), (n, Some(&biases[..n]))])
        {
            let scores: Vec<f32> =
                (0..length.next_multiple_of(LANES)).map(|i| (i * 37 % 29) as f32).collect();
            let (mut narrow, mut wide) = (scores.clone(), scores);
            softmax(&mut narrow, length, 0.25, biases);
            widest(|| softmax(&mut wide, length, 0.25, biases));
            assert_eq!(narrow, wide);
            assert!((narrow[..length].iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(narrow[length..].iter().all(|&weight| weight == 0.0));
        }
    }
}
