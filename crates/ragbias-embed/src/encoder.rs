//! The encoder and its pooling, for inference and training, on any device.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor, Var};
use ragbias_core::Precision;

use crate::config::{Architecture, EncoderConfig, Pooling, Positions};
use crate::cpu::{CpuEncoder, CpuTape};
use crate::input::{Boundary, Input, Packed};
use crate::operators::DeviceEncoder;
use crate::parameters::{Parameters, WORD_EMBEDDINGS};
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
        let vectors = self.operators(&all)?.vectors(input, &self.pooling, 0)?;
        Ok((vectors.detach(), Tape(Recorded::Device { vectors, variables })))
    }

    /// The vectors of [`Encoder::vectors`], and a tape for the gradients of the word embeddings at every place of every text.
    ///
    /// # Errors
    /// Those of [`Encoder::record`]; a text that contains the token that fills up batches, for an encoder off the kernels whose
    /// positions are counted from it.
    pub fn record_inputs(&self, batch: &Packed) -> Result<(Tensor, InputTape)> {
        let all = match &self.on {
            On::Cpu { encoder, .. } if has_kernel_gradients(&self.config) => {
                let (vectors, tape) = encoder.record_inputs(batch)?;
                return Ok((vectors, InputTape(RecordedInputs::Cpu(Box::new(tape)))));
            }
            On::Cpu { parameters, .. } => parameters.as_ref().ok_or(Error::ForInference)?,
            On::Device { parameters, .. } => parameters,
        };
        // A table with a row for every place, after as many others as there are positions before the first.
        let before = self.config.positions.skipped();
        if let Positions::AfterPadding(padding) = self.config.positions
            && batch.ids.contains(&padding)
        {
            let (what, expected) = ("texts without the token that fills up batches; times it occurs:", 0);
            let received = batch.ids.iter().filter(|&&id| id == padding).count();
            return Err(Error::Input { what, expected, received });
        }
        let table = all.get(WORD_EMBEDDINGS)?;
        let ids = Tensor::from_slice(&batch.ids, batch.ids.len(), table.device())?;
        let rows = Var::from_tensor(&table.index_select(&ids, 0)?)?;
        let mut parameters = all.clone();
        parameters.set(WORD_EMBEDDINGS, rows.as_tensor().pad_with_zeros(0, before, 0)?)?;
        let ids = (before as u32..).take(batch.ids.len()).collect();
        let places = Packed { ids, lengths: batch.lengths.clone() };
        let encoder = self.operators(&parameters)?;
        let vectors = encoder.vectors(Input::Tokens(&places), &self.pooling, 0)?;
        Ok((vectors.detach(), InputTape(RecordedInputs::Device { vectors, rows })))
    }

    /// The encoder by candle's operators.
    fn operators(&self, parameters: &Parameters) -> Result<DeviceEncoder> {
        let precision = if parameters.device().is_cpu() { Precision::F32 } else { self.precision };
        DeviceEncoder::new(&self.config, parameters, dtype(precision)?)
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

/// A recorded forward pass of an [`Encoder`], for the gradients of its input.
pub struct InputTape(RecordedInputs);

enum RecordedInputs {
    Cpu(Box<CpuTape>),
    Device { vectors: Tensor, rows: Var },
}

impl InputTape {
    /// The gradient of the row of the table of word embeddings that each token of the batch takes, as if no other token took it:
    /// `(tokens, hidden)`, row-major, from that of the vectors, `(texts, hidden)`.
    ///
    /// # Errors
    /// A gradient of another shape.
    pub fn backward(self, gradient: &Tensor) -> Result<Vec<f32>> {
        match self.0 {
            RecordedInputs::Cpu(tape) => tape.backward_to_inputs(gradient),
            RecordedInputs::Device { vectors, rows } => {
                let store = (vectors * gradient)?.sum_all()?.backward()?;
                match store.get(&rows) {
                    Some(gradient) => Ok(gradient.flatten_all()?.to_vec1()?),
                    None => Ok(vec![0.0; rows.elem_count()]),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
