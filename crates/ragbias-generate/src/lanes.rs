//! Activations of a batch of tokens, and the operations on each token.
#![allow(clippy::inline_always, reason = "the inner loops are made of these functions")]

use ragbias_kernels::exp_or_zero as exp;
use rayon::prelude::*;

use crate::rope::Rope;

/// Vectors of `width` f32 for tokens in tiles of `L`: value d of all tokens in a tile is contiguous, so that one
/// instruction processes all of them. `L` is 16 in prefill, which has many tokens, and 1 in decode, with one token per
/// sequence; then a tile is a plain vector.
#[derive(Debug, Clone)]
pub(crate) struct Lanes<const L: usize> {
    width: usize,
    numbers: Vec<[f32; L]>,
}

impl<const L: usize> Lanes<L> {
    /// Zeros for as many tiles as `tokens` need.
    pub(crate) fn zeros(tokens: usize, width: usize) -> Self {
        Self { width, numbers: vec![[0.0; L]; tokens.div_ceil(L) * width] }
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The tiles, `width` rows of `L` each.
    pub(crate) fn tiles(&self) -> std::slice::ChunksExact<'_, [f32; L]> {
        self.numbers.chunks_exact(self.width)
    }

    pub(crate) fn tiles_mut(&mut self) -> std::slice::ChunksExactMut<'_, [f32; L]> {
        self.numbers.chunks_exact_mut(self.width)
    }

    /// Calls `each` for every `width` rows with their index, on all cores if `parallel`.
    pub(crate) fn pieces_mut(
        &mut self,
        width: usize,
        parallel: bool,
        each: impl Fn(usize, &mut [[f32; L]]) + Send + Sync,
    ) {
        if parallel {
            self.numbers.par_chunks_exact_mut(width).enumerate().for_each(|(i, piece)| each(i, piece));
        } else {
            self.numbers.chunks_exact_mut(width).enumerate().for_each(|(i, piece)| each(i, piece));
        }
    }

    /// The vector of a token.
    pub(crate) fn token(&self, token: usize) -> impl Iterator<Item = f32> {
        self.numbers[token / L * self.width..][..self.width].iter().map(move |row| row[token % L])
    }

    pub(crate) fn set_token(&mut self, token: usize, vector: &[f32]) {
        for (row, &number) in self.numbers[token / L * self.width..].iter_mut().zip(vector) {
            row[token % L] = number;
        }
    }

    /// Some of the tokens, in tiles of another size.
    pub(crate) fn pick<const M: usize>(&self, tokens: &[usize]) -> Lanes<M> {
        let mut picked = Lanes::zeros(tokens.len(), self.width);
        for (to, &from) in tokens.iter().enumerate() {
            for (row, number) in picked.numbers[to / M * self.width..].iter_mut().zip(self.token(from)) {
                row[to % M] = number;
            }
        }
        picked
    }

    /// Root-mean-square normalisation (<https://arxiv.org/abs/1910.07467>): x / √(mean x² + ε) · weight.
    pub(crate) fn normed(&self, weight: &[f32], eps: f32) -> Self {
        let mut out = self.clone();
        out.pieces_mut(self.width, L > 1, |_, tile| norm(tile, weight, eps));
        out
    }

    /// `self + other`, in place.
    pub(crate) fn add(&mut self, other: &Self) {
        for (row, other) in self.numbers.iter_mut().zip(&other.numbers) {
            for l in 0..L {
                row[l] += other[l];
            }
        }
    }

    /// Adds the same vector to each token's.
    pub(crate) fn add_to_each(&mut self, vector: &[f32]) {
        for tile in self.numbers.chunks_exact_mut(self.width) {
            for (row, number) in tile.iter_mut().zip(vector) {
                for out in row {
                    *out += number;
                }
            }
        }
    }

    /// cap · tanh(self / cap), in place.
    pub(crate) fn cap(&mut self, cap: f32) {
        soft_cap(self.numbers.as_flattened_mut(), cap);
    }

    /// f(self) · other, in place.
    pub(crate) fn gate(&mut self, activation: Activation, other: &Self) {
        let width = self.width;
        self.pieces_mut(width, L > 1, |i, tile| {
            let rows = tile.iter_mut().zip(&other.numbers[i * width..]);
            match activation {
                Activation::Silu => rows.for_each(|(row, other)| multiply(row, other, silu)),
                Activation::Gelu => rows.for_each(|(row, other)| multiply(row, other, gelu)),
            }
        });
    }
}

