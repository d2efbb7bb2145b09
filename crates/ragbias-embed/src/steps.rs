//! Computes the modules after pooling.

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::cpu::erf::erf_f64;
use candle_core::{D, Device, Tensor};
use candle_nn::ops::layer_norm;
use ragbias_core::ContentId;

use crate::config::{CheckpointFiles, DenseConfig, Function, StepConfig};
use crate::weights::{Owner, Weights};
use crate::{Error, Result};

/// One step, with its weights.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// f(x·Wᵀ + b).
    Dense {
        /// `(out, in)`.
        weight: Tensor,
        bias: Option<Tensor>,
        function: Function,
        residual: Residual,
    },
    LayerNorm {
        weight: Tensor,
        bias: Tensor,
    },
    Normalize,
}

/// What is added to a linear layer's result.
#[derive(Debug, Clone)]
pub(crate) enum Residual {
    Nothing,
    /// Its input.
    Input,
    /// Its input times Vᵀ, V `(out, in)`.
    Mapped(Tensor),
}

/// ε of `torch.nn.LayerNorm`.
const NORM_EPS: f32 = 1e-5;
/// Minimum length used by `torch.nn.functional.normalize`.
const LEAST_LENGTH: f64 = 1e-12;

impl Step {
    /// x·Wᵀ.
    pub(crate) fn linear(weight: Tensor) -> Self {
        Self::Dense { weight, bias: None, function: Function::Identity, residual: Residual::Nothing }
    }

    /// A module in its folder, with the hash of its weights, if any.
    pub(crate) fn read(
        folder: &Path,
        config: &StepConfig,
        device: &Device,
    ) -> Result<(Self, Option<ContentId>)> {
        match config {
            StepConfig::Normalize => Ok((Self::Normalize, None)),
            StepConfig::LayerNorm { dim } => {
                let weights = Weights::open(folder, Owner::Step)?;
                let names = ["norm.weight", "norm.bias"];
                weights.refuse_others(|name| names.contains(&name), 0)?;
                let [weight, bias] = names.map(|name| weights.get(name, &[*dim], None, device));
                Ok((Self::LayerNorm { weight: weight?, bias: bias? }, Some(weights.content_id())))
            }
            StepConfig::Dense(dense) => {
                let weights = Weights::open(folder, Owner::Step)?;
                Ok((Self::dense(dense, &weights, device)?, Some(weights.content_id())))
            }
        }
    }

    fn dense(config: &DenseConfig, weights: &Weights, device: &Device) -> Result<Self> {
        let map = [config.outputs, config.inputs];
        let mut names = BTreeSet::from(["linear.weight"]);
        let get = |name, shape: &[usize]| weights.get(name, shape, None, device);
        let weight = get("linear.weight", &map)?;
        let bias = if config.bias {
            names.insert("linear.bias");
            Some(get("linear.bias", &map[..1])?)
        } else {
            None
        };
        let residual = match (config.residual, config.inputs == config.outputs) {
            (false, _) => Residual::Nothing,
            (true, true) => Residual::Input,
            (true, false) => {
                names.insert("residual.weight");
                Residual::Mapped(get("residual.weight", &map)?)
            }
        };
        weights.refuse_others(|name| names.contains(name), 0)?;
        Ok(Self::Dense { weight, bias, function: config.function, residual })
    }

    /// W, if the step is just x·Wᵀ.
    pub(crate) fn matrix(&self) -> Option<&Tensor> {
        match self {
            Self::Dense { weight, bias: None, function: Function::Identity, residual: Residual::Nothing } => {
                Some(weight)
            }
            _ => None,
        }
    }

    /// Output dimension, if it differs from the input's.
    pub(crate) fn dim(&self) -> Option<usize> {
        if let Self::Dense { weight, .. } = self { Some(weight.dims()[0]) } else { None }
    }

    /// `(texts, in)` → `(texts, out)`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Dense { weight, bias, function, residual } => {
                let mut mapped = x.matmul(&weight.t()?)?;
                if let Some(bias) = bias {
                    mapped = mapped.broadcast_add(bias)?;
                }
                let mapped = function.forward(&mapped)?;
                match residual {
                    Residual::Nothing => mapped,
                    Residual::Input => (mapped + x)?,
                    Residual::Mapped(map) => (mapped + x.matmul(&map.t()?)?)?,
                }
            }
            Self::LayerNorm { weight, bias } => layer_norm(&x.contiguous()?, weight, bias, NORM_EPS)?,
            Self::Normalize => {
                let length = x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.maximum(LEAST_LENGTH)?;
                x.broadcast_div(&length)?
            }
        })
    }
}

impl Function {
    fn forward(self, x: &Tensor) -> Result<Tensor> {
        if self == Self::Identity {
            return Ok(x.clone());
        }
        let values = x.flatten_all()?.to_vec1::<f32>()?;
        let values: Vec<f32> = values.into_iter().map(|x| self.at(x.into()) as f32).collect();
        Ok(Tensor::from_vec(values, x.shape(), x.device())?)
    }

