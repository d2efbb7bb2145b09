//! One transformer layer over some packed sequences, forward and backward.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::{Tensor, TensorId};
use ragbias_kernels::{Into, Matrix, product, widest};

use super::attention::{Heads, area};
use super::layer_gradients::{LayerGradients, Side};
use super::lines::Lines;
use super::norm::{Norm, Normed};
use super::panels::Panels;
use super::pool::Pool;
use super::relative::Relative;
use super::weight::Weight;
use crate::Result;
use crate::config::{Activation, EncoderConfig};
use crate::parameters::Parameters;

/// y = x·Wᵀ + b, W `(out, in)`.
#[derive(Clone)]
struct Linear {
    /// W; in an encoder for inference alone, only until its panels are made.
    weight: Arc<Mutex<Option<Weight>>>,
    /// Whether the backward pass needs W.
    is_trainable: bool,
    /// The shape of W.
    shape: [usize; 2],
    bias: Weight,
    /// Weight and bias in the layout of the products, created by the first one.
    panels: Arc<OnceLock<Panels>>,
    /// The tensors they were made from.
    parts: Vec<TensorId>,
}

impl Linear {
    /// One linear layer, or several with the same input, stacked; reuses that of another encoder with the same weights.
    fn stacked(parameters: &Parameters, names: &[String], other: Option<&Self>) -> Result<Self> {
        let tensors = |part: &str| -> Result<Vec<&Tensor>> {
            names.iter().map(|name| parameters.get(&format!("{name}.{part}"))).collect()
        };
        let (weights, biases) = (tensors("weight")?, tensors("bias")?);
        let parts: Vec<TensorId> = weights.iter().chain(&biases).map(|tensor| tensor.id()).collect();
        if let Some(other) = other.filter(|other| other.parts == parts && other.is_trainable) {
            return Ok(other.clone());
        }
        let stacked = |tensors: &[&Tensor]| -> Result<Weight> {
            if let [one] = tensors { Weight::new(one) } else { Weight::new(&Tensor::cat(tensors, 0)?) }
        };
        let weight = stacked(&weights)?;
        let shape = [weight.shape()[0], weight.shape()[1]];
        Ok(Self {
            weight: Arc::new(Mutex::new(Some(weight))),
            is_trainable: true,
            shape,
            bias: stacked(&biases)?,
            panels: Arc::default(),
            parts,
        })
    }

    fn outputs(&self) -> usize {
        self.shape[0]
    }

    fn inputs(&self) -> usize {
        self.shape[1]
    }

    /// f(x·Wᵀ + b), `(rows, out)`, with f = `then` or the identity; if `spread`, over all threads.
    fn forward(&self, x: &[f32], then: Option<Activation>, pool: &mut Pool, spread: bool) -> Lines {
        let mut out = pool.take(x.len() / self.inputs() * self.outputs());
        let panels = self.panels();
        let x = Matrix::new(x, x.len() / self.inputs(), self.inputs());
        panels.product(x, then, &mut out, self.outputs(), spread);
        out
    }

    fn panels(&self) -> &Panels {
        self.panels.get_or_init(|| {
            let weight = self.weight();
            let panels = Panels::new(
                Matrix::new(&weight.values(), self.outputs(), self.inputs()),
                &self.bias.values(),
            );
            if !self.is_trainable {
                *self.weight.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
            panels
        })
    }

    fn weight(&self) -> Weight {
        let weight = self.weight.lock().unwrap_or_else(PoisonError::into_inner);
        weight.clone().expect("a weight is kept until its panels are made, and for gradients; this is a bug")
    }

    /// out ← gradient·W, or out += gradient·W.
    fn gradient_of_input(&self, gradient: &[f32], out: &mut [f32], into: Into) {
        let (rows, weight) = (gradient.len() / self.outputs(), self.weight());
        let gradient = Matrix::new(gradient, rows, self.outputs());
        let weight = weight.values();
        let weight = Matrix::new(&weight, self.outputs(), self.inputs());
        product(out, self.inputs(), into, 1.0, gradient, weight);
    }
}

/// The weights of a LayerNorm.
#[derive(Clone)]
pub(super) struct LayerNorm {
    weight: Weight,
    bias: Weight,
    eps: f32,
}

impl LayerNorm {
    pub(super) fn new(parameters: &Parameters, name: &str, config: &EncoderConfig) -> Result<Self> {
        let part = |part: &str| Weight::named(parameters, &format!("{name}.{part}"));
        Ok(Self { weight: part("weight")?, bias: part("bias")?, eps: config.layer_norm_eps as f32 })
    }

