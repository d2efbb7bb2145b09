//! Changes of a model's layer matrices as it is loaded.

mod rounding;

use std::fmt;

pub use self::rounding::WeightFormat;

use crate::decoder::{Affine, Decoder, Layer};
use crate::matrix::Matrix;
use crate::{Error, Result};

/// A matrix of a layer, as named in GGUF files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LayerMatrix {
    /// `attn_q`.
    Query,
    /// `attn_k`.
    Key,
    /// `attn_v`.
    Value,
    /// `attn_output`.
    Output,
    /// `ffn_gate`.
    Gate,
    /// `ffn_up`.
    Up,
    /// `ffn_down`.
    Down,
}

impl LayerMatrix {
    /// All of them, in the order in which a layer uses them.
    pub const ALL: [Self; 7] =
        [Self::Query, Self::Key, Self::Value, Self::Output, Self::Gate, Self::Up, Self::Down];

    /// This matrix of a layer.
    pub(crate) fn of(self, layer: &Layer) -> &Affine {
        match self {
            Self::Query => &layer.query,
            Self::Key => &layer.key,
            Self::Value => &layer.value,
            Self::Output => &layer.output,
            Self::Gate => &layer.gate,
            Self::Up => &layer.up,
            Self::Down => &layer.down,
        }
    }

    fn of_mut(self, layer: &mut Layer) -> &mut Affine {
        match self {
            Self::Query => &mut layer.query,
            Self::Key => &mut layer.key,
            Self::Value => &mut layer.value,
            Self::Output => &mut layer.output,
            Self::Gate => &mut layer.gate,
            Self::Up => &mut layer.up,
            Self::Down => &mut layer.down,
        }
    }
}

impl fmt::Display for LayerMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Query => "attn_q",
            Self::Key => "attn_k",
            Self::Value => "attn_v",
            Self::Output => "attn_output",
            Self::Gate => "ffn_gate",
            Self::Up => "ffn_up",
            Self::Down => "ffn_down",
        })
    }
}

/// A change of the matrices of a model's layers; embedding, output matrix, norms and biases stay as they are.
pub trait WeightChange: Sync {
    /// What distinguishes the change from others, for the identity of the changed model.
    fn fingerprint(&self) -> Vec<u8>;

    /// The number of layers of the models that it can change; none if of any.
    fn layers(&self) -> Option<usize> {
        None
    }

    /// Changes the weights of a matrix of a layer, counted from 0, in place: `(height, width)`, a row for each output, row-major.
    ///
    /// # Errors
    /// A matrix of a size that the change is not made for.
    fn change(&self, layer: usize, matrix: LayerMatrix, width: usize, weights: &mut [f32]) -> Result<()>;
}

impl Decoder {
    /// The same model after a change, its layer matrices in f32 in memory.
    ///
    /// # Errors
    /// A change that is made for other models.
    pub(crate) fn changed(mut self, change: &dyn WeightChange) -> Result<Self> {
        if let Some(layers) = change.layers().filter(|&layers| layers != self.layers.len()) {
            let received = format!("for {layers} layers, where the model has {}", self.layers.len());
            let expected = "one for as many layers as the model has";
            return Err(Error::Setting { setting: "the change of weights", expected, received });
        }
        for (number, layer) in self.layers.iter_mut().enumerate() {
            for which in LayerMatrix::ALL {
                let matrix = &mut which.of_mut(layer).matrix;
                let mut weights = matrix.values();
                change.change(number, which, matrix.width(), &mut weights)?;
                *matrix = Matrix::of_values(matrix.height(), matrix.width(), &weights);
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::GgmlDType;

    use super::*;
    use crate::architecture::Architecture;
    use crate::model::Span;
    use crate::testing::decoder;

    /// Adds a number to every weight of one matrix.
    struct Added(usize, LayerMatrix, f32);

    impl WeightChange for Added {
        fn fingerprint(&self) -> Vec<u8> {
            Vec::new()
        }

        fn change(&self, layer: usize, matrix: LayerMatrix, width: usize, weights: &mut [f32]) -> Result<()> {
            assert!(weights.len().is_multiple_of(width));
            if (layer, matrix) == (self.0, self.1) {
                for weight in weights {
                    *weight += self.2;
                }
            }
            Ok(())
        }
    }

    fn logits(decoder: &Decoder) -> Vec<f32> {
        let mut state = decoder.start();
        decoder.read(vec![Span { state: &mut state, tokens: &[3, 7, 250, 9], logits: true }]).remove(0)
    }

    #[test]
    fn every_matrix_of_every_family_is_changed_and_a_change_of_nothing_changes_no_logit() {
        for Architecture { name, .. } in Architecture::ALL {
            let load = || decoder(name, GgmlDType::Q8_0);
            let plain = logits(&load());
            let last = load().layers.len() - 1;
            let same = logits(&load().changed(&Added(0, LayerMatrix::Query, 0.0)).unwrap());
            assert!(plain.iter().zip(&same).all(|(a, b)| (a - b).abs() < 1e-4), "{name}");
            for matrix in LayerMatrix::ALL {
                // A number that is added to all weights of queries and keys may only move scores that softmax ignores.
                let other = logits(&load().changed(&Added(last, matrix, 0.3)).unwrap());
                assert!(plain.iter().zip(&other).any(|(a, b)| (a - b).abs() > 1e-3), "{name} {matrix}");
            }
        }
    }
}
