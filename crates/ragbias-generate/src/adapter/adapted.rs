//! Products with a fixed matrix and its low-rank adapter.

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Storage, Tensor};

use super::Pair;

/// x·(W + scale·B·A)ᵀ + b with fixed W and b.
#[derive(Debug)]
pub(super) struct Adapted {
    /// `(out, in)`.
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Adapted {
    pub(super) fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// `(tokens, in)` to `(tokens, out)`, differentiable in x, A and B.
    pub(super) fn forward(&self, x: &Tensor, Pair { a, b }: &Pair, scale: f64) -> Result<Tensor> {
        let change = (b.detach().matmul(&a.detach())? * scale)?;
        let product = Product { weight: (&self.weight + change)?, scale };
        let product = x.contiguous()?.apply_op3(a, b, product)?;
        match &self.bias {
            Some(bias) => product.broadcast_add(bias),
            None => Ok(product),
        }
    }
}

/// x·Wᵀ of the adapted W. Its backward pass computes no gradient of W, which candle's product does for every operand, and is a
/// third of the work; those of A and B are of their rank.
struct Product {
    weight: Tensor,
    scale: f64,
}

impl CustomOp3 for Product {
    fn name(&self) -> &'static str {
        "adapted product"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        at: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let values = &x.as_slice::<f32>()?[at.start_offset()..][..at.shape().elem_count()];
        let product = Tensor::from_slice(values, at.shape(), &Device::Cpu)?.matmul(&self.weight.t()?)?;
        let (storage, _) = product.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { candle_core::bail!("a product that is not on the CPU") };
        Ok((storage.clone(), product.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (x, a, b, gradient) = (x.detach(), a.detach(), b.detach(), gradient.contiguous()?);
        let of_x = gradient.matmul(&self.weight)?;
        let of_a = (gradient.matmul(&b)?.t()?.matmul(&x)? * self.scale)?;
        let of_b = (gradient.t()?.matmul(&x.matmul(&a.t()?)?)? * self.scale)?;
        Ok((Some(of_x), Some(of_a), Some(of_b)))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;

    #[test]
    fn value_and_gradients_are_those_of_candle_s_products() {
        let random = |rows: usize, columns: usize, seed: u64| {
            Tensor::from_vec(crate::testing::random(rows * columns, seed), (rows, columns), &Device::Cpu)
                .unwrap()
        };
        let (weight, bias) = (random(5, 7, 1), random(1, 5, 2).squeeze(0).unwrap());
        let [x, a, b] = [(3, 7, 3), (2, 7, 4), (5, 2, 5)]
            .map(|(rows, columns, seed)| Var::from_tensor(&random(rows, columns, seed)).unwrap());
        let pair = Pair { a: a.as_tensor().clone(), b: b.as_tensor().clone() };
        let ours = Adapted::new(weight.clone(), Some(bias.clone())).forward(&x, &pair, 0.7).unwrap();
        let adapted = (weight + (b.matmul(&a).unwrap() * 0.7).unwrap()).unwrap();
        let theirs = x.matmul(&adapted.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
        let all = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let close = |a: &Tensor, b: &Tensor| all(a).iter().zip(all(b)).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(close(&ours, &theirs));
        let [ours, theirs] = [ours, theirs].map(|y| y.sqr().unwrap().sum_all().unwrap().backward().unwrap());
        for variable in [&x, &a, &b] {
            assert!(close(ours.get(variable).unwrap(), theirs.get(variable).unwrap()));
        }
    }
}
