use candle_core::{D, Tensor};

use crate::Result;

/// Far below every τ·cos: its exponential is 0 in f32.
const NEVER: f64 = -1e4;

/// The scores τ·cos(q, d) of a batch, and which documents are whose.
///
/// A document that belongs to several questions occurs once.
pub(crate) struct Scored {
    /// `(questions, dim)`, rows of unit length.
    questions: Tensor,
    /// `(documents, dim)`, rows of unit length.
    documents: Tensor,
    /// `(questions, documents)`.
    scores: Tensor,
    /// `(questions, documents)`: 1 for the question's d⁺, else 0.
    positives: Tensor,
    /// The same for its d⁻.
    negatives: Tensor,
    scale: f64,
}

impl Scored {
    /// From unit vectors, masks and τ.
    pub(crate) fn new(
        questions: Tensor,
        documents: Tensor,
        (positives, negatives): (Tensor, Tensor),
        scale: f64,
    ) -> Result<Self> {
        let scores = (questions.matmul(&documents.t()?)? * scale)?;
        Ok(Self { questions, documents, scores, positives, negatives, scale })
    }

    /// The contrastive loss, a scalar: mean over questions of
    /// −log( Σe^{τ·cos(q,d⁺)} / (Σe^{τ·cos(q,d⁺)} + Σe^{τ·cos(q,d⁻)}) ).
    pub(crate) fn loss(&self) -> Result<Tensor> {
        let both = log_sum_exp(&self.only(&(&self.positives + &self.negatives)?)?)?;
        Ok((both - log_sum_exp(&self.only(&self.positives)?)?)?.mean_all()?)
    }

    /// The loss weights w = ∂ℓ/∂f of each question's loss ℓ by its scores f, `(questions, documents)`, without a gradient: the softmax over
    /// its documents less that over its positives.
    pub(crate) fn weights(&self) -> Result<Tensor> {
        let both = softmax(&self.only(&(&self.positives + &self.negatives)?)?)?;
        Ok((both - softmax(&self.only(&self.positives)?)?)?.detach())
    }

    /// The share of each question's softmax that its negatives have, `(questions,)`: half of Σ|w|.
    pub(crate) fn residuals(&self) -> Result<Tensor> {
        let both = softmax(&self.only(&(&self.positives + &self.negatives)?)?)?;
        Ok((both * &self.negatives)?.sum(D::Minus1)?.detach())
    }

    /// Mean over questions of Σ w·f, a scalar whose gradient is that of the loss with these weights in place of its own.
    pub(crate) fn weighted(&self, weights: &Tensor) -> Result<Tensor> {
        Ok((&self.scores * weights)?.sum(D::Minus1)?.mean_all()?)
    }

    /// Mean over questions of τ·√( ‖(I − q̂q̂ᵀ)·Σ w·d̂‖² + Σ w²·(1 − cos²) ), a scalar, with the loss weights w held fixed; see
    /// [`Sharpness`](crate::Sharpness).
    pub(crate) fn tangent(&self) -> Result<Tensor> {
        let weights = self.weights()?;
        let sum = weights.matmul(&self.documents)?;
        let along = (&sum * &self.questions)?.sum_keepdim(D::Minus1)?;
        let across = (&sum - self.questions.broadcast_mul(&along)?)?;
        // Rounding may give a cosine above 1.
        let sines = (&self.scores / self.scale)?.sqr()?.affine(-1.0, 1.0)?.relu()?;
        let squares = (across.sqr()?.sum(D::Minus1)? + (weights.sqr()? * sines)?.sum(D::Minus1)?)?;
        // At 0 a root has no gradient.
        Ok(((squares + 1e-20)?.sqrt()?.mean_all()? * self.scale)?)
    }

    /// The scores of a mask, and values far below them elsewhere.
    fn only(&self, mask: &Tensor) -> Result<Tensor> {
        Ok((&self.scores + mask.affine(-NEVER, NEVER)?)?)
    }
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

/// The softmax of each row, of operators that have a backward pass.
fn softmax(x: &Tensor) -> Result<Tensor> {
    let powers = x.broadcast_sub(&x.max_keepdim(D::Minus1)?)?.exp()?;
    Ok(powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)?)
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
        let (positives, negatives) = (tensor([[1.0, 1.0, 0.0, 0.0]]), tensor([[0.0, 0.0, 1.0, 0.0]]));
        let scored = Scored::new(question, documents, (positives, negatives), 2.0).unwrap();
        let loss = scored.loss().unwrap().to_scalar::<f32>().unwrap();
        let (up, down) = (1.2_f64.exp() + 1.6_f64.exp(), 1.0);
        assert!((f64::from(loss) + (up / (up + down)).ln()).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn a_large_scale_does_not_overflow() {
        let question = tensor([[1.0, 0.0]]);
        let documents = tensor([[1.0, 0.0], [-1.0, 0.0]]);
        let loss = |positives, negatives| {
            let masks = (positives, negatives);
            let scored = Scored::new(question.clone(), documents.clone(), masks, 500.0).unwrap();
            scored.loss().unwrap().to_scalar::<f32>().unwrap()
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
