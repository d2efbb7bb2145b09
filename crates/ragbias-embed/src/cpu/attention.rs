//! softmax(Q·Kᵀ·scale + B)·V of one sequence at a time, head by head, and its backward pass; B are the biases of relative
//! attention, where an encoder has it.
//!
//! Query, key and value of a token are one row, the result of one product; a head's part of them is a view of `width` columns.

use std::ops::Range;

use ragbias_kernels::row::{LANES, largest, sum};
use ragbias_kernels::{Into, Matrix, dot, exp_clamped as exp, product, widest};
use rayon::prelude::*;

use super::layer_norm::LayerNorm;
use super::panels::Panels;
use super::relative::Relative;
use super::rotation::{Angles, turn};
use crate::Result;
use crate::config::{EncoderConfig, Reach, Rotary};
use crate::parameters::Parameters;

/// Number of queries whose attention weights stay in the L1 cache from one step to the next.
const BLOCK: usize = 32;

/// Number of queries for which keys and values are laid out at once where they do not attend to all tokens.
const GROUP: usize = 64;

/// Size of the attention weights of a head over a sequence: `(length, length)`, each row padded to whole panels
/// of keys.
pub(super) fn area(length: usize) -> usize {
    length * Panels::room(length)
}

/// The heads of a layer.
#[derive(Clone)]
pub(super) struct Heads {
    /// Number of heads.
    pub(super) count: usize,
    /// Number of heads of keys and values, each shared by as many consecutive heads.
    key_value: usize,
    /// Columns per head.
    width: usize,
    /// Factor of the scores.
    scale: f32,
    reach: Reach,
    pub(super) rotary: Option<Rotary>,
    /// The norms of queries and keys.
    norms: Option<[LayerNorm; 2]>,
    /// Shared by all layers.
    relative: Option<Relative>,
}

impl Heads {
    pub(super) fn new(
        config: &EncoderConfig,
        layer: usize,
        parameters: &Parameters,
        relative: Option<&Relative>,
    ) -> Result<Self> {
        let (reach, rotary) = config.architecture.attention_of(layer);
        let norms = match config.head_norms(layer) {
            Some([query, key]) => {
                Some([LayerNorm::new(parameters, &query, config)?, LayerNorm::new(parameters, &key, config)?])
            }
            None => None,
        };
        Ok(Self {
            count: config.num_attention_heads,
            key_value: config.key_value_heads(),
            width: config.head_width(),
            scale: config.attention_scale(),
            reach,
            rotary,
            norms,
            relative: relative.cloned(),
        })
    }

    /// Columns of the queries, and of the contexts.
    pub(super) fn output(&self) -> usize {
        self.count * self.width
    }

    /// Columns of the keys, and of the values.
    fn shared(&self) -> usize {
        self.key_value * self.width
    }

    /// Columns of queries, keys and values.
    pub(super) fn row(&self) -> usize {
        self.output() + 2 * self.shared()
    }

