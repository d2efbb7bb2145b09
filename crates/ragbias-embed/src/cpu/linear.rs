//! A linear layer on rows, and the gradient of its input.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::{Tensor, TensorId};
use ragbias_kernels::{Into, Matrix, product};

use super::int8::Int8Panels;
use super::lines::Lines;
use super::panels::Panels;
use super::pool::Pool;
use super::weight::Weight;
use crate::Result;
use crate::config::Activation;
use crate::parameters::Parameters;
use crate::parts::Map;

/// y = x·Wᵀ + b, W `(out, in)`.
#[derive(Clone)]
pub(super) struct Linear {
    /// W; in an encoder for inference alone, only until its panels are made.
    weight: Arc<Mutex<Option<Weight>>>,
    /// Whether the backward pass needs W.
    pub(super) is_trainable: bool,
    /// The shape of W.
    pub(super) shape: [usize; 2],
    /// Zeros without a bias.
    pub(super) bias: Weight,
    /// Whether its products are of 8 bits.
    pub(super) is_int8: bool,
    /// Weight and bias in the layout of the products, created by the first one.
    panels: Arc<OnceLock<LaidOut>>,
    /// The tensors they were made from.
    parts: Vec<TensorId>,
}

/// Weight and bias in the layout of the products.
enum LaidOut {
    F32(Panels),
    Int8(Int8Panels),
}

impl Linear {
    /// One linear layer, or several with the same input, stacked; reuses that of another encoder with the same weights.
    pub(super) fn new(parameters: &Parameters, map: &Map, other: Option<&Self>) -> Result<Self> {
        let tensors = |end: &str| -> Result<Vec<&Tensor>> {
            map.parts.iter().map(|(name, _)| parameters.get(&format!("{name}.{end}"))).collect()
        };
        let weights = tensors("weight")?;
        let biases = if map.has_bias { tensors("bias")? } else { Vec::new() };
        let parts: Vec<TensorId> = weights.iter().chain(&biases).map(|tensor| tensor.id()).collect();
        if let Some(other) = other.filter(|other| other.parts == parts && other.is_trainable) {
            return Ok(other.clone());
        }
        let stacked = |tensors: &[&Tensor]| -> Result<Weight> {
            if let [one] = tensors { Weight::new(one) } else { Weight::new(&Tensor::cat(tensors, 0)?) }
        };
        let weight = stacked(&weights)?;
        let shape = [weight.shape()[0], weight.shape()[1]];
        let bias = if map.has_bias { stacked(&biases)? } else { Weight::zeros(shape[0])? };
        Ok(Self {
            weight: Arc::new(Mutex::new(Some(weight))),
            is_trainable: true,
            is_int8: false,
            shape,
            bias,
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
    pub(super) fn forward(
        &self,
        x: &[f32],
        then: Option<Activation>,
        pool: &mut Pool,
        spread: bool,
    ) -> Lines {
        let mut out = pool.take(x.len() / self.inputs() * self.outputs());
        let x = Matrix::new(x, x.len() / self.inputs(), self.inputs());
        match self.laid_out() {
            LaidOut::F32(panels) => panels.product(x, then, &mut out, self.outputs(), spread),
            LaidOut::Int8(panels) => panels.product(x, then, &mut out, spread),
        }
        out
    }

    /// Lays out the matrix for its products, unless it is.
    pub(super) fn lay_out(&self) {
        self.laid_out();
    }

    fn laid_out(&self) -> &LaidOut {
        self.panels.get_or_init(|| {
            let weight = self.weight();
            let (values, bias) = (weight.values(), self.bias.values());
            let matrix = Matrix::new(&values, self.outputs(), self.inputs());
            let panels = if self.is_int8 {
                LaidOut::Int8(Int8Panels::new(matrix, &bias))
            } else {
                LaidOut::F32(Panels::new(matrix, &bias))
            };
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
    pub(super) fn gradient_of_input(&self, gradient: &[f32], out: &mut [f32], into: Into) {
        let (rows, weight) = (gradient.len() / self.outputs(), self.weight());
        let gradient = Matrix::new(gradient, rows, self.outputs());
        let weight = weight.values();
        let weight = Matrix::new(&weight, self.outputs(), self.inputs());
        product(out, self.inputs(), into, 1.0, gradient, weight);
    }
}
