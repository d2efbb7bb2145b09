//! Training on examples, epoch by epoch.

mod direction;
mod examples;
mod run;
#[cfg(test)]
mod tests;
mod training;
mod watch;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use ragbias_core::{ContentHasher, Progress, Unit};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

pub use self::training::{Diverged, Epoch, Trained, Training};
pub use self::watch::AfterEpoch;

use self::examples::Placed;
use self::run::Run;
use crate::optimiser::{AdamW, rate};
use crate::trainable::Trainable;
use crate::weights::Weights;
use crate::{Error, Result};

impl Training<'_> {
    /// Trains. If `state` names a file, the training state is written there after every epoch, and resumed from there if it exists.
    ///
    /// # Errors
    /// Settings out of range, before any work; a state of another training; failures of the encoder.
    pub fn run(&self, state: Option<&Path>, progress: &dyn Progress) -> Result<Trained> {
        self.epochs(state, progress, |_| Ok::<_, Error>(ControlFlow::Continue(())))
    }

    /// Trains, and shows the training after every epoch to `watch`, which may end it there.
    ///
    /// # Errors
    /// As for [`Training::run`], and those of `watch`.
    pub fn watched<E: From<Error>>(
        &self,
        progress: &dyn Progress,
        watch: impl FnMut(&mut AfterEpoch<'_, '_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<Trained, E> {
        self.epochs(None, progress, watch)
    }

    fn epochs<E: From<Error>>(
        &self,
        state: Option<&Path>,
        progress: &dyn Progress,
        mut watch: impl FnMut(&mut AfterEpoch<'_, '_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<Trained, E> {
        self.config.check(self.base.layers())?;
        self.base.check(self.config.scope)?;
        let trainable = Trainable::new(self.base, self.config)?;
        let (examples, validation) = (self.place(self.examples)?, self.place(self.validation)?);
        let anchors = self.anchors()?;
        let mut run = Run {
            training: self,
            optimiser: AdamW::new(trainable.values(), self.config.weight_decay)?,
            trainable,
            anchors,
            curve: Vec::new(),
            best: None,
        };
        if let Some(path) = state.filter(|path| path.is_file()) {
            match run.load(path) {
                // Another process has just made what this state is of, and removed it.
                Err(_) if !path.exists() => {}
                loaded => loaded?,
            }
        }
        let batches = examples.len().div_ceil(self.config.batch);
        let steps = self.config.epochs * batches;
        let step = progress.begin("training", steps as u64, Unit::Items);
        step.advance((run.curve.len() * batches) as u64);
        let mut diverged = None;
        'epochs: for epoch in run.curve.len()..self.config.epochs {
            if run.is_out_of_patience() {
                break;
            }
            let mut order: Vec<usize> = (0..examples.len()).collect();
            let seed = ContentHasher::new("epoch/1")
                .field(self.config.seed.to_le_bytes())
                .field((epoch as u64).to_le_bytes())
                .finish();
            order.shuffle(&mut ChaCha8Rng::from_seed(*seed.as_bytes()));
            let begun = Instant::now();
            let before = run.trainable.values().clone();
            let mut losses = 0.0;
            for (number, batch) in order.chunks(self.config.batch).enumerate() {
                let batch: Vec<&Placed> = batch.iter().map(|&place| &examples[place]).collect();
                let done = epoch * batches + number;
                let loss = run.step(&batch, done, rate(self.config, done, steps))?;
                if !loss.is_finite() {
                    run.trainable.set(before);
                    diverged = Some(Diverged { epoch: epoch + 1, batch: number + 1 });
                    break 'epochs;
                }
                losses += loss;
                step.advance(1);
            }
            let watched = if validation.is_empty() { None } else { Some(run.loss(&validation)?) };
            let seconds = begun.elapsed().as_secs_f64();
            run.end_epoch(Epoch { loss: losses / batches as f64, validation: watched, seconds });
            if let Some(path) = state {
                run.save(path)?;
            }
            if watch(&mut AfterEpoch { run: &mut run, examples: &examples })?.is_break() {
                break;
            }
        }
        if let Some((_, best)) = run.best.take() {
            run.trainable.set(best);
        }
        Ok(Trained { weights: Weights::of(&run.trainable)?, curve: run.curve, diverged })
    }
}