    /// Runs work on many rows with the norm, its loops compiled for the widest registers.
    pub(super) fn with<R>(&self, work: impl FnOnce(Norm<'_>) -> R) -> R {
        let (weight, bias) = (self.weight.values(), self.bias.values());
        widest(|| work(Norm { weight: &weight, bias: &bias, eps: self.eps }))
    }

    /// Replaces the gradient of its output by that of its input; adds those of its weights to their sums.
    pub(super) fn backward(&self, gradient: &mut [f32], kept: &KeptNorm, sums: &mut [Option<Vec<f32>>]) {
        let (weight, bias) = sums.split_at_mut(1);
        self.with(|norm| {
            norm.backward(
                gradient,
                &kept.centred,
                &kept.scales,
                weight[0].as_deref_mut(),
                bias[0].as_deref_mut(),
            );
        });
    }
}

/// The state that a LayerNorm keeps for its backward pass.
pub(super) struct KeptNorm {
    pub(super) centred: Lines,
    pub(super) scales: Lines,
}

impl KeptNorm {
    pub(super) fn new(rows: usize, width: usize, pool: &mut Pool) -> Self {
        Self { centred: pool.take(rows * width), scales: pool.take(rows) }
    }

    pub(super) fn normed(&mut self) -> Normed<'_> {
        Normed { centred: &mut self.centred, scales: &mut self.scales }
    }
}

/// The state that the MLP of a layer keeps for its backward pass.
pub(super) struct KeptMlp {
    /// `(tokens, hidden)`.
    input: Lines,
    /// Between the two linear layers, after the activation, `(tokens, inner)`.
    inner: Lines,
    /// The derivative of the activation there.
    slopes: Lines,
    norm: KeptNorm,
}

/// The state that the attention of a layer keeps for its backward pass.
pub(super) struct KeptAttention {
    /// `(tokens, hidden)`.
    input: Lines,
    /// Query, key and value, `(tokens, 3·hidden)`.
    rows: Lines,
    /// For each sequence, as left by [`Heads::forward`].
    weights: Lines,
    /// `(tokens, hidden)`.
    contexts: Lines,
    norm: KeptNorm,
}

/// The weights of one layer.
#[derive(Clone)]
pub(super) struct Layer {
    query_key_value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    up: Linear,
    down: Linear,
    output_norm: LayerNorm,
    activation: Activation,
    heads: Heads,
    /// Shared by all layers.
    relative: Option<Relative>,
}

impl Layer {
    /// The linear layers and norms whose weight and bias are trained together, attention first; the first is three stacked layers.
    pub(super) const PARTS: [&[&str]; 6] = [
        &["attention.self.query", "attention.self.key", "attention.self.value"],
        &["attention.output.dense"],
        &["attention.output.LayerNorm"],
        &["intermediate.dense"],
        &["output.dense"],
        &["output.LayerNorm"],
    ];

    /// The names of a layer's parameters, in the order of [`LayerGradients`]: weight and bias of each part.
    pub(super) fn names(number: usize) -> [Vec<String>; 12] {
        std::array::from_fn(|place| {
            let end = ["weight", "bias"][place % 2];
            Self::PARTS[place / 2].iter().map(|part| format!("encoder.layer.{number}.{part}.{end}")).collect()
        })
    }

