//! The transformer of all supported architectures, text only.

mod load;

use std::borrow::Cow;
use std::convert::Infallible;

use crate::Result;
use crate::architecture::LayerKind;
use crate::attention::{Attention, Run, State};
use crate::lanes::{Activation, Lanes, Pairs, Rotations, norm};
use crate::matrix::{Matrix, product};
use crate::model::{self, KvCache, Model, Room, in_groups};
use crate::rope::Rope;

/// Number of prompt tokens computed together: their activations fit the L2 cache beside the weights.
const TOGETHER: usize = 256;
/// Maximum number of prompt tokens prefilled together: their keys and values take some 40 KiB each.
const PREFILL_TOKENS: usize = 4096;
/// Number of prompt tokens in a tile: two AVX registers.
const TILE: usize = 16;

/// A model's weights.
#[derive(Debug)]
pub(crate) struct Decoder {
    pub(crate) embedding: Matrix,
    pub(crate) embedding_scale: f32,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Vec<f32>,
    pub(crate) output: Matrix,
    pub(crate) eps: f32,
    pub(crate) activation: Activation,
    pub(crate) pairs: Pairs,
    pub(crate) heads: usize,
    pub(crate) key_heads: usize,
    pub(crate) head_width: usize,
    /// Scale of query–key products.
    pub(crate) attention_scale: f32,
    /// Soft cap of scores.
    pub(crate) attention_cap: Option<f32>,
    /// The positions that layers use.
    pub(crate) ropes: Vec<Rope>,
    /// Soft cap of logits.
    pub(crate) logit_cap: Option<f32>,
}

#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) attention_norm: Option<Vec<f32>>,
    pub(crate) query: Affine,
    pub(crate) key: Affine,
    pub(crate) value: Affine,
    /// Of queries and keys, as wide as a head or as all heads.
    pub(crate) query_key_norms: Option<[Vec<f32>; 2]>,
    pub(crate) output: Affine,
    pub(crate) after_attention_norm: Option<Vec<f32>>,
    pub(crate) mlp_norm: Option<Vec<f32>>,
    pub(crate) gate: Affine,
    pub(crate) up: Affine,
    pub(crate) down: Affine,
    pub(crate) after_mlp_norm: Option<Vec<f32>>,
    pub(crate) kind: LayerKind,
}

/// A matrix, and the bias added to its products.
#[derive(Debug)]
pub(crate) struct Affine {
    pub(crate) matrix: Matrix,
    pub(crate) bias: Option<Vec<f32>>,
}

/// The product of several matrices with the same tokens.
fn affine<const N: usize, const L: usize>(parts: [&Affine; N], x: &Lanes<L>) -> [Lanes<L>; N] {
    let mut products = product(&parts.map(|part| &part.matrix), x);
    for (product, part) in products.iter_mut().zip(parts) {
        if let Some(bias) = &part.bias {
            product.add_to_each(bias);
        }
    }
    products
}

/// The next tokens of a sequence.
pub(crate) type Span<'s> = model::Span<'s, State>;

impl Decoder {
    /// Number of tokens.
    pub(crate) fn vocabulary(&self) -> usize {
        self.embedding.height()
    }

    /// An empty sequence.
    pub(crate) fn start(&self) -> State {
        State::new(self.layers.len())
    }

    /// Prefills tokens of prompts, and returns the logits of each span that requests them, in order, `(vocabulary)` each.
    pub(crate) fn read(&self, spans: Vec<Span<'_>>) -> Vec<Vec<f32>> {
        let Ok(logits) = in_groups::<_, Infallible>(spans, TOGETHER, |spans| {
            Ok(on_the_pool(|| self.forward::<TILE>(spans)))
        });
        logits
    }

