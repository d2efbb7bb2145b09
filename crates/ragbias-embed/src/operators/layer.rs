//! One layer: an attention and an MLP, with the norms around them.

use candle_core::Tensor;

use super::attention::Attention;
use super::pass::Pass;
use super::weights::{Linear, Norm, Weights};
use crate::Result;
use crate::config::{Activation, NormOrder, Reach, Rotary};
use crate::parts::{MapPlace, NormPlace};

#[derive(Debug, Clone)]
pub(super) struct Layer {
    attention: Attention,
    attention_norms: Norms,
    up: Linear,
    down: Linear,
    mlp_norms: Norms,
    activation: Activation,
    /// Whether the gate comes before the map up in what they give; `None` without a gate.
    gate_is_first: Option<bool>,
}

/// The norms around an attention or an MLP.
#[derive(Debug, Clone)]
struct Norms {
    order: NormOrder,
    before: Option<Norm>,
    after: Option<Norm>,
}

impl Norms {
    fn new(layer: usize, [before, after]: [NormPlace; 2], weights: &Weights<'_>) -> Result<Self> {
        Ok(Self {
            order: weights.config.architecture.norms.order,
            before: weights.norm(weights.config.norm(layer, before))?,
            after: weights.norm(weights.config.norm(layer, after))?,
        })
    }

    /// What an attention or an MLP does to the states.
    fn around(&self, states: &Tensor, of: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let normed = |norm: &Option<Norm>, x: Tensor| match norm {
            Some(norm) => norm.forward(&x),
            None => Ok(x),
        };
        let result = of(&normed(&self.before, states.clone())?)?;
        match self.order {
            NormOrder::After => normed(&self.after, (result + states)?),
            NormOrder::Before { .. } | NormOrder::Around => Ok((normed(&self.after, result)? + states)?),
        }
    }
}

impl Layer {
    pub(super) fn new(layer: usize, weights: &Weights<'_>) -> Result<Self> {
        Ok(Self {
            attention: Attention::new(layer, weights)?,
            attention_norms: Norms::new(
                layer,
                [NormPlace::AttentionInput, NormPlace::AttentionOutput],
                weights,
            )?,
            up: weights.map(layer, MapPlace::Up)?,
            down: weights.map(layer, MapPlace::Down)?,
            mlp_norms: Norms::new(layer, [NormPlace::MlpInput, NormPlace::MlpOutput], weights)?,
            activation: weights.config.hidden_act,
            gate_is_first: weights.config.gate_is_first(),
        })
    }

    /// The tokens that a token attends to, and their positions if they are rotary.
    pub(super) fn reach(&self) -> (Reach, Option<Rotary>) {
        self.attention.reach()
    }

    pub(super) fn attend(&self, states: &Tensor, pass: &Pass) -> Result<Tensor> {
        self.attention_norms.around(states, |x| self.attention.forward(x, pass))
    }

    pub(super) fn transform(&self, states: &Tensor) -> Result<Tensor> {
        self.mlp_norms.around(states, |x| {
            let up = self.up.forward(x)?;
            let inner = match self.gate_is_first {
                None => self.activation.apply(&up)?,
                Some(is_first) => {
                    let inner = up.dim(1)? / 2;
                    let half = |number: usize| Ok::<_, crate::Error>(up.narrow(1, number * inner, inner)?);
                    let gate = self.activation.apply(&half(usize::from(!is_first))?.contiguous()?)?;
                    (gate * half(usize::from(is_first))?)?
                }
            };
            self.down.forward(&inner)
        })
    }
}