/// cap · tanh(x / cap) of each number, in place.
pub(crate) fn soft_cap(numbers: &mut [f32], cap: f32) {
    for number in numbers {
        *number = cap * (*number / cap).tanh();
    }
}

/// The non-linearity of an MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    Silu,
    Gelu,
}

#[inline(always)]
fn multiply<const L: usize>(row: &mut [f32; L], other: &[f32; L], f: impl Fn(f32) -> f32) {
    for l in 0..L {
        row[l] = f(row[l]) * other[l];
    }
}

/// x · σ(x).
#[inline(always)]
fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// GELU in its tanh form: x/2 · (1 + tanh u) = x · σ(2u), u = √(2/π) · (x + 0.044715 x³).
#[inline(always)]
fn gelu(x: f32) -> f32 {
    const TWICE_ROOT: f32 = 1.595_769;
    x / (1.0 + exp(-TWICE_ROOT * x * (0.044_715 * x).mul_add(x, 1.0)))
}

/// Root-mean-square normalisation of one tile.
pub(crate) fn norm<const L: usize>(tile: &mut [[f32; L]], weight: &[f32], eps: f32) {
    let mut squares = [0.0; L];
    for row in &*tile {
        for l in 0..L {
            squares[l] = row[l].mul_add(row[l], squares[l]);
        }
    }
    let scale = squares.map(|sum| 1.0 / (sum / weight.len() as f32 + eps).sqrt());
    for (row, weight) in tile.iter_mut().zip(weight) {
        for l in 0..L {
            row[l] *= scale[l] * weight;
        }
    }
}

/// The RoPE layout (<https://arxiv.org/abs/2104.09864>): which values of a head are rotated together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairs {
    /// Interleaved: 2i and 2i + 1.
    Neighbours,
    /// Half: i and i + half of the rotated width.
    Halves,
}

/// Cosines and sines for the positions of a tile's tokens, a row for each rotated pair.
pub(crate) struct Rotations<const L: usize> {
    cos: Lanes<L>,
    sin: Lanes<L>,
}

impl<const L: usize> Rotations<L> {
    pub(crate) fn new(positions: &[usize], rope: &Rope) -> Self {
        let zeros = || Lanes::zeros(positions.len(), rope.frequencies.len());
        let (mut cos, mut sin) = (zeros(), zeros());
        for (token, &position) in positions.iter().enumerate() {
            let (cosines, sines): (Vec<f32>, Vec<f32>) =
                rope.turns(position).map(|[cosine, sine]| (cosine, sine)).unzip();
            cos.set_token(token, &cosines);
            sin.set_token(token, &sines);
        }
        Self { cos, sin }
    }

    /// Rotates the first values of one head of tile number `tile`, two for each pair, and multiplies all by `scale`.
    pub(crate) fn turn(&self, tile: usize, head: &mut [[f32; L]], pairs: Pairs, scale: f32) {
        let half = self.cos.width;
        let angles = self.cos.numbers[tile * half..].iter().zip(&self.sin.numbers[tile * half..]);
        for (i, (cos, sin)) in angles.take(half).enumerate() {
            let (a, b) = match pairs {
                Pairs::Neighbours => (2 * i, 2 * i + 1),
                Pairs::Halves => (i, i + half),
            };
            let (x, y) = (head[a], head[b]);
            for l in 0..L {
                head[a][l] = (x[l] * cos[l] - y[l] * sin[l]) * scale;
                head[b][l] = (x[l] * sin[l] + y[l] * cos[l]) * scale;
            }
        }
        for number in head[2 * half..].as_flattened_mut() {
            *number *= scale;
        }
    }
}