    /// Query (0) of a head, key (1) or value (2) of one that is shared, `(length, width)`, in rows of all three.
    fn view<'r>(&self, rows: &'r [f32], length: usize, part: usize, head: usize) -> Matrix<'r> {
        let at = [0, self.output(), self.output() + self.shared()][part] + head * self.width;
        Matrix::strided(&rows[at..], length, self.width, self.row())
    }

    /// Normalises queries and keys, and turns them to their positions, in the rows of texts of these lengths.
    pub(super) fn place(&self, rows: &mut [f32], lengths: &[usize], angles: &Angles) {
        let (queries, both) = (self.output(), self.output() + self.shared());
        if let Some([query, key]) = &self.norms {
            query.with(|norm| {
                rows.chunks_exact_mut(self.row()).for_each(|row| norm.plain(&mut row[..queries], None));
            });
            key.with(|norm| {
                rows.chunks_exact_mut(self.row()).for_each(|row| norm.plain(&mut row[queries..both], None));
            });
        }
        let Some(rotary) = self.rotary else { return };
        widest(|| {
            let positions = lengths.iter().flat_map(|&length| 0..length);
            for (row, position) in rows.chunks_exact_mut(self.row()).zip(positions) {
                let (cosines, sines) = angles.at(rotary, position);
                for head in row[..both].chunks_exact_mut(self.width) {
                    turn(head, cosines, sines);
                }
            }
        });
    }

    /// Number of values that [`Heads::forward`] needs for a sequence: the scores of a block of queries, on each thread.
    pub(super) fn scratch(&self, length: usize, spread: bool) -> usize {
        let keys = match self.reach {
            Reach { before: Some(before), after: Some(after) } => {
                length.min((GROUP + LANES).saturating_add(before).saturating_add(after))
            }
            _ => length,
        };
        BLOCK * Panels::room(keys) * if spread { rayon::current_num_threads() } else { 1 }
    }

    /// The contexts of a sequence, `(length, heads·width)`, from its rows; if `spread`, over all threads.
    pub(super) fn forward(&self, rows: &[f32], contexts: &mut [f32], scratch: &mut [f32], spread: bool) {
        if !spread {
            return self.of_tokens(rows, 0, contexts, scratch, false);
        }
        let length = rows.len() / self.row();
        let share = length.div_ceil(rayon::current_num_threads());
        let scratch = scratch.par_chunks_mut(self.scratch(length, false));
        let parts = contexts.par_chunks_mut(share * self.output()).zip(scratch);
        parts.enumerate().for_each(|(part, (contexts, scratch))| {
            self.of_tokens(rows, part * share, contexts, scratch, false);
        });
    }

    /// The same, keeping the attention weights: an [`area`] per head.
    pub(super) fn forward_kept(&self, rows: &[f32], contexts: &mut [f32], weights: &mut [f32]) {
        self.of_tokens(rows, 0, contexts, weights, true);
    }

    /// The contexts of some tokens of a sequence, from token `first`; they do not depend on where a group begins: keys 16 apart share
    /// a lane of a sum, and lanes are added in pairs, so that a shift of all keys changes no sum. If `keeps`, weights of all heads and queries follow one another;
    /// else each block of queries overwrites the previous one's.
    fn of_tokens(&self, rows: &[f32], first: usize, contexts: &mut [f32], weights: &mut [f32], keeps: bool) {
        let (length, tokens) = (rows.len() / self.row(), contexts.len() / self.output());
        let sharing = self.count / self.key_value;
        let group = if self.reach == Reach::ALL { tokens } else { GROUP };
        for shared in 0..self.key_value {
            for start in (0..tokens).step_by(group.max(1)) {
                let queries = first + start..first + tokens.min(start + group);
                let keys = self.reach.of_all(queries.clone(), length);
                // A key has the same lane in every sum, wherever the group begins: sums are rounded alike.
                let keys = keys.start - keys.start % LANES..keys.end;
                let [key, value] =
                    [1, 2].map(|part| self.view(rows, length, part, shared).part(keys.clone(), 0));
                let panels = [Panels::of(key).filled_up(), Panels::of(value.t())];
                let room = Panels::room(keys.len());
                for head in shared * sharing..(shared + 1) * sharing {
                    for block in blocks(&queries) {
                        let row = block.start - first;
                        let at = if keeps { (head * tokens + row) * room } else { 0 };
                        let weights = &mut weights[at..at + block.len() * room];
                        let query = self.view(rows, length, 0, head).part(block.clone(), 0);
                        let contexts = &mut contexts[row * self.output() + head * self.width..];
                        self.weigh(query, &panels[0], [&block, &keys], head, length, weights);
                        let weights = Matrix::strided(weights, block.len(), keys.len(), room);
                        panels[1].product(weights, None, contexts, self.output(), false);
                    }
                }
            }
        }
    }

    /// The attention weights of some queries and the keys that any of them attends to.
    fn weigh(
        &self,
        query: Matrix<'_>,
        panels: &Panels,
        [queries, keys]: [&Range<usize>; 2],
        head: usize,
        length: usize,
        weights: &mut [f32],
    ) {
        let room = Panels::room(keys.len());
        panels.product(query, None, weights, room, false);
        widest(|| {
            for (query, row) in queries.clone().zip(weights.chunks_exact_mut(room)) {
                let biases = self.relative.as_ref().map(|relative| relative.of(head, query, length));
                let within = self.reach.of(query, length);
                let within = within.start - keys.start..within.end - keys.start;
                softmax(row, keys.len(), within, self.scale, biases);
            }
        });
    }

    /// The gradient of a sequence's rows, `(length, 3·hidden)`, from that of its contexts and its attention weights;
    /// `scratch` has an [`area`]. That of the biases of relative attention is added to the sums. It is that of heads of BERT's kind.
    pub(super) fn backward(
        &self,
        rows: &[f32],
        sums: Option<&mut [f32]>,
        weights: &[f32],
        contexts_gradient: &[f32],
        rows_gradient: &mut [f32],
        scratch: &mut [f32],
    ) {
        let mut relative = self.relative.as_ref().zip(sums);
        let hidden = self.output();
        let length = rows.len() / self.row();
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
                (0, self.scale, scores, key),
                (1, self.scale, scores.t(), query),
                (2, 1.0, square.t(), gradient),
            ] {
                let out = &mut rows_gradient[part * hidden + head * self.width..];
                product(out, 3 * hidden, Into::Set, scale, a, b);
            }
        }
    }
}

/// Consecutive blocks of queries.
fn blocks(queries: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
    let end = queries.end;
    queries.clone().step_by(BLOCK).map(move |start| start..end.min(start + BLOCK))
}

/// Turns the scores of one row, of as many keys, within a range, times `scale` and with a bias each, into weights that sum to 1; the others are 0.
#[inline(always)]
fn softmax(row: &mut [f32], keys: usize, within: Range<usize>, scale: f32, biases: Option<&[f32]>) {
    // Whole registers, without a remainder.
    let row = &mut row[..keys.next_multiple_of(LANES)];
    row[..within.start].fill(f32::NEG_INFINITY);
    row[within.end..].fill(f32::NEG_INFINITY);
    let scale = biases.map_or(scale, |biases| {
        row.iter_mut().zip(biases).for_each(|(x, bias)| *x = x.mul_add(scale, *bias));
        1.0
    });
    let largest = largest(row);
    for x in &mut *row {
        *x = exp((*x - largest) * scale);
    }
    row[..within.start].fill(0.0);
    row[within.end..].fill(0.0);
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
            softmax(&mut narrow, length, 0..length, 0.25, biases);
            widest(|| softmax(&mut wide, length, 0..length, 0.25, biases));
            assert_eq!(narrow, wide);
            assert!((narrow[..length].iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(narrow[length..].iter().all(|&weight| weight == 0.0));
        }
    }

    #[test]
    fn weights_beyond_the_reach_are_zero() {
        let mut row: Vec<f32> = (0..48).map(|i| i as f32).collect();
        softmax(&mut row, 40, 3..5, 1.0, None);
        assert!(row[..3].iter().chain(&row[5..]).all(|&weight| weight == 0.0), "{row:?}");
        assert!((row[3] - 0.268_941_4).abs() < 1e-6 && (row[3] + row[4] - 1.0).abs() < 1e-6, "{row:?}");
    }
}