    /// f(x) as in PyTorch, with its defaults.
    fn at(self, x: f64) -> f64 {
        const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
        const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let softplus = |x: f64| if x > 20.0 { x } else { x.exp().ln_1p() };
        let hard_sigmoid = |x: f64| (x + 3.0).clamp(0.0, 6.0) / 6.0;
        match self {
            Self::Identity => x,
            Self::Tanh => x.tanh(),
            Self::Relu => x.max(0.0),
            Self::Gelu => 0.5 * x * (1.0 + erf_f64(x * std::f64::consts::FRAC_1_SQRT_2)),
            Self::Sigmoid => sigmoid(x),
            Self::Silu => x * sigmoid(x),
            Self::Elu => {
                if x > 0.0 {
                    x
                } else {
                    x.exp_m1()
                }
            }
            Self::Selu => SELU_SCALE * if x > 0.0 { x } else { SELU_ALPHA * x.exp_m1() },
            Self::LeakyRelu => {
                if x > 0.0 {
                    x
                } else {
                    0.01 * x
                }
            }
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::Softplus => softplus(x),
            Self::Softsign => x / (1.0 + x.abs()),
            Self::Mish => x * softplus(x).tanh(),
            Self::Hardtanh => x.clamp(-1.0, 1.0),
            Self::Hardsigmoid => hard_sigmoid(x),
            Self::Hardswish => x * hard_sigmoid(x),
            Self::LogSigmoid => -(if x < -20.0 { -x } else { (-x).exp().ln_1p() }),
            Self::Tanhshrink => x - x.tanh(),
        }
    }
}

/// W of a checkpoint's head, `(dim, dim)`, if it has one that consists of a matrix only; `own` is the number of linear maps that
/// its base has before the head.
///
/// # Errors
/// A malformed checkpoint, or one with other steps after pooling.
pub fn read_head(folder: &Path, own: usize) -> Result<Option<Tensor>> {
    let files = CheckpointFiles::read(folder)?;
    let path = folder.join("modules.json");
    if let Some(other) = other_than_linear(&files.config.steps) {
        let expected = "linear maps without bias and function, and Normalize";
        return Err(Error::unsupported(&path, "a member's head", expected, other));
    }
    let mut maps = linear_maps(&files, &Device::Cpu)?;
    let count = maps.len();
    match count.checked_sub(own) {
        Some(0) => Ok(None),
        Some(1) => Ok(maps.pop()),
        _ => {
            let expected = format!("one linear map after the base's {own}");
            Err(Error::unsupported(
                &folder.join("modules.json"),
                "a member's head",
                expected,
                count.to_string(),
            ))
        }
    }
}

/// The name of the first step that is neither a linear map nor `Normalize`.
pub(crate) fn other_than_linear(steps: &[StepConfig]) -> Option<&'static str> {
    let other = steps.iter().find(|step| !step.is_linear_map() && **step != StepConfig::Normalize);
    other.map(StepConfig::name)
}

/// The matrices of the steps that are linear maps, `(out, in)` each, in order.
pub(crate) fn linear_maps(files: &CheckpointFiles, device: &Device) -> Result<Vec<Tensor>> {
    let maps = files.steps.iter().zip(&files.config.steps).filter(|(_, step)| step.is_linear_map());
    maps.map(|(folder, step)| {
        let (step, _) = Step::read(folder, step, device)?;
        Ok(step.matrix().expect("a linear map has a matrix; this is a bug").clone())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_those_of_pytorch() {
        // torch 2.15: torch.nn.X()(torch.tensor([-4.0, -0.75, 0.0, 0.5, 7.0], dtype=torch.float64))
        let x = [-4.0, -0.75, 0.0, 0.5, 7.0];
        for (function, expected) in FIGURES {
            for (x, expected) in x.into_iter().zip(expected) {
                let y = function.at(x);
                assert!((y - expected).abs() < 2e-7, "{function:?} of {x}: {y}, expected {expected}");
            }
        }
    }

    const FIGURES: [(Function, [f64; 5]); 18] = [
        (Function::Identity, [-4.0, -0.75, 0.0, 0.5, 7.0]),
        (Function::Tanh, [-0.999_329_3, -0.635_148_952, 0.0, 0.462_117_157, 0.999_998_337]),
        (Function::Relu, [0.0, 0.0, 0.0, 0.5, 7.0]),
        (Function::Gelu, [-0.000_126_685, -0.169_970_514, 0.0, 0.345_731_231, 7.0]),
        (Function::Sigmoid, [0.017_986_21, 0.320_821_301, 0.5, 0.622_459_331, 0.999_088_949]),
        (Function::Silu, [-0.071_944_84, -0.240_615_976, 0.0, 0.311_229_666, 6.993_622_642]),
        (Function::Elu, [-0.981_684_361, -0.527_633_447, 0.0, 0.5, 7.0]),
        (Function::Selu, [-1.725_898_628, -0.927_632_016, 0.0, 0.525_350_494, 7.354_906_911]),
        (Function::LeakyRelu, [-0.04, -0.0075, 0.0, 0.5, 7.0]),
        (Function::Relu6, [0.0, 0.0, 0.0, 0.5, 6.0]),
        (
            Function::Softplus,
            [0.018_149_928, 0.386_871_006, std::f64::consts::LN_2, 0.974_076_984, 7.000_911_466],
        ),
        (Function::Softsign, [-0.8, -0.428_571_429, 0.0, 0.333_333_333, 0.875]),
        (Function::Mish, [-0.072_591_741, -0.276_494_715, 0.0, 0.375_245_211, 6.999_988_38]),
        (Function::Hardtanh, [-1.0, -0.75, 0.0, 0.5, 1.0]),
        (Function::Hardsigmoid, [0.0, 0.375, 0.5, 0.583_333_333, 1.0]),
        (Function::Hardswish, [-0.0, -0.281_25, 0.0, 0.291_666_667, 7.0]),
        (
            Function::LogSigmoid,
            [-4.018_149_928, -1.136_871_006, -std::f64::consts::LN_2, -0.474_076_984, -0.000_911_466],
        ),
        (Function::Tanhshrink, [-3.000_670_7, -0.114_851_048, 0.0, 0.037_882_843, 6.000_001_663]),
    ];
}
