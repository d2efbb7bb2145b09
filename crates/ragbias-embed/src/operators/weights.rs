//! The weights of a layer as functions.

use candle_core::{D, DType, Tensor};
use candle_nn::ops::{layer_norm, layer_norm_slow};

use crate::Result;
use crate::config::{Activation, EncoderConfig, NormKind};
use crate::parameters::Parameters;
use crate::parts::{Map, MapPlace};

/// Weights converted to the computation type.
pub(super) struct Weights<'a> {
    pub(super) config: &'a EncoderConfig,
    pub(super) parameters: &'a Parameters,
    pub(super) dtype: DType,
}

impl Weights<'_> {
    pub(super) fn get(&self, name: &str) -> Result<Tensor> {
        Ok(self.parameters.get(name)?.to_dtype(self.dtype)?)
    }

    /// A linear map of a layer.
    pub(super) fn map(&self, layer: usize, place: MapPlace) -> Result<Linear> {
        let Map { parts, has_bias, .. } = self.config.map(layer, place);
        let stacked = |end: &str| -> Result<Tensor> {
            let all = parts.iter().map(|(name, _)| self.get(&format!("{name}.{end}")));
            Ok(Tensor::cat(&all.collect::<Result<Vec<_>>>()?, 0)?)
        };
        Ok(Linear { weight: stacked("weight")?, bias: has_bias.then(|| stacked("bias")).transpose()? })
    }

    /// The norm of this name, if there is one.
    pub(super) fn norm(&self, name: Option<impl AsRef<str>>) -> Result<Option<Norm>> {
        let Some(name) = name else { return Ok(None) };
        let weight = self.get(&format!("{}.weight", name.as_ref()))?;
        let bias = if self.config.has_norm_bias() {
            self.get(&format!("{}.bias", name.as_ref()))?
        } else {
            weight.zeros_like()?
        };
        let (kind, eps) = (self.config.architecture.norms.kind, self.config.layer_norm_eps as f32);
        Ok(Some(Norm { kind, weight, bias, eps }))
    }
}

impl Activation {
    pub(super) fn apply(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Gelu => x.gelu_erf()?,
            Self::GeluTanh => x.gelu()?,
            Self::Relu => x.relu()?,
            Self::Silu => x.silu()?,
        })
    }
}

/// y = x·Wᵀ + b.
#[derive(Debug, Clone)]
pub(super) struct Linear {
    /// `(out, in)`, as in the file.
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let product = x.matmul(&self.weight.t()?)?;
        Ok(match &self.bias {
            Some(bias) => product.broadcast_add(bias)?,
            None => product,
        })
    }
}

/// A norm over the last dimension.
#[derive(Debug, Clone)]
pub(super) struct Norm {
    kind: NormKind,
    weight: Tensor,
    /// Zeros without a bias.
    bias: Tensor,
    eps: f32,
}

impl Norm {
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        debug_assert_eq!(x.dim(D::Minus1)?, self.weight.elem_count());
        let weight = match self.kind {
            NormKind::LayerNorm { .. } => {
                let trained = x.track_op() || self.weight.track_op() || self.bias.track_op();
                let norm = if trained { layer_norm_slow } else { layer_norm };
                return Ok(norm(&x.contiguous()?, &self.weight, &self.bias, self.eps)?);
            }
            NormKind::Rms => self.weight.to_dtype(DType::F32)?,
            NormKind::RmsFromOne => (self.weight.to_dtype(DType::F32)? + 1.0)?,
        };
        let wide = x.to_dtype(DType::F32)?;
        let size = (wide.sqr()?.mean_keepdim(D::Minus1)? + f64::from(self.eps))?.sqrt()?;
        Ok(wide.broadcast_div(&size)?.broadcast_mul(&weight)?.to_dtype(x.dtype())?)
    }
}