    /// Their shapes; stacked layers have one.
    pub(super) fn shapes(&self) -> [&[usize]; 12] {
        let (q, o, n) = (&self.query_key_value, &self.attention_output, &self.attention_norm);
        let (u, d, m) = (&self.up, &self.down, &self.output_norm);
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
        let at = |part: &str| format!("encoder.layer.{number}.{part}");
        let linear = |parts: &[&str], of: fn(&Self) -> &Linear| {
            let names: Vec<String> = parts.iter().map(|part| at(part)).collect();
            Linear::stacked(parameters, &names, other.map(of))
        };
        let heads = Heads {
            count: config.num_attention_heads,
            width: config.hidden_size / config.num_attention_heads,
        };
        Ok(Self {
            query_key_value: linear(Self::PARTS[0], |layer| &layer.query_key_value)?,
            attention_output: linear(Self::PARTS[1], |layer| &layer.attention_output)?,
            attention_norm: LayerNorm::new(parameters, &at("attention.output.LayerNorm"), config)?,
            up: linear(Self::PARTS[3], |layer| &layer.up)?,
            down: linear(Self::PARTS[4], |layer| &layer.down)?,
            output_norm: LayerNorm::new(parameters, &at("output.LayerNorm"), config)?,
            activation: config.hidden_act,
            heads,
            relative: relative.cloned(),
        })
    }

    /// Lays out the matrices for their products, unless they are.
    pub(super) fn lay_out(&self) {
        for linear in [&self.query_key_value, &self.attention_output, &self.up, &self.down] {
            linear.panels();
        }
    }

    /// The layer for inference alone: once a matrix is laid out for its products, it is kept in that layout only.
    pub(super) fn for_inference(mut self) -> Self {
        for linear in [&mut self.query_key_value, &mut self.attention_output, &mut self.up, &mut self.down] {
            linear.is_trainable = false;
        }
        self
    }

    /// states ← LayerNorm(attention(states) + states); keeps the state for the backward pass if `keep` is given.
    pub(super) fn attend(
        &self,
        states: &mut [f32],
        lengths: &[usize],
        keep: bool,
        pool: &mut Pool,
        spread: bool,
    ) -> Option<KeptAttention> {
        let hidden = self.heads.hidden();
        let tokens = states.len() / hidden;
        let rows = self.query_key_value.forward(states, None, pool, spread);
        let areas = || lengths.iter().map(|&length| area(length));
        let room = if keep { self.heads.count * areas().sum::<usize>() } else { areas().max().unwrap_or(0) };
        let (mut weights, mut contexts) = (pool.take(room), pool.take(tokens * hidden));
        let (mut token, mut used) = (0, 0);
        for &length in lengths {
            let area = area(length) * if keep { self.heads.count } else { 1 };
            self.heads.forward(
                &rows[token * 3 * hidden..(token + length) * 3 * hidden],
                self.relative.as_ref(),
                &mut contexts[token * hidden..(token + length) * hidden],
                &mut weights[used..used + area],
                spread,
            );
            token += length;
            used += if keep { area } else { 0 };
        }
        let attended = self.attention_output.forward(&contexts, None, pool, spread);
        let mut kept = keep.then(|| (pool.copy(states), KeptNorm::new(tokens, hidden, pool)));
        self.attention_norm.with(|norm| {
            norm.residual(states, &attended, kept.as_mut().map(|(_, norm)| norm.normed()));
        });
        pool.give([attended]);
        if let Some((input, norm)) = kept {
            return Some(KeptAttention { input, rows, weights, contexts, norm });
        }
        pool.give([rows, weights, contexts]);
        None
    }

