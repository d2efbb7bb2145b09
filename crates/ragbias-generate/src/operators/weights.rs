//! A layer's weights on the device, dequantised once.

use candle_core::{DType, Device, Result, Tensor};
use half::bf16;
use rayon::prelude::*;

use crate::decoder::Affine;
use crate::lanes::Pairs;

/// Where weights go, and in which type.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) device: Device,
    /// Of matrices and their products; norms and biases are f32.
    pub(super) dtype: DType,
}

impl Target {
    /// A `(height, width)` matrix.
    pub(super) fn matrix(&self, values: Vec<f32>, width: usize, dtype: DType) -> Result<Tensor> {
        let shape = (values.len() / width, width);
        match dtype {
            DType::BF16 => {
                let values: Vec<bf16> = values.into_par_iter().map(bf16::from_f32).collect();
                Tensor::from_vec(values, shape, &self.device)
            }
            _ => Tensor::from_vec(values, shape, &self.device)?.to_dtype(dtype),
        }
    }

    pub(super) fn vector(&self, values: &[f32]) -> Result<Tensor> {
        Tensor::from_slice(values, values.len(), &self.device)
    }

    pub(super) fn optional(&self, values: Option<&Vec<f32>>) -> Result<Option<Tensor>> {
        values.map(|values| self.vector(values)).transpose()
    }

    /// Several matrices with the same inputs as one, each with the order of its outputs within a head, if it is another.
    pub(super) fn stacked(&self, parts: &[(&Affine, Option<&[usize]>)]) -> Result<Linear> {
        let width = parts[0].0.matrix.width();
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for (part, order) in parts {
            let bias = part.bias.clone().unwrap_or_else(|| vec![0.0; part.matrix.height()]);
            if let Some(order) = order {
                weights.extend(reordered(&part.matrix.values(), width, order));
                biases.extend(reordered(&bias, 1, order));
            } else {
                weights.extend(part.matrix.values());
                biases.extend(bias);
            }
        }
        let has_bias = parts.iter().any(|(part, _)| part.bias.is_some());
        Ok(Linear {
            weight: self.matrix(weights, width, self.dtype)?,
            bias: if has_bias { Some(self.vector(&biases)?) } else { None },
        })
    }
}

/// y = x·Wᵀ + b.
#[derive(Debug)]
pub(super) struct Linear {
    /// `(out, in)`.
    weight: Tensor,
    /// f32.
    bias: Option<Tensor>,
}

impl Linear {
    /// `(tokens, in)` to `(tokens, out)`, both f32.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let product = product(x, &self.weight)?;
        match &self.bias {
            Some(bias) => product.broadcast_add(bias),
            None => Ok(product),
        }
    }
}

/// x·Wᵀ in the type of the weights; the result is f32.
pub(super) fn product(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let dtype = weight.dtype();
    let x = x.to_dtype(dtype)?;
    if dtype == DType::BF16 && x.device().is_cpu() {
        // candle has no such products on the CPU: the sums are f32 there, as in a GPU.
        let product = x.to_dtype(DType::F32)?.matmul(&weight.to_dtype(DType::F32)?.t()?)?;
        return product.to_dtype(dtype)?.to_dtype(DType::F32);
    }
    x.matmul(&weight.t()?)?.to_dtype(DType::F32)
}

/// The order of a head's values in which RoPE turns value i with value i + half of all, whatever the layout in the file and
/// however many are turned: scores do not depend on the order, if it is that of queries and of keys.
pub(super) fn order_of_heads(pairs: Pairs, turned: usize, width: usize) -> Vec<usize> {
    let (first, second): (Vec<usize>, Vec<usize>) = match pairs {
        Pairs::Neighbours => (0..turned).map(|i| (2 * i, 2 * i + 1)).unzip(),
        Pairs::Halves => (0..turned).map(|i| (i, i + turned)).unzip(),
    };
    let rest: Vec<usize> = (2 * turned..width).collect();
    let (before, after) = rest.split_at(rest.len() / 2);
    [&first, before, &second, after].concat()
}

/// Rows of `width` numbers, in another order within each head.
pub(super) fn reordered(values: &[f32], width: usize, order: &[usize]) -> Vec<f32> {
    let heads = values.chunks_exact(width * order.len());
    heads.flat_map(|head| order.iter().flat_map(|&row| &head[row * width..][..width])).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_half_a_head_apart_in_the_order_of_heads() {
        assert_eq!(order_of_heads(Pairs::Halves, 4, 8), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(order_of_heads(Pairs::Neighbours, 4, 8), [0, 2, 4, 6, 1, 3, 5, 7]);
        assert_eq!(order_of_heads(Pairs::Halves, 2, 8), [0, 1, 4, 5, 2, 3, 6, 7]);
        assert_eq!(order_of_heads(Pairs::Halves, 0, 4), [0, 1, 2, 3]);
    }

    #[test]
    fn rows_are_reordered_within_each_head() {
        let values: Vec<f32> = (0..8_u8).map(f32::from).collect();
        assert_eq!(reordered(&values, 2, &[1, 0]), [2.0, 3.0, 0.0, 1.0, 6.0, 7.0, 4.0, 5.0]);
    }
}
