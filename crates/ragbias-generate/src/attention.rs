//! The KV cache of a sequence, and attention over it.

use ragbias_kernels::run::RUN;
use ragbias_kernels::{dot, exp_or_zero as exp};

use crate::kernel::{columns_times, rows_times};
use crate::lanes::{Lanes, soft_cap};
use crate::model::KvCache;

/// For fewer values of keys, handing over to another core does not pay.
const SMALL: usize = 4096;

/// Keys and values of a sequence's tokens.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// The tokens of the cache.
    tokens: Vec<u32>,
    layers: Vec<KeyValues>,
}

/// For one layer: `(tokens, key_heads · head_width)` each.
#[derive(Debug, Clone, Default)]
struct KeyValues {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl State {
    pub(crate) fn new(layers: usize) -> Self {
        Self { tokens: Vec::new(), layers: vec![KeyValues::default(); layers] }
    }

    /// Appends the tokens whose keys and values follow.
    pub(crate) fn begin(&mut self, tokens: &[u32]) {
        self.tokens.extend(tokens);
    }

    pub(crate) fn push(
        &mut self,
        layer: usize,
        key: impl Iterator<Item = f32>,
        value: impl Iterator<Item = f32>,
    ) {
        self.layers[layer].keys.extend(key);
        self.layers[layer].values.extend(value);
    }
}

impl KvCache for State {
    fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    fn prefix(&self, tokens: usize) -> Self {
        let part = |numbers: &[f32]| match self.tokens.len() {
            0 => Vec::new(),
            all => numbers[..numbers.len() / all * tokens].to_vec(),
        };
        let layers = self
            .layers
            .iter()
            .map(|layer| KeyValues { keys: part(&layer.keys), values: part(&layer.values) });
        Self { tokens: self.tokens[..tokens].to_vec(), layers: layers.collect() }
    }
}

/// A run of a sequence's tokens within the batch.
pub(crate) struct Run<'s> {
    pub(crate) state: &'s State,
    /// Index of its first token in the batch.
    pub(crate) row: usize,
    /// Position of its first token in the sequence.
    pub(crate) start: usize,
    pub(crate) tokens: usize,
}

/// The attention parameters of a layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention {
    pub(crate) layer: usize,
    pub(crate) heads: usize,
    pub(crate) key_heads: usize,
    /// Attention window in tokens, including the token itself; all tokens if `None`.
    pub(crate) window: Option<usize>,
    /// Soft cap of scores.
    pub(crate) cap: Option<f32>,
}

