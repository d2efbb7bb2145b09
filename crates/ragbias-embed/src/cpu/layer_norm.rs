//! The norms of an encoder with their weights, and where a layer has them.

use ragbias_kernels::row::add;
use ragbias_kernels::widest;

use super::lines::Lines;
use super::norm::{Norm, Normed};
use super::pool::Pool;
use super::weight::Weight;
use crate::Result;
use crate::config::{EncoderConfig, NormKind, NormOrder};
use crate::parameters::Parameters;
use crate::parts::NormPlace;

/// The weights of a norm.
#[derive(Clone)]
pub(super) struct LayerNorm {
    /// What a row is multiplied by: with 1 added, if its kind asks for that.
    pub(super) weight: Weight,
    /// Zeros without a bias.
    pub(super) bias: Weight,
    eps: f32,
    centres: bool,
}

impl LayerNorm {
    /// The norm of this name.
    pub(super) fn new(parameters: &Parameters, name: &str, config: &EncoderConfig) -> Result<Self> {
        let kind = config.architecture.norms.kind;
        let weight = parameters.get(&format!("{name}.weight"))?;
        let weight = match kind {
            NormKind::RmsFromOne => Weight::new(&(weight + 1.0)?)?,
            NormKind::LayerNorm { .. } | NormKind::Rms => Weight::new(weight)?,
        };
        let bias = if config.has_norm_bias() {
            Weight::named(parameters, &format!("{name}.bias"))?
        } else {
            Weight::zeros(weight.shape()[0])?
        };
        let centres = matches!(kind, NormKind::LayerNorm { .. });
        Ok(Self { weight, bias, eps: config.layer_norm_eps as f32, centres })
    }

    /// The same if there is one.
    pub(super) fn if_named(
        parameters: &Parameters,
        name: Option<impl AsRef<str>>,
        config: &EncoderConfig,
    ) -> Result<Option<Self>> {
        name.map(|name| Self::new(parameters, name.as_ref(), config)).transpose()
    }

    /// Runs work on many rows with the norm, its loops compiled for the widest registers.
    pub(super) fn with<R>(&self, work: impl FnOnce(Norm<'_>) -> R) -> R {
        let (weight, bias) = (self.weight.values(), self.bias.values());
        let norm = Norm { weight: &weight, bias: &bias, eps: self.eps, centres: self.centres };
        widest(|| work(norm))
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

/// The norms around an attention or an MLP.
#[derive(Clone)]
pub(super) struct Around {
    order: NormOrder,
    before: Option<LayerNorm>,
    after: Option<LayerNorm>,
}

impl Around {
    pub(super) fn new(
        parameters: &Parameters,
        config: &EncoderConfig,
        layer: usize,
        [before, after]: [NormPlace; 2],
    ) -> Result<Self> {
        Ok(Self {
            order: config.architecture.norms.order,
            before: LayerNorm::if_named(parameters, config.norm(layer, before), config)?,
            after: LayerNorm::if_named(parameters, config.norm(layer, after), config)?,
        })
    }

    /// The normalised input, if there is a norm before.
    pub(super) fn input(&self, states: &[f32], pool: &mut Pool) -> Option<Lines> {
        let norm = self.before.as_ref()?;
        let mut input = pool.copy(states);
        norm.with(|norm| norm.plain(&mut input, None));
        Some(input)
    }

    /// Adds the result to the states, with the norm after; `kept` is for the backward pass of [`NormOrder::After`].
    pub(super) fn add(&self, states: &mut [f32], result: &mut [f32], kept: Option<Normed<'_>>) {
        match (self.order, &self.after) {
            (NormOrder::After, Some(norm)) => norm.with(|norm| norm.residual(states, result, kept)),
            (_, Some(norm)) => {
                norm.with(|norm| norm.plain(result, None));
                add(states, result);
            }
            (_, None) => add(states, result),
        }
    }

    /// The norm after, which there is in an encoder that is trained by the kernels.
    pub(super) fn trained(&self) -> &LayerNorm {
        self.after.as_ref().expect("gradients are of layers with a norm after each part; this is a bug")
    }
}
