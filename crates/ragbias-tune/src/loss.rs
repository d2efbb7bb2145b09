use candle_core::{D, Tensor};

use crate::Result;

/// Far below every τ·cos: its exponential is 0 in f32.
const NEVER: f64 = -1e4;

/// The contrastive loss of a batch, a scalar: mean over questions of
/// −log( Σe^{τ·cos(q,d⁺)} / (Σe^{τ·cos(q,d⁺)} + Σe^{τ·cos(q,d⁻)}) ).
///
/// `questions` is `(questions, dim)` and `documents` `(documents, dim)`, rows of unit length; a document that belongs to
/// several questions occurs once. `near` and `away` are `(questions, documents)` masks of positives and negatives: 1 for
/// the question's d⁺ or d⁻, else 0.
pub(crate) fn contrastive(
    questions: &Tensor,
    documents: &Tensor,
    near: &Tensor,
    away: &Tensor,
    scale: f64,
) -> Result<Tensor> {
    let scores = (questions.matmul(&documents.t()?)? * scale)?;
    let only = |mask: &Tensor| -> Result<Tensor> { Ok((&scores + mask.affine(-NEVER, NEVER)?)?) };
    let both = log_sum_exp(&only(&(near + away)?)?)?;
    Ok((both - log_sum_exp(&only(near)?)?)?.mean_all()?)
}

/// The anchor term, a scalar: mean of 1 − cos between new and old vectors of the same texts, `(texts, dim)`, unit rows.
pub(crate) fn anchor(new: &Tensor, old: &Tensor) -> Result<Tensor> {
    let cosines = (new * old)?.sum(D::Minus1)?;
    Ok(cosines.affine(-1.0, 1.0)?.mean_all()?)
}

/// log Σ e^x of each row, `(rows,)`.
fn log_sum_exp(x: &Tensor) -> Result<Tensor> {
    let largest = x.max_keepdim(D::Minus1)?.detach();
    let sum = x.broadcast_sub(&largest)?.exp()?.sum(D::Minus1)?;
    Ok((sum.log()? + largest.squeeze(D::Minus1)?)?)
}

/// Rows of unit length.
pub(crate) fn normalised(x: &Tensor) -> Result<Tensor> {
    Ok(x.broadcast_div(&x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn tensor<const R: usize, const C: usize>(rows: [[f32; C]; R]) -> Tensor {
        Tensor::new(&rows, &Device::Cpu).unwrap()
    }

    #[test]
    fn the_loss_is_that_of_the_formula() {
        // τ = 2; cosines of the one question: 0.6, 0.8 (positives), 0.0 (negative), −1 (unused).
        let question = tensor([[1.0, 0.0]]);
        let documents = tensor([[0.6, 0.8], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]]);
        let (near, away) = (tensor([[1.0, 1.0, 0.0, 0.0]]), tensor([[0.0, 0.0, 1.0, 0.0]]));
        let loss = contrastive(&question, &documents, &near, &away, 2.0).unwrap().to_scalar::<f32>().unwrap();
        let (up, down) = (1.2_f64.exp() + 1.6_f64.exp(), 1.0);
        assert!((f64::from(loss) + (up / (up + down)).ln()).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn a_large_scale_does_not_overflow() {
        let question = tensor([[1.0, 0.0]]);
        let documents = tensor([[1.0, 0.0], [-1.0, 0.0]]);
        let loss = |near, away| {
            contrastive(&question, &documents, &near, &away, 500.0).unwrap().to_scalar::<f32>().unwrap()
        };
        let (first, second) = (tensor([[1.0, 0.0]]), tensor([[0.0, 1.0]]));
        assert_eq!(loss(first.clone(), second.clone()), 0.0);
        assert!((loss(second, first) - 1000.0).abs() < 1e-3);
    }

    #[test]
    fn the_anchor_of_unmoved_vectors_is_0() {
        let x = normalised(&tensor([[3.0, 4.0], [1.0, -2.0]])).unwrap();
        assert!(anchor(&x, &x).unwrap().to_scalar::<f32>().unwrap().abs() < 1e-6);
    }
}