    /// Decodes one token for each sequence, and returns the logits after it.
    pub(crate) fn step(&self, spans: &mut [Span<'_>]) -> Vec<Vec<f32>> {
        on_the_pool(|| self.forward::<1>(spans))
    }

    fn forward<const L: usize>(&self, spans: &mut [Span<'_>]) -> Vec<Vec<f32>> {
        let mut positions = Vec::new();
        let mut wanted = Vec::new();
        let mut starts = Vec::new();
        for span in &mut *spans {
            let start = span.state.tokens().len();
            starts.push((positions.len(), start));
            positions.extend(start..start + span.tokens.len());
            span.state.begin(span.tokens);
            if span.logits {
                wanted.push(positions.len() - 1);
            }
        }
        let mut x = Lanes::<L>::zeros(positions.len(), self.embedding.width());
        for (row, &token) in spans.iter().flat_map(|span| span.tokens).enumerate() {
            let mut vector = self.embedding.row(token as usize);
            for number in &mut vector {
                *number *= self.embedding_scale;
            }
            x.set_token(row, &vector);
        }
        let turns = self.ropes.iter().map(|rope| Rotations::new(&positions, rope));
        let turns: Vec<_> = turns.collect();
        for (number, layer) in self.layers.iter().enumerate() {
            let turns = &turns[layer.kind.rope];
            let normed = self.normed(&x, layer.attention_norm.as_deref());
            let [mut query, mut key, value] = affine([&layer.query, &layer.key, &layer.value], &normed);
            let norms = layer.query_key_norms.as_ref().map(|[query, key]| (&**query, &**key)).unzip();
            self.turn(&mut query, norms.0, turns, self.attention_scale);
            self.turn(&mut key, norms.1, turns, 1.0);
            for (span, &(row, _)) in spans.iter_mut().zip(&starts) {
                for row in row..row + span.tokens.len() {
                    span.state.push(number, key.token(row), value.token(row));
                }
            }
            let runs: Vec<Run<'_>> = spans
                .iter()
                .zip(&starts)
                .map(|(span, &(row, start))| Run {
                    state: &*span.state,
                    row,
                    start,
                    tokens: span.tokens.len(),
                })
                .collect();
            let attention = Attention {
                layer: number,
                heads: self.heads,
                key_heads: self.key_heads,
                window: layer.kind.window,
                cap: self.attention_cap,
            };
            let mut attended = attention.attend(&query, &runs);
            if number + 1 == self.layers.len() && L > 1 {
                // The other tokens are not needed any further.
                (x, attended) = (x.pick(&wanted), attended.pick(&wanted));
            }
            self.finish(layer, &mut x, &attended);
        }
        let rows: Vec<usize> = if L == 1 { wanted } else { (0..wanted.len()).collect() };
        let last = x.pick::<1>(&rows).normed(&self.norm, self.eps);
        let [mut logits] = product(&[&self.output], &last);
        if let Some(cap) = self.logit_cap {
            logits.cap(cap);
        }
        logits.tiles().map(|logits| logits.as_flattened().to_vec()).collect()
    }

    /// The inputs of attention or MLP.
    fn normed<'x, const L: usize>(&self, x: &'x Lanes<L>, weight: Option<&[f32]>) -> Cow<'x, Lanes<L>> {
        weight.map_or(Cow::Borrowed(x), |weight| Cow::Owned(x.normed(weight, self.eps)))
    }

    /// Normalises queries or keys if the architecture does, applies RoPE, and scales them.
    fn turn<const L: usize>(
        &self,
        x: &mut Lanes<L>,
        weight: Option<&[f32]>,
        turns: &Rotations<L>,
        scale: f32,
    ) {
        if let Some(weight) = weight {
            x.pieces_mut(weight.len(), L > 1, |_, piece| norm(piece, weight, self.eps));
        }
        let heads = x.width() / self.head_width;
        x.pieces_mut(self.head_width, L > 1, |piece, head| {
            turns.turn(piece / heads, head, self.pairs, scale);
        });
    }

    /// The part of a layer after attention.
    fn finish<const L: usize>(&self, layer: &Layer, x: &mut Lanes<L>, attended: &Lanes<L>) {
        let add = |x: &mut Lanes<L>, part: Lanes<L>, weight: &Option<Vec<f32>>| match weight {
            Some(weight) => x.add(&part.normed(weight, self.eps)),
            None => x.add(&part),
        };
        let [part] = affine([&layer.output], attended);
        add(x, part, &layer.after_attention_norm);
        let [mut gate, up] = affine([&layer.gate, &layer.up], &self.normed(x, layer.mlp_norm.as_deref()));
        gate.gate(self.activation, &up);
        let [part] = affine([&layer.down], &gate);
        add(x, part, &layer.after_mlp_norm);
    }
}

impl Model for Decoder {
    type Cache = State;

    fn vocabulary(&self) -> usize {
        self.vocabulary()
    }

    fn start(&self) -> State {
        self.start()
    }

    fn room(&self) -> Room {
        Room { tokens: PREFILL_TOKENS, prompts: usize::MAX }
    }

    fn read(&self, spans: Vec<Span<'_>>) -> Result<Vec<Vec<f32>>> {
        Ok(self.read(spans))
    }

    fn step(&self, spans: &mut [Span<'_>]) -> Result<Vec<Vec<f32>>> {
        Ok(self.step(spans))
    }
}

/// Calls `f` on a thread of rayon's pool; from any other thread, each product would be handed over and waited for.
fn on_the_pool<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| f())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod variants;
