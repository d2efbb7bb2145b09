//! Products with matrices that are not trained.

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Storage, Tensor};

/// x·Wᵀ + b with fixed W and b.
#[derive(Debug)]
pub(super) struct Fixed {
    /// `(out, in)`.
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Fixed {
    pub(super) fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// `(tokens, in)` to `(tokens, out)`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let product = x.contiguous()?.apply_op1(Times(self.weight.clone()))?;
        match &self.bias {
            Some(bias) => product.broadcast_add(bias),
            None => Ok(product),
        }
    }
}

/// x·Wᵀ. Its backward pass computes no gradient of W, which candle's product does for every operand: a third of the work.
struct Times(Tensor);

impl CustomOp1 for Times {
    fn name(&self) -> &'static str {
        "times"
    }

    fn cpu_fwd(&self, x: &CpuStorage, at: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = &x.as_slice::<f32>()?[at.start_offset()..][..at.shape().elem_count()];
        let product = Tensor::from_slice(values, at.shape(), &Device::Cpu)?.matmul(&self.0.t()?)?;
        let (storage, _) = product.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { candle_core::bail!("a product that is not on the CPU") };
        Ok((storage.clone(), product.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(gradient.contiguous()?.matmul(&self.0)?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;

    #[test]
    fn value_and_gradient_are_those_of_candle_s_product() {
        let random = |rows: usize, columns: usize, seed: u64| {
            Tensor::from_vec(crate::testing::random(rows * columns, seed), (rows, columns), &Device::Cpu)
                .unwrap()
        };
        let (weight, bias) = (random(5, 7, 1), random(1, 5, 2).squeeze(0).unwrap());
        let x = Var::from_tensor(&random(3, 7, 3)).unwrap();
        let fixed = Fixed::new(weight.clone(), Some(bias.clone()));
        let ours = fixed.forward(&x).unwrap();
        let theirs = x.matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
        let gradient =
            |y: &Tensor| y.sqr().unwrap().sum_all().unwrap().backward().unwrap().remove(&x).unwrap();
        let all = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (a, b) in [(gradient(&ours), gradient(&theirs)), (ours, theirs)] {
            assert!(all(a).iter().zip(all(b)).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }
}
