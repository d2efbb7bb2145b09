//! A transformer with a LayerNorm before each attention and MLP, made of candle's operators.
//!
//! Everything is differentiable where its input is: candle-transformers' CLIP has fused LayerNorms, through which no gradient passes.

use candle_core::{D, Tensor};
use candle_nn::ops::{layer_norm, layer_norm_slow, sigmoid, softmax, softmax_last_dim};

use super::config::{Activation, TowerConfig};
use super::named::Named;
use crate::Result;

#[derive(Debug, Clone)]
pub(super) struct Tower {
    layers: Vec<Layer>,
    heads: usize,
    activation: Activation,
}

#[derive(Debug, Clone)]
struct Layer {
    attention_norm: Norm,
    /// Query, key and value in one product; queries are scaled.
    query_key_value: Linear,
    output: Linear,
    mlp_norm: Norm,
    up: Linear,
    down: Linear,
}

impl Tower {
    /// The layers under `prefix`.
    pub(super) fn new(config: &TowerConfig, named: &mut Named<'_>, prefix: &str) -> Result<Self> {
        let layers = (0..config.layers)
            .map(|layer| Layer::new(config, named, &format!("{prefix}.encoder.layers.{layer}")));
        Ok(Self {
            layers: layers.collect::<Result<_>>()?,
            heads: config.heads,
            activation: config.activation,
        })
    }

    /// States after the last layer, of states before the first, `(rows, tokens, hidden)`; a token attends to those before it alone if
    /// `mask` says so, `(tokens, tokens)`.
    pub(super) fn forward(&self, states: Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        self.layers.iter().try_fold(states, |states, layer| {
            let states = (layer.attend(&states, self.heads, mask)? + &states)?;
            Ok((layer.transform(&states, self.activation)? + &states)?)
        })
    }
}

impl Layer {
    fn new(config: &TowerConfig, named: &mut Named<'_>, layer: &str) -> Result<Self> {
        let (hidden, inner) = (config.hidden, config.inner);
        let scale = ((hidden / config.heads) as f64).powf(-0.5);
        let mut linear =
            |name: &str, out: usize, of: usize| Linear::new(named, &format!("{layer}.{name}"), out, of);
        let query = linear("self_attn.q_proj", hidden, hidden)?.scaled(scale)?;
        let (key, value) =
            (linear("self_attn.k_proj", hidden, hidden)?, linear("self_attn.v_proj", hidden, hidden)?);
        let output = linear("self_attn.out_proj", hidden, hidden)?;
        let (up, down) = (linear("mlp.fc1", inner, hidden)?, linear("mlp.fc2", hidden, inner)?);
        let mut norm = |name: &str| Norm::new(named, &format!("{layer}.{name}"), hidden, config.eps);
        Ok(Self {
            attention_norm: norm("layer_norm1")?,
            query_key_value: Linear::stacked(&[query, key, value])?,
            output,
            mlp_norm: norm("layer_norm2")?,
            up,
            down,
        })
    }

    fn attend(&self, states: &Tensor, heads: usize, mask: Option<&Tensor>) -> Result<Tensor> {
        let (rows, tokens, hidden) = states.dims3()?;
        let projected = self.query_key_value.forward(&self.attention_norm.forward(states)?)?;
        let part = |number: usize| -> Result<Tensor> {
            let part = projected.narrow(2, number * hidden, hidden)?;
            Ok(part.reshape((rows, tokens, heads, hidden / heads))?.transpose(1, 2)?.contiguous()?)
        };
        let mut scores = part(0)?.matmul(&part(1)?.t()?)?;
        if let Some(mask) = mask {
            scores = scores.broadcast_add(mask)?;
        }
        let weights =
            if scores.track_op() { softmax(&scores, D::Minus1)? } else { softmax_last_dim(&scores)? };
        let contexts = weights.matmul(&part(2)?)?.transpose(1, 2)?.reshape((rows, tokens, hidden))?;
        self.output.forward(&contexts)
    }

    fn transform(&self, states: &Tensor, activation: Activation) -> Result<Tensor> {
        let up = self.up.forward(&self.mlp_norm.forward(states)?)?;
        let inner = match activation {
            Activation::QuickGelu => (&up * sigmoid(&(&up * 1.702)?)?)?,
            Activation::Gelu => up.gelu_erf()?,
        };
        self.down.forward(&inner)
    }
}

/// y = x·Wᵀ + b over the last dimension.
#[derive(Debug, Clone)]
struct Linear {
    /// `(out, in)`.
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn new(named: &mut Named<'_>, name: &str, out: usize, of: usize) -> Result<Self> {
        let weight = named.get(&format!("{name}.weight"), &[out, of])?;
        Ok(Self { weight, bias: named.get(&format!("{name}.bias"), &[out])? })
    }

    fn scaled(self, scale: f64) -> Result<Self> {
        Ok(Self { weight: (self.weight * scale)?, bias: (self.bias * scale)? })
    }

    fn stacked(all: &[Self]) -> Result<Self> {
        let of = |part: fn(&Self) -> &Tensor| Tensor::cat(&all.iter().map(part).collect::<Vec<_>>(), 0);
        Ok(Self { weight: of(|one| &one.weight)?, bias: of(|one| &one.bias)? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(times(x, &self.weight)?.broadcast_add(&self.bias)?)
    }
}

/// x·Wᵀ over the last dimension of x, `(…, in)`, with W `(out, in)`.
pub(super) fn times(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let mut shape = x.dims().to_vec();
    let of = shape.pop().unwrap_or_default();
    shape.push(weight.dim(0)?);
    let rows = x.reshape((x.elem_count() / of.max(1), of))?;
    Ok(rows.matmul(&weight.t()?)?.reshape(shape)?)
}

/// LayerNorm over the last dimension.
#[derive(Debug, Clone)]
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f32,
}

impl Norm {
    pub(super) fn new(named: &mut Named<'_>, name: &str, hidden: usize, eps: f32) -> Result<Self> {
        let weight = named.get(&format!("{name}.weight"), &[hidden])?;
        Ok(Self { weight, bias: named.get(&format!("{name}.bias"), &[hidden])?, eps })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let norm = if x.track_op() { layer_norm_slow } else { layer_norm };
        Ok(norm(&x.contiguous()?, &self.weight, &self.bias, self.eps)?)
    }
}
