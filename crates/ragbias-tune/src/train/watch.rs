//! A training as it is seen after each of its epochs.

use super::examples::Placed;
use super::run::Run;
use crate::Result;
use crate::weights::Weights;

/// A training after one of its epochs.
pub struct AfterEpoch<'r, 'a> {
    pub(super) run: &'r mut Run<'a>,
    pub(super) examples: &'r [Placed],
}

impl AfterEpoch<'_, '_> {
    /// Number of epochs that are done, from 1.
    pub fn epochs(&self) -> usize {
        self.run.curve.len()
    }

    /// The weights now, which are not those of the best epoch.
    ///
    /// # Errors
    /// Failures of tensors.
    pub fn weights(&self) -> Result<Weights> {
        Weights::of(&self.run.trainable)
    }

    /// The share of the gradient that some of the examples contribute: ‖G_s‖ / (‖G_s‖ + ‖G_o‖), where G_s is the sum over the selected
    /// examples, and G_o that over the others, of what each adds to the direction of a step on all training examples as one batch, before
    /// clipping and without the anchor term. With SAM and ASAM this is the gradient at the values perturbed by all examples; with forms per
    /// example, each at its own. None if there are no examples of a kind, or both sums are 0.
    ///
    /// `selected` has a value per training example.
    ///
    /// # Errors
    /// Failures of the encoder.
    pub fn gradient_share(&mut self, selected: &[bool]) -> Result<Option<f64>> {
        let examples = self.examples;
        let of = |wanted: bool| -> Vec<&Placed> {
            let pairs = examples.iter().zip(selected);
            pairs.filter(|(_, is)| **is == wanted).map(|(example, _)| example).collect()
        };
        let groups = [of(true), of(false)];
        if groups.iter().any(Vec::is_empty) {
            return Ok(None);
        }
        let norms = self.without_anchors(|run| run.norms_of_groups(&groups))?;
        let total = norms[0] + norms[1];
        Ok((total > 0.0).then(|| norms[0] / total))
    }

    /// The importance of each training example: the share of its softmax over positives and negatives that its negatives have, which is
    /// half of Σ|∂ℓ/∂f| over its scores f, where the form of [`Sharpness`](crate::Sharpness) takes its loss weights; in [0, 1].
    ///
    /// # Errors
    /// Failures of the encoder.
    pub fn importance(&mut self) -> Result<Vec<f64>> {
        let examples = self.examples;
        let examples: Vec<&Placed> = examples.iter().collect();
        self.without_anchors(|run| run.residuals(&examples))
    }

    /// The anchor term is no example's.
    fn without_anchors<T>(&mut self, work: impl FnOnce(&mut Run<'_>) -> Result<T>) -> Result<T> {
        let anchors = self.run.anchors.take();
        let result = work(self.run);
        self.run.anchors = anchors;
        result
    }
}
