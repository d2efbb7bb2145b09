//! One transformer layer over some packed sequences.

use ragbias_core::Precision;
use ragbias_kernels::widest;
use rayon::prelude::*;

use super::attention::{Heads, area};
use super::layer_norm::{Around, KeptNorm};
use super::linear::Linear;
use super::lines::Lines;
use super::pool::Pool;
use super::relative::Relative;
use super::rotation::Angles;
use crate::Result;
use crate::config::{Activation, EncoderConfig, Rotary};
use crate::parameters::Parameters;
use crate::parts::{MapPlace, NormPlace};

/// The state that the MLP of a layer keeps for its backward pass.
pub(super) struct KeptMlp {
    /// `(tokens, hidden)`.
    pub(super) input: Lines,
    /// Between the two linear layers, after the activation, `(tokens, inner)`.
    pub(super) inner: Lines,
    /// The derivative of the activation there.
    pub(super) slopes: Lines,
    pub(super) norm: KeptNorm,
}

/// The state that the attention of a layer keeps for its backward pass.
pub(super) struct KeptAttention {
    /// `(tokens, hidden)`.
    pub(super) input: Lines,
    /// Query, key and value, `(tokens, 3·hidden)`.
    pub(super) rows: Lines,
    /// For each sequence, as left by [`Heads::forward`].
    pub(super) weights: Lines,
    /// `(tokens, hidden)`.
    pub(super) contexts: Lines,
    pub(super) norm: KeptNorm,
}

/// The texts of some rows, and what their layers share.
#[derive(Clone, Copy)]
pub(super) struct Texts<'t> {
    pub(super) lengths: &'t [usize],
    pub(super) angles: &'t Angles,
    /// Whether the work is spread over all threads.
    pub(super) spread: bool,
}

/// The weights of one layer.
#[derive(Clone)]
pub(super) struct Layer {
    /// Width of a hidden state.
    pub(super) hidden: usize,
    pub(super) query_key_value: Linear,
    pub(super) heads: Heads,
    pub(super) attention_output: Linear,
    pub(super) attention_norms: Around,
    pub(super) up: Linear,
    pub(super) down: Linear,
    pub(super) mlp_norms: Around,
    activation: Activation,
    /// Whether the gate comes before the map up in what they give; `None` without a gate.
    gate_is_first: Option<bool>,
}

impl Layer {
    /// The linear layers and norms of BERT whose weight and bias are trained together, attention first; the first is three stacked
    /// layers.
    pub(super) const PARTS: [&[&str]; 6] = [
        &["attention.self.query", "attention.self.key", "attention.self.value"],
        &["attention.output.dense"],
        &["attention.output.LayerNorm"],
        &["intermediate.dense"],
        &["output.dense"],
        &["output.LayerNorm"],
    ];

    /// The names of a layer's parameters, in the order of [`LayerGradients`](super::layer_gradients::LayerGradients): weight and bias
    /// of each part.
    pub(super) fn names(number: usize) -> [Vec<String>; 12] {
        std::array::from_fn(|place| {
            let end = ["weight", "bias"][place % 2];
            Self::PARTS[place / 2].iter().map(|part| format!("encoder.layer.{number}.{part}.{end}")).collect()
        })
    }

    /// Their shapes; stacked layers have one.
    pub(super) fn shapes(&self) -> [&[usize]; 12] {
        let (q, o, n) = (&self.query_key_value, &self.attention_output, self.attention_norms.trained());
        let (u, d, m) = (&self.up, &self.down, self.mlp_norms.trained());
        [
            &q.shape,
            q.bias.shape(),
            &o.shape,
            o.bias.shape(),
            n.weight.shape(),
            n.bias.shape(),
            &u.shape,
            u.bias.shape(),
            &d.shape,
            d.bias.shape(),
            m.weight.shape(),
            m.bias.shape(),
        ]
    }

    /// Their numbers of values.
    pub(super) fn sizes(&self) -> [usize; 12] {
        self.shapes().map(|shape| shape.iter().product())
    }

    /// `other` is the same layer of another encoder: linear layers with the same weights are shared.
    pub(super) fn new(
        config: &EncoderConfig,
        number: usize,
        parameters: &Parameters,
        relative: Option<&Relative>,
        other: Option<&Self>,
    ) -> Result<Self> {
        let linear = |place: MapPlace, of: fn(&Self) -> &Linear| {
            Linear::new(parameters, &config.map(number, place), other.map(of))
        };
        let around = |places: [NormPlace; 2]| Around::new(parameters, config, number, places);
        Ok(Self {
            hidden: config.hidden_size,
            query_key_value: linear(MapPlace::QueryKeyValue, |layer| &layer.query_key_value)?,
            heads: Heads::new(config, number, parameters, relative)?,
            attention_output: linear(MapPlace::AttentionOutput, |layer| &layer.attention_output)?,
            attention_norms: around([NormPlace::AttentionInput, NormPlace::AttentionOutput])?,
            up: linear(MapPlace::Up, |layer| &layer.up)?,
            down: linear(MapPlace::Down, |layer| &layer.down)?,
            mlp_norms: around([NormPlace::MlpInput, NormPlace::MlpOutput])?,
            activation: config.hidden_act,
            gate_is_first: config.gate_is_first(),
        })
    }

