//! The gradient of a step, by the form of its sharpness.

use super::examples::Placed;
use super::run::{Objective, Run, add};
use crate::Result;
use crate::optimiser::norm;
use crate::perturbation::{adaptively_perturbed, perturbed};
use crate::sharpness::Sharpness;
use crate::trainable::Values;

impl Run<'_> {
    /// The loss of a batch, and the gradient that its step follows before clipping: that of the table of [`Sharpness`].
    pub(super) fn direction(&mut self, batch: &[&Placed], number: usize) -> Result<(f64, Values)> {
        let (form, radius) = self.form();
        match form {
            Some(Sharpness::Sam | Sharpness::Asam) => {
                let (loss, gradients) = self.gradients(batch, number, &Objective::Loss)?;
                if !loss.is_finite() {
                    return Ok((loss, gradients));
                }
                let there = self.perturbed(&gradients)?;
                let (_, gradients) = self.at(there, |run| run.gradients(batch, number, &Objective::Loss))?;
                Ok((loss, gradients))
            }
            Some(Sharpness::Penalty) => self.gradients(batch, number, &Objective::Penalised(radius)),
            Some(_) => self.per_example(batch, number),
            None => self.gradients(batch, number, &Objective::Loss),
        }
    }

    /// The form and its radius ρ; no form for ρ = 0.
    fn form(&self) -> (Option<Sharpness>, f64) {
        let config = self.training.config;
        ((config.sam > 0.0).then_some(config.sharpness), config.sam)
    }

    /// The values that the form perturbs these to, along a gradient.
    fn perturbed(&self, gradients: &Values) -> Result<Values> {
        let (form, radius) = self.form();
        let here = self.trainable.values();
        match form {
            Some(Sharpness::Asam) => adaptively_perturbed(here, gradients, radius),
            Some(_) => perturbed(here, gradients, radius),
            None => Ok(here.clone()),
        }
    }

    /// Work with other values.
    fn at<T>(&mut self, there: Values, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        let here = self.trainable.values().clone();
        self.trainable.set(there);
        let result = work(self);
        self.trainable.set(here);
        result
    }

    /// The mean over examples of the gradients of a form that perturbs for each.
    fn per_example(&mut self, batch: &[&Placed], number: usize) -> Result<(f64, Values)> {
        let form = self.training.config.sharpness;
        let share = 1.0 / batch.len() as f64;
        let mut total = 0.0;
        let mut sum = Values::new();
        for &example in batch {
            let one = [example];
            let (loss, gradients) = self.gradients(&one, number, &Objective::Loss)?;
            if !loss.is_finite() {
                return Ok((loss, gradients));
            }
            let there = perturbed(self.trainable.values(), &gradients, self.training.config.sam)?;
            let (_, gradients) = match form {
                Sharpness::OneSamLogits => {
                    let weights = self.at(there, |run| run.scores(&one)?.weights())?;
                    self.gradients(&one, number, &Objective::Weighted(weights))?
                }
                Sharpness::OneSamJacobian => {
                    let weights = self.scores(&one)?.weights()?;
                    self.at(there, |run| run.gradients(&one, number, &Objective::Weighted(weights)))?
                }
                _ => self.at(there, |run| run.gradients(&one, number, &Objective::Loss))?,
            };
            total += share * loss;
            add(&mut sum, scaled(gradients, share)?)?;
        }
        Ok((total, sum))
    }

    /// The norm of the sum over each group of examples of what they add to the direction of a step on all of them.
    pub(super) fn norms_of_groups(&mut self, groups: &[Vec<&Placed>]) -> Result<Vec<f64>> {
        let perturbs_all = matches!(self.form().0, Some(Sharpness::Sam | Sharpness::Asam));
        if perturbs_all {
            let there = self.perturbed_by_all(&groups.concat())?;
            return self.at(there, |run| groups.iter().map(|group| norm(&run.sum(group)?)).collect());
        }
        let mut norms = Vec::with_capacity(groups.len());
        for group in groups {
            let mut sum = Values::new();
            for batch in group.chunks(self.training.config.batch) {
                let (_, mean) = self.direction(batch, 0)?;
                add(&mut sum, scaled(mean, batch.len() as f64)?)?;
            }
            norms.push(norm(&sum)?);
        }
        Ok(norms)
    }

    /// For each example, the share of its softmax that its negatives have, where the form takes its loss weights.
    pub(super) fn residuals(&mut self, examples: &[&Placed]) -> Result<Vec<f64>> {
        let of = |run: &Self, examples: &[&Placed]| -> Result<Vec<f64>> {
            let mut residuals = Vec::with_capacity(examples.len());
            for batch in examples.chunks(run.training.config.batch) {
                let values = run.scores(batch)?.residuals()?.to_vec1::<f32>()?;
                residuals.extend(values.into_iter().map(f64::from));
            }
            Ok(residuals)
        };
        match self.form().0 {
            Some(Sharpness::Sam | Sharpness::Asam) => {
                let there = self.perturbed_by_all(examples)?;
                self.at(there, |run| of(run, examples))
            }
            Some(Sharpness::OneSam | Sharpness::OneSamLogits) => {
                let mut residuals = Vec::with_capacity(examples.len());
                for &example in examples {
                    let (_, gradients) = self.gradients(&[example], 0, &Objective::Loss)?;
                    let there = self.perturbed(&gradients)?;
                    residuals.extend(self.at(there, |run| of(run, &[example]))?);
                }
                Ok(residuals)
            }
            _ => of(self, examples),
        }
    }

    /// The values perturbed along the gradient of all examples.
    fn perturbed_by_all(&self, examples: &[&Placed]) -> Result<Values> {
        self.perturbed(&self.sum(examples)?)
    }

    /// The sum of the examples' gradients, batch by batch.
    fn sum(&self, examples: &[&Placed]) -> Result<Values> {
        let mut sum = Values::new();
        for batch in examples.chunks(self.training.config.batch) {
            let (_, mean) = self.gradients(batch, 0, &Objective::Loss)?;
            add(&mut sum, scaled(mean, batch.len() as f64)?)?;
        }
        Ok(sum)
    }
}

/// A multiple of gradients.
fn scaled(gradients: Values, factor: f64) -> Result<Values> {
    gradients.into_iter().map(|(name, gradient)| Ok((name, (gradient * factor)?))).collect()
}
