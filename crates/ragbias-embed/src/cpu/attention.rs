//! softmax(Q·Kᵀ/√d)·V of one sequence at a time, head by head, and its backward pass.
//!
//! Query, key and value of a token are one row of `3·hidden` values, as their one product gives them; a head's part of
//! them is a view of `width` columns.

use rayon::prelude::*;

use super::function::exp;
use super::matrix::{Into, Matrix, product};
use super::row::{dot, largest, sum};

/// The heads of a layer.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    /// How many there are.
    pub(super) count: usize,
    /// Columns of each.
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

    /// The contexts of a sequence, `(length, hidden)`, from its `(length, 3·hidden)` rows; where `spread`, over all threads.
    ///
    /// Attention weights go into `weights`: `(heads, length, length)` of them where it has room for all, else each
    /// head's in the place of the last one's.
    pub(super) fn forward(self, rows: &[f32], contexts: &mut [f32], weights: &mut [f32], spread: bool) {
        let hidden = self.hidden();
        let length = rows.len() / (3 * hidden);
        if !spread {
            return self.of_tokens(rows, 0, contexts, weights);
        }
        let share = length.div_ceil(rayon::current_num_threads());
        let parts = contexts.par_chunks_mut(share * hidden).zip(weights.par_chunks_mut(share * length));
        parts.enumerate().for_each(|(part, (contexts, weights))| {
            self.of_tokens(rows, part * share, contexts, weights);
        });
    }

    /// The contexts of some tokens of a sequence, from token `first`.
    fn of_tokens(self, rows: &[f32], first: usize, contexts: &mut [f32], weights: &mut [f32]) {
        let hidden = self.hidden();
        let (length, tokens) = (rows.len() / (3 * hidden), contexts.len() / hidden);
        let area = tokens * length;
        let step = if weights.len() >= self.count * area { area } else { 0 };
        for head in 0..self.count {
            let weights = &mut weights[head * step..head * step + area];
            let query = self.view(&rows[first * 3 * hidden..], tokens, 0, head);
            let [key, value] = [1, 2].map(|part| self.view(rows, length, part, head));
            product(weights, length, Into::Set, self.scale(), query, key.t());
            weights.chunks_exact_mut(length).for_each(softmax);
            let out = &mut contexts[head * self.width..];
            product(out, hidden, Into::Set, 1.0, Matrix::new(weights, tokens, length), value);
        }
    }

    /// The gradient of a sequence's rows, `(length, 3·hidden)`, from that of its contexts and its attention weights;
    /// `scratch` has room for `(length, length)`.
    pub(super) fn backward(
        self,
        rows: &[f32],
        weights: &[f32],
        contexts_gradient: &[f32],
        rows_gradient: &mut [f32],
        scratch: &mut [f32],
    ) {
        let hidden = self.hidden();
        let length = rows.len() / (3 * hidden);
        let area = length * length;
        let scores = &mut scratch[..area];
        for head in 0..self.count {
            let weights = &weights[head * area..(head + 1) * area];
            let square = Matrix::new(weights, length, length);
            let [query, key, value] = [0, 1, 2].map(|part| self.view(rows, length, part, head));
            let gradient =
                Matrix::strided(&contexts_gradient[head * self.width..], length, self.width, hidden);
            product(scores, length, Into::Set, 1.0, gradient, value.t());
            for (gradient, weight) in scores.chunks_exact_mut(length).zip(weights.chunks_exact(length)) {
                let mean = dot(gradient, weight);
                for (g, w) in gradient.iter_mut().zip(weight) {
                    *g = w * (*g - mean);
                }
            }
            let scores = Matrix::new(scores, length, length);
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

/// Scores of one row to weights that add up to 1.
#[inline(always)]
fn softmax(row: &mut [f32]) {
    let largest = largest(row);
    for x in &mut *row {
        *x = exp(*x - largest);
    }
    let whole = 1.0 / sum(row, |x| x);
    for x in row {
        *x *= whole;
    }
}