impl Attention {
    /// softmax(q·Kᵀ)·V of every head, for scaled queries.
    pub(crate) fn attend<const L: usize>(&self, queries: &Lanes<L>, runs: &[Run<'_>]) -> Lanes<L> {
        let width = queries.width() / self.heads;
        let tiles: Vec<_> = queries.tiles().collect();
        let mut out = Lanes::zeros(tiles.len() * L, queries.width());
        let seen: usize = runs.iter().map(|run| run.state.tokens.len()).sum();
        out.pieces_mut(width, L > 1 || seen * width > SMALL, |piece, out| {
            let (tile, head) = (piece / self.heads, piece % self.heads);
            let query = &tiles[tile][head * width..][..width];
            let reaches = |run: &&Run<'_>| run.row < (tile + 1) * L && run.row + run.tokens > tile * L;
            for run in runs.iter().filter(reaches) {
                if L == 1 {
                    self.one(query.as_flattened(), run, head, out.as_flattened_mut());
                } else {
                    self.many(query, run, tile * L, head, out);
                }
            }
        });
        out
    }

    /// The tokens attended to from `position`: the index of the first.
    fn first(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }

    fn soften(&self, scores: &mut [f32]) {
        if let Some(cap) = self.cap {
            soft_cap(scores, cap);
        }
    }

    /// One head for the tokens of a run that lie in the tile starting at `row`.
    fn many<const L: usize>(
        &self,
        query: &[[f32; L]],
        run: &Run<'_>,
        row: usize,
        head: usize,
        out: &mut [[f32; L]],
    ) {
        let width = query.len();
        let (lanes, tokens) =
            (run.row.max(row)..(run.row + run.tokens).min(row + L), &run.state.layers[self.layer]);
        // Lanes of other runs use the position of the first, and their results are discarded.
        let position = |row: usize| run.start + row.clamp(lanes.start, lanes.end - 1) - run.row;
        let positions: [usize; L] = std::array::from_fn(|l| position(row + l));
        let (first, last) = (self.first(position(lanes.start)), position(lanes.end - 1));
        let stride = self.key_heads * width;
        let at = head / (self.heads / self.key_heads) * width;
        let keys = &tokens.keys[first * stride + at..];
        let values = &tokens.values[first * stride..(last + 1) * stride];

        let mut scores = vec![[0.0; L]; last + 1 - first];
        for (i, scores) in scores.chunks_mut(6).enumerate() {
            let keys = &keys[i * 6 * stride..];
            match scores.len() {
                6 => rows_times::<6, L>(keys, stride, query, scores),
                5 => rows_times::<5, L>(keys, stride, query, scores),
                4 => rows_times::<4, L>(keys, stride, query, scores),
                3 => rows_times::<3, L>(keys, stride, query, scores),
                2 => rows_times::<2, L>(keys, stride, query, scores),
                _ => rows_times::<1, L>(keys, stride, query, scores),
            }
        }
        self.soften(scores.as_flattened_mut());
        let mut largest = [f32::NEG_INFINITY; L];
        for (token, scores) in (first..).zip(&mut scores) {
            for l in 0..L {
                if token > positions[l] || token < self.first(positions[l]) {
                    scores[l] = f32::NEG_INFINITY;
                }
                largest[l] = largest[l].max(scores[l]);
            }
        }
        let mut total = [0.0; L];
        for scores in &mut scores {
            for l in 0..L {
                scores[l] = exp(scores[l] - largest[l]);
                total[l] += scores[l];
            }
        }
        for (i, out) in out.chunks_exact_mut(4).enumerate() {
            let sums = columns_times::<4, L>(values, stride, at + 4 * i, &scores);
            for (out, sum) in out.iter_mut().zip(sums) {
                for l in lanes.start - row..lanes.end - row {
                    out[l] = sum[l] / total[l];
                }
            }
        }
    }

    /// One head for a run of one token.
    fn one(&self, query: &[f32], run: &Run<'_>, head: usize, out: &mut [f32]) {
        let width = query.len();
        let (position, tokens) = (run.start, &run.state.layers[self.layer]);
        let first = self.first(position);
        let stride = self.key_heads * width;
        let at = head / (self.heads / self.key_heads) * width;
        let seen = first..position + 1;
        let mut scores: Vec<f32> = seen
            .clone()
            .map(|token| dot::in_runs(&tokens.keys[token * stride + at..][..width], query))
            .collect();
        self.soften(&mut scores);
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for score in &mut scores {
            *score = exp(*score - largest);
        }
        let total: f32 = scores.iter().sum();
        let (scores, values) =
            (scores.as_chunks::<1>().0, &tokens.values[first * stride..(position + 1) * stride]);
        let (runs, rest) = out.as_chunks_mut::<RUN>();
        for (i, out) in runs.iter_mut().enumerate() {
            let sums = columns_times::<RUN, 1>(values, stride, at + RUN * i, scores);
            out.iter_mut().zip(sums).for_each(|(out, [sum])| *out = sum / total);
        }
        let at = at + RUN * runs.len();
        for (i, out) in rest.iter_mut().enumerate() {
            let [[sum]] = columns_times::<1, 1>(values, stride, at + i, scores);
            *out = sum / total;
        }
    }
}
