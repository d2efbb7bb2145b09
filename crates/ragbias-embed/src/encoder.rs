//! The encoder and its pooling, for inference and training, on any device.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor, Var};
use ragbias_core::Precision;

use crate::config::{Architecture, EncoderConfig, Pooling};
use crate::cpu::{CpuEncoder, CpuTape};
use crate::input::{Boundary, Input};
use crate::operators::DeviceEncoder;
use crate::parameters::Parameters;
use crate::processor::dtype;
use crate::{Error, Result};

/// An encoder with its pooling: a function of [`Parameters`] from texts to vectors, with gradients.
///
/// On the CPU it uses its own kernels, on other devices candle's operators; gradients of layers that are not of BERT's kind are
/// those of the operators everywhere. A text's vector does not depend on its batch.
#[derive(Clone)]
pub struct Encoder {
    config: EncoderConfig,
    pooling: Pooling,
    precision: Precision,
    on: On,
}

#[derive(Clone)]
enum On {
    Cpu {
        encoder: CpuEncoder,
        /// For gradients by candle's operators, of encoders whose kernels have none; none in an encoder for inference alone.
        parameters: Option<Parameters>,
    },
    Device {
        encoder: DeviceEncoder,
        parameters: Parameters,
    },
}

impl Encoder {
    /// The encoder with these weights, on their device; on the CPU it computes in f32.
    ///
    /// # Errors
    /// A missing weight, [`Error::NotInInt8`].
    pub fn new(
        config: &EncoderConfig,
        pooling: &Pooling,
        parameters: &Parameters,
        precision: Precision,
    ) -> Result<Self> {
        let dtype = dtype(precision)?;
        let on = match parameters.device() {
            Device::Cpu => On::Cpu {
                encoder: CpuEncoder::new(config, pooling, parameters)?,
                parameters: Some(parameters.clone()),
            },
            _ => On::Device {
                encoder: DeviceEncoder::new(config, parameters, dtype)?,
                parameters: parameters.clone(),
            },
        };
        Ok(Self { config: config.clone(), pooling: pooling.clone(), precision, on })
    }

    /// The encoder for inference alone: on the CPU it keeps each matrix once, and has no gradients.
    ///
    /// # Errors
    /// A missing weight, [`Error::NotInInt8`] on a device other than the CPU.
    pub fn for_inference(
        config: &EncoderConfig,
        pooling: &Pooling,
        parameters: Parameters,
        precision: Precision,
    ) -> Result<Self> {
        if !parameters.device().is_cpu() {
            return Self::new(config, pooling, &parameters, precision);
        }
        let encoder = CpuEncoder::for_inference(config, pooling, parameters, precision)?;
        let on = On::Cpu { encoder, parameters: None };
        Ok(Self { config: config.clone(), pooling: pooling.clone(), precision, on })
    }

    /// The same encoder with other weights, reusing its memory.
    ///
    /// # Errors
    /// Those of [`Encoder::new`].
    pub fn with(&self, parameters: &Parameters) -> Result<Self> {
        match &self.on {
            On::Cpu { encoder, .. } if parameters.device().is_cpu() && self.precision != Precision::Int8 => {
                let encoder = encoder.with(&self.config, parameters)?;
                Ok(Self { on: On::Cpu { encoder, parameters: Some(parameters.clone()) }, ..self.clone() })
            }
            _ => Self::new(&self.config, &self.pooling, parameters, self.precision),
        }
    }

    /// Number of tokens to pass at once: on the CPU all, as it divides them into chunks itself; elsewhere as many as
    /// fit into memory with their intermediate results.
    pub(crate) fn tokens_per_pass(&self) -> usize {
        match &self.on {
            On::Cpu { .. } => usize::MAX,
            On::Device { .. } => 16_384,
        }
    }

