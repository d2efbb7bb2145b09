//! Sharpness-aware minimisation: where the gradient of a step is taken, and which of its parts.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the radius ρ of [`TrainConfig::sam`](crate::TrainConfig::sam) changes a step's gradient; with ρ = 0 every form is plain AdamW, to
/// the bit.
///
/// The papers write of logits; here the logits of an example, a question q with its documents d_j, are f_j = τ·cos(q, d_j). Its loss is
/// ℓ = log Σ_j e^{f_j} − log Σ_{j∈P} e^{f_j} over its documents and its positives P, and the gradient
/// ∇ℓ = Σ_j w_j·∇f_j, with w_j = ∂ℓ/∂f_j = p_j − π_j: p is the softmax of f over all documents of the example, π that over its positives,
/// 0 for its negatives. The w_j are the loss weights, and ∇f_j the rows of the Jacobian. With one positive and one negative, w is
/// ∓σ(f⁻ − f⁺): binary cross-entropy on the difference of two logits.
///
/// | form | gradient of a step on a batch of B examples | source |
/// | --- | --- | --- |
/// | `sam` | ∇L(θ + ε), ε = ρ·∇L/‖∇L‖, L the mean loss of the batch | Foret et al., 2021, <https://arxiv.org/abs/2010.01412> |
/// | `asam` | the same with ε = ρ·T²·∇L/‖T·∇L‖, T = \|θ\| + 0.01 for each weight and 1 for each bias | Kwon et al., 2021, <https://arxiv.org/abs/2102.11600> |
/// | `one-sam` | mean over examples of ∇ℓ_i(θ + ε_i), ε_i = ρ·∇ℓ_i/‖∇ℓ_i‖ | Baek et al., 2024, <https://arxiv.org/abs/2405.03676> |
/// | `one-sam-logits` | its logit part: mean of Σ_j w_j(θ + ε_i)·∇f_j(θ) | Baek et al. |
/// | `one-sam-jacobian` | its Jacobian part: mean of Σ_j w_j(θ)·∇f_j(θ + ε_i) | Baek et al. |
/// | `penalty` | ∇(L + mean of R_i), R_i below | derived here after Baek et al., sec. 4 |
///
/// **The penalty.** To first order in ρ the Jacobian part is the gradient of ℓ_i + ρ·‖Σ_j w_j·∇f_j‖ with w held fixed. In a linear
/// network of two layers, f = ⟨v, z⟩, that norm is |w|·√(‖z‖² + ‖v‖²) for inputs of length 1: a penalty on the last activations z and the
/// last layer v. Here the question's vector q̂ is the last activation and the vectors τ·d̂_j are the last layer, and as both have unit
/// length only the parts count that turn them:
///
/// R_i = ρ·τ·√( ‖(I − q̂q̂ᵀ)·Σ_j w_j·d̂_j‖² + Σ_j w_j²·(1 − cos²(q, d_j)) ), with w held fixed,
///
/// the norm of ∂ℓ/∂(q̂, d̂_1, d̂_2, …) within the spheres. It needs one pass, where the Jacobian part needs two.
///
/// A head y = W·x has W = I + M, and `asam` takes |θ| of W. `one-sam` and its parts have no [`anchor`](crate::TrainConfig::anchor) term,
/// which is no example's loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharpness {
    /// One perturbation of the batch.
    #[default]
    Sam,
    /// The same in proportion to each weight.
    Asam,
    /// One perturbation per example.
    OneSam,
    /// Its loss weights alone.
    OneSamLogits,
    /// Its Jacobian alone.
    OneSamJacobian,
    /// A penalty that imitates its Jacobian.
    Penalty,
}

impl Sharpness {
    /// All forms.
    pub const ALL: [Self; 6] =
        [Self::Sam, Self::Asam, Self::OneSam, Self::OneSamLogits, Self::OneSamJacobian, Self::Penalty];

    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sam => "sam",
            Self::Asam => "asam",
            Self::OneSam => "one-sam",
            Self::OneSamLogits => "one-sam-logits",
            Self::OneSamJacobian => "one-sam-jacobian",
            Self::Penalty => "penalty",
        }
    }

    /// Whether every example has a perturbation of its own.
    pub fn is_per_example(self) -> bool {
        matches!(self, Self::OneSam | Self::OneSamLogits | Self::OneSamJacobian)
    }

    /// Whether this is the default, which is left out of settings.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
    pub(crate) fn is_sam(&self) -> bool {
        *self == Self::Sam
    }
}

impl fmt::Display for Sharpness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_written_as_it_is_read() {
        for form in Sharpness::ALL {
            let read: Sharpness = serde_json::from_value(form.name().into()).unwrap();
            assert_eq!((read, read.to_string().as_str()), (form, form.name()));
        }
    }
}
