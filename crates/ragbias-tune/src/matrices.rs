//! Changes of the encoder's matrices, entry by entry: noise, rounding.

use candle_core::Tensor;

use crate::Result;
use crate::base::Base;
use crate::weights::Weights;

impl Weights {
    /// These weights with every matrix of the encoder's layers changed; embeddings, biases and LayerNorms stay as they are.
    ///
    /// `change` gets the name of each matrix, its number of columns, and its values row by row, as `(outputs, inputs)`. The texts of an
    /// embedder with the result have to be prepared for [`Scope::Full`](crate::Scope::Full).
    ///
    /// # Errors
    /// Weights of another base.
    pub fn with_matrices(
        &self,
        base: &Base,
        mut change: impl FnMut(&str, usize, &mut [f32]),
    ) -> Result<Self> {
        let from = self.parameters.as_ref().unwrap_or(&base.parameters);
        let mut parameters = from.clone();
        for (name, tensor) in from.iter() {
            let [rows, columns] = *tensor.dims() else { continue };
            if !name.contains("layer") || rows < 2 || columns < 2 {
                continue;
            }
            let mut values = tensor.flatten_all()?.to_vec1::<f32>()?;
            change(name, columns, &mut values);
            parameters.set(name, Tensor::from_vec(values, (rows, columns), tensor.device())?)?;
        }
        Ok(Self { parameters: Some(parameters), head: self.head.clone() })
    }
}