    /// Hidden states at a boundary, `(tokens, hidden)`, row-major.
    ///
    /// # Errors
    /// A token outside the vocabulary, a sequence that is too long, states of another width.
    pub fn states(&self, input: Input<'_>, at: Boundary) -> Result<Vec<f32>> {
        match &self.on {
            On::Cpu { encoder, .. } => encoder.states(input, at),
            On::Device { encoder, .. } => Ok(encoder.states(input, at.half())?.flatten_all()?.to_vec1()?),
        }
    }

    /// One vector per text, `(texts, pooled)`, not normalised; `pooled` is the width of a hidden state times the number of
    /// pooling modes.
    ///
    /// # Errors
    /// Those of [`Encoder::states`].
    pub fn vectors(&self, input: Input<'_>) -> Result<Tensor> {
        self.vectors_after(input, 0)
    }

    /// The same, pooled over the tokens after the first `skipped` of every text.
    ///
    /// # Errors
    /// Those of [`Encoder::states`].
    pub fn vectors_after(&self, input: Input<'_>, skipped: usize) -> Result<Tensor> {
        match &self.on {
            On::Cpu { encoder, .. } => encoder.vectors(input, skipped),
            On::Device { encoder, .. } => encoder.vectors(input, &self.pooling, skipped),
        }
    }

    /// The vectors of [`Encoder::vectors`], and a tape for the gradients of the named parameters.
    ///
    /// # Errors
    /// Those of [`Encoder::states`]; on the CPU [`Error::ForInference`], and for layers of BERT's kind, pooling other than the
    /// mean or the first token.
    pub fn record(&self, input: Input<'_>, parameters: &BTreeSet<String>) -> Result<(Tensor, Tape)> {
        let all = match &self.on {
            On::Cpu { encoder, .. } if has_kernel_gradients(&self.config) => {
                let (vectors, tape) = encoder.record(input, parameters)?;
                return Ok((vectors, Tape(Recorded::Cpu(Box::new(tape)))));
            }
            On::Cpu { parameters, .. } => parameters.as_ref().ok_or(Error::ForInference)?,
            On::Device { parameters, .. } => parameters,
        };
        let (mut all, mut variables) = (all.clone(), BTreeMap::new());
        for name in parameters {
            let variable = Var::from_tensor(all.get(name)?)?;
            all.set(name, variable.as_tensor().clone())?;
            variables.insert(name.clone(), variable);
        }
        let precision = if all.device().is_cpu() { Precision::F32 } else { self.precision };
        let encoder = DeviceEncoder::new(&self.config, &all, dtype(precision)?)?;
        let vectors = encoder.vectors(input, &self.pooling, 0)?;
        Ok((vectors.detach(), Tape(Recorded::Device { vectors, variables })))
    }
}

/// Whether the CPU's kernels have the backward pass of this encoder.
fn has_kernel_gradients(config: &EncoderConfig) -> bool {
    config.architecture == Architecture::BERT
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pooling = &self.pooling;
        f.debug_struct("Encoder")
            .field("config", &self.config)
            .field("pooling", pooling)
            .finish_non_exhaustive()
    }
}

/// A recorded forward pass of an [`Encoder`].
pub struct Tape(Recorded);

enum Recorded {
    Cpu(Box<CpuTape>),
    Device { vectors: Tensor, variables: BTreeMap<String, Var> },
}

impl Tape {
    /// The gradients of the named parameters, from that of the vectors, `(texts, hidden)`. A parameter that
    /// did not affect the pass has none.
    ///
    /// # Errors
    /// A gradient of another shape.
    pub fn backward(self, gradient: &Tensor) -> Result<BTreeMap<String, Tensor>> {
        match self.0 {
            Recorded::Cpu(tape) => tape.backward(gradient),
            Recorded::Device { vectors, variables } => {
                // The derivative of this product with respect to the vectors is the gradient.
                let store = (vectors * gradient)?.sum_all()?.backward()?;
                let named = variables.into_iter();
                Ok(named.filter_map(|(name, variable)| Some((name, store.get(&variable)?.clone()))).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests;