    /// Its rotary positions.
    pub(super) fn rotary(&self) -> Option<Rotary> {
        self.heads.rotary
    }

    /// Lays out the matrices for their products, unless they are.
    pub(super) fn lay_out(&self) {
        for linear in [&self.query_key_value, &self.attention_output, &self.up, &self.down] {
            linear.lay_out();
        }
    }

    /// The layer for inference alone: once a matrix is laid out for its products, it is kept in that layout only.
    pub(super) fn for_inference(mut self, precision: Precision) -> Self {
        for linear in [&mut self.query_key_value, &mut self.attention_output, &mut self.up, &mut self.down] {
            linear.is_trainable = false;
            linear.is_int8 = precision == Precision::Int8;
        }
        self
    }

    /// Adds the attention to the states, with the norms around it; keeps the state for the backward pass if `keep` is given.
    pub(super) fn attend(
        &self,
        states: &mut [f32],
        texts: Texts<'_>,
        keep: bool,
        pool: &mut Pool,
    ) -> Option<KeptAttention> {
        let Texts { lengths, angles, spread } = texts;
        let (tokens, row, width) = (states.len() / self.hidden, self.heads.row(), self.heads.output());
        let normed = self.attention_norms.input(states, pool);
        let mut rows = self.query_key_value.forward(normed.as_deref().unwrap_or(states), None, pool, spread);
        pool.give_some(normed);
        self.heads.place(&mut rows, lengths, angles);
        let room = if keep {
            self.heads.count * lengths.iter().map(|&length| area(length)).sum::<usize>()
        } else {
            lengths.iter().map(|&length| self.heads.scratch(length, spread)).max().unwrap_or(0)
        };
        let (mut weights, mut contexts) = (pool.take(room), pool.take(tokens * width));
        let (mut token, mut used) = (0, 0);
        for &length in lengths {
            let rows = &rows[token * row..(token + length) * row];
            let contexts = &mut contexts[token * width..(token + length) * width];
            token += length;
            if keep {
                let area = self.heads.count * area(length);
                self.heads.forward_kept(rows, contexts, &mut weights[used..used + area]);
                used += area;
            } else {
                self.heads.forward(rows, contexts, &mut weights, spread);
            }
        }
        let mut attended = self.attention_output.forward(&contexts, None, pool, spread);
        let mut kept = keep.then(|| (pool.copy(states), KeptNorm::new(tokens, self.hidden, pool)));
        let normed = kept.as_mut().map(|(_, norm)| norm.normed());
        self.attention_norms.add(states, &mut attended, normed);
        pool.give([attended]);
        if let Some((input, norm)) = kept {
            return Some(KeptAttention { input, rows, weights, contexts, norm });
        }
        pool.give([rows, weights, contexts]);
        None
    }

    /// Adds the MLP to the states, with the norms around it; keeps the state for the backward pass if `keep` is given.
    pub(super) fn transform(
        &self,
        states: &mut [f32],
        keep: bool,
        pool: &mut Pool,
        spread: bool,
    ) -> Option<KeptMlp> {
        let tokens = states.len() / self.hidden;
        let then = (!keep && self.gate_is_first.is_none()).then_some(self.activation);
        let normed = self.mlp_norms.input(states, pool);
        let mut inner = self.up.forward(normed.as_deref().unwrap_or(states), then, pool, spread);
        pool.give_some(normed);
        if let Some(is_first) = self.gate_is_first {
            let gated = self.gated(&mut inner, is_first, pool, spread);
            pool.give([std::mem::replace(&mut inner, gated)]);
        }
        let slopes = keep.then(|| {
            let mut slopes = pool.take(inner.len());
            widest(|| self.activation.apply_with_slopes(&mut inner, &mut slopes));
            slopes
        });
        let mut out = self.down.forward(&inner, None, pool, spread);
        let mut kept = keep.then(|| (pool.copy(states), KeptNorm::new(tokens, self.hidden, pool)));
        self.mlp_norms.add(states, &mut out, kept.as_mut().map(|(_, norm)| norm.normed()));
        pool.give([out]);
        if let (Some((input, norm)), Some(slopes)) = (kept, slopes) {
            return Some(KeptMlp { input, inner, slopes, norm });
        }
        pool.give([inner]);
        None
    }

    /// f(gate)·up of each row of both, `(tokens, inner)`.
    fn gated(&self, both: &mut [f32], gate_is_first: bool, pool: &mut Pool, spread: bool) -> Lines {
        let inner = self.up.shape[0] / 2;
        let mut out = pool.take(both.len() / 2);
        let row = |(both, out): (&mut [f32], &mut [f32])| {
            let (first, last) = both.split_at_mut(inner);
            let (gate, up) = if gate_is_first { (first, last) } else { (last, first) };
            widest(|| {
                self.activation.apply_to(gate);
                for ((out, gate), up) in out.iter_mut().zip(&*gate).zip(&*up) {
                    *out = gate * up;
                }
            });
        };
        if spread {
            both.par_chunks_mut(2 * inner).zip(out.par_chunks_mut(inner)).for_each(row);
        } else {
            both.chunks_mut(2 * inner).zip(out.chunks_mut(inner)).for_each(row);
        }
        out
    }
}