    /// states ← LayerNorm(MLP(states) + states); keeps the state for the backward pass if `keep` is given.
    pub(super) fn transform(
        &self,
        states: &mut [f32],
        keep: bool,
        pool: &mut Pool,
        spread: bool,
    ) -> Option<KeptMlp> {
        let hidden = self.heads.hidden();
        let tokens = states.len() / hidden;
        let then = (!keep).then_some(self.activation);
        let mut inner = self.up.forward(states, then, pool, spread);
        let slopes = keep.then(|| {
            let mut slopes = pool.take(inner.len());
            widest(|| self.activation.apply_with_slopes(&mut inner, &mut slopes));
            slopes
        });
        let out = self.down.forward(&inner, None, pool, spread);
        let mut kept = keep.then(|| (pool.copy(states), KeptNorm::new(tokens, hidden, pool)));
        self.output_norm.with(|norm| {
            norm.residual(states, &out, kept.as_mut().map(|(_, norm)| norm.normed()));
        });
        pool.give([out]);
        if let (Some((input, norm)), Some(slopes)) = (kept, slopes) {
            return Some(KeptMlp { input, inner, slopes, norm });
        }
        pool.give([inner]);
        None
    }

    /// Replaces the gradient of the layer's output by that of the MLP's input, if `below` asks for it; the gradients of the weights
    /// are added to `gradients`.
    pub(super) fn transform_backward(
        &self,
        gradient: &mut [f32],
        kept: KeptMlp,
        gradients: &mut LayerGradients,
        below: bool,
        pool: &mut Pool,
    ) {
        self.output_norm.backward(gradient, &kept.norm, &mut gradients.sums[10..12]);
        gradients.map(8, Side::Borrowed(gradient), kept.inner, pool);
        if below || gradients.wants(6) {
            let mut inner = kept.slopes;
            let mut of_inner = pool.take(inner.len());
            self.down.gradient_of_input(gradient, &mut of_inner, Into::Set);
            inner.iter_mut().zip(&*of_inner).for_each(|(slope, g)| *slope *= g);
            pool.give([of_inner]);
            if below {
                self.up.gradient_of_input(&inner, gradient, Into::Add);
            }
            gradients.map(6, Side::Owned(inner), kept.input, pool);
        } else {
            pool.give([kept.input, kept.slopes]);
        }
        pool.give([kept.norm.centred, kept.norm.scales]);
    }

    /// The same for the attention: replaces the gradient of the MLP's input by that of the layer's input.
    pub(super) fn attend_backward(
        &self,
        gradient: &mut [f32],
        lengths: &[usize],
        kept: KeptAttention,
        gradients: &mut LayerGradients,
        below: bool,
        pool: &mut Pool,
    ) {
        let hidden = self.heads.hidden();
        self.attention_norm.backward(gradient, &kept.norm, &mut gradients.sums[4..6]);
        gradients.map(2, Side::Borrowed(gradient), kept.contexts, pool);
        if below || gradients.wants(0) || gradients.relative.is_some() {
            let mut contexts = pool.take(gradient.len());
            self.attention_output.gradient_of_input(gradient, &mut contexts, Into::Set);
            let mut rows = pool.take(kept.rows.len());
            let longest = lengths.iter().copied().max().unwrap_or(0);
            let mut scratch = pool.take(area(longest));
            let (mut token, mut used) = (0, 0);
            for &length in lengths {
                let area = self.heads.count * area(length);
                let of = |width: usize| token * width..(token + length) * width;
                self.heads.backward(
                    &kept.rows[of(3 * hidden)],
                    self.relative.as_ref().zip(gradients.relative.as_deref_mut()),
                    &kept.weights[used..used + area],
                    &contexts[of(hidden)],
                    &mut rows[of(3 * hidden)],
                    &mut scratch,
                );
                token += length;
                used += area;
            }
            pool.give([contexts, scratch]);
            if below {
                self.query_key_value.gradient_of_input(&rows, gradient, Into::Add);
            }
            gradients.map(0, Side::Owned(rows), kept.input, pool);
        } else {
            pool.give([kept.input]);
        }
        pool.give([kept.rows, kept.weights, kept.norm.centred, kept.norm.scales]);
    }
}
