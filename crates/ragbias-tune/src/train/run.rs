//! A training in progress: its steps, its losses, and its state in a file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Tensor, Var};
use ragbias_embed::Encoder;
use ragbias_files::write_file;

use super::examples::{Batch, Placed};
use super::training::{Epoch, Training};
use crate::loss::{Scored, anchor};
use crate::optimiser::{AdamW, clip, norm};
use crate::texts::finish;
use crate::trainable::{HEAD, Trainable, Values};
use crate::{Error, Result};

/// Anchor texts of one step.
const ANCHORS_PER_STEP: usize = 16;

/// What the gradients of a batch are of.
pub(super) enum Objective {
    /// Its loss, with the anchor term.
    Loss,
    /// Its loss, and a [penalty](crate::Sharpness) of this radius.
    Penalised(f64),
    /// Its scores with these loss weights, of a single example: `(1, documents)`.
    Weighted(Tensor),
}

/// Adds gradients to a sum.
pub(super) fn add(sum: &mut Values, gradients: Values) -> Result<()> {
    for (name, gradient) in gradients {
        let added = match sum.remove(&name) {
            Some(before) => (before + gradient)?,
            None => gradient,
        };
        sum.insert(name, added.detach());
    }
    Ok(())
}

/// A training in progress.
pub(super) struct Run<'a> {
    pub(super) training: &'a Training<'a>,
    pub(super) trainable: Trainable,
    pub(super) optimiser: AdamW,
    pub(super) anchors: Option<(Vec<usize>, Tensor)>,
    pub(super) curve: Vec<Epoch>,
    /// The epoch with the best validation loss, from 0, and its variables.
    pub(super) best: Option<(usize, Values)>,
}

impl Run<'_> {
    /// One step; returns the loss before it.
    pub(super) fn step(&mut self, batch: &[&Placed], number: usize, rate: f64) -> Result<f64> {
        let (loss, gradients) = self.direction(batch, number)?;
        if !loss.is_finite() {
            return Ok(loss);
        }
        let scale = clip(norm(&gradients)?, self.training.config.clip);
        let after = self.optimiser.step(self.trainable.values(), &gradients, scale, rate)?;
        self.trainable.set(after);
        Ok(loss)
    }

    /// Loss of a batch, and the gradients of an objective, computed in `accumulate` parts.
    pub(super) fn gradients(
        &self,
        batch: &[&Placed],
        number: usize,
        objective: &Objective,
    ) -> Result<(f64, Values)> {
        let training = self.training;
        let encoder = self.encoder()?;
        let needed = self.trainable.needed();
        let mut total = 0.0;
        let mut sum = Values::new();
        for part in batch.chunks(batch.len().div_ceil(training.config.accumulate)) {
            let part = Batch::new(part);
            let mut places = part.places.clone();
            let anchors = self.anchors_of_step(number)?;
            if let Some((anchors, _)) = &anchors {
                places.extend(anchors);
            }
            // The vectors are leaves of the loss's graph; the tape continues the backward pass from their gradient.
            let (vectors, tape) = training.texts.record(&encoder, &training.base.device, &places, &needed)?;
            let leaf = Var::from_tensor(&vectors)?;
            let head = self.trainable.head().map(Var::from_tensor).transpose()?;
            let unit = finish(leaf.as_tensor(), head.as_ref().map(Var::as_tensor))?;
            let scored = self.scored(&unit.narrow(0, 0, part.places.len())?, &part)?;
            let mut loss = scored.loss()?;
            if let Some((anchors, old)) = &anchors {
                let new = unit.narrow(0, part.places.len(), anchors.len())?;
                loss = (loss + (anchor(&new, old)? * training.config.anchor)?)?;
            }
            let share = part.examples.len() as f64 / batch.len() as f64;
            total += f64::from((&loss * share)?.to_scalar::<f32>()?);
            let objective = match objective {
                Objective::Loss => loss,
                Objective::Penalised(radius) => (loss + (scored.tangent()? * *radius)?)?,
                Objective::Weighted(weights) => scored.weighted(weights)?,
            };
            let mut store = (objective * share)?.backward()?;
            let mut gradients = match (tape, store.remove(&leaf)) {
                (Some(tape), Some(gradient)) => self.trainable.gradients(tape.backward(&gradient)?)?,
                _ => Values::new(),
            };
            if let Some(gradient) = head.and_then(|head| store.remove(&head)) {
                gradients.insert(HEAD.to_owned(), gradient);
            }
            add(&mut sum, gradients)?;
        }
        Ok((total, sum))
    }

    /// The encoder with the current values.
    fn encoder(&self) -> Result<Encoder> {
        let base = self.training.base.embedder.encoder();
        if self.trainable.head().is_some() {
            Ok(base.clone())
        } else {
            Ok(base.with(&self.trainable.parameters()?)?)
        }
    }

    /// The anchor texts of a step, and their old vectors.
    fn anchors_of_step(&self, number: usize) -> Result<Option<(Vec<usize>, Tensor)>> {
        let Some((places, old)) = &self.anchors else { return Ok(None) };
        let first = number * ANCHORS_PER_STEP;
        let rows: Vec<u32> =
            (first..first + ANCHORS_PER_STEP.min(places.len())).map(|i| (i % places.len()) as u32).collect();
        let places = rows.iter().map(|&row| places[row as usize]).collect();
        Ok(Some((places, old.index_select(&Tensor::new(rows, &self.training.base.device)?, 0)?)))
    }

    /// The scores of a batch, from the unit vectors of its questions and documents.
    fn scored(&self, vectors: &Tensor, batch: &Batch<'_>) -> Result<Scored> {
        let (questions, documents) = (batch.examples.len(), batch.places.len() - batch.examples.len());
        let mask = |of: fn(&Placed) -> &[usize]| -> Result<Tensor> {
            let mut values = vec![0_f32; questions * documents];
            for (row, example) in batch.examples.iter().enumerate() {
                for place in of(example) {
                    values[row * documents + batch.columns[place]] = 1.0;
                }
            }
            Ok(Tensor::from_vec(values, (questions, documents), &self.training.base.device)?)
        };
        Scored::new(
            vectors.narrow(0, 0, questions)?,
            vectors.narrow(0, questions, documents)?,
            (mask(|example| &example.positives)?, mask(|example| &example.negatives)?),
            self.training.config.scale,
        )
    }

    /// The scores of some examples with the current values, without gradients.
    pub(super) fn scores(&self, examples: &[&Placed]) -> Result<Scored> {
        let encoder = self.encoder()?;
        let batch = Batch::new(examples);
        let vectors = self.training.texts.vectors(&encoder, &self.training.base.device, &batch.places)?;
        self.scored(&finish(&vectors, self.trainable.head())?, &batch)
    }

    /// The mean loss of examples, without gradients.
    pub(super) fn loss(&self, examples: &[Placed]) -> Result<f64> {
        let mut total = 0.0;
        for batch in examples.chunks(self.training.config.batch) {
            let loss = self.scores(&batch.iter().collect::<Vec<_>>())?.loss()?;
            total += f64::from(loss.to_scalar::<f32>()?) * batch.len() as f64;
        }
        Ok(total / examples.len() as f64)
    }

    pub(super) fn end_epoch(&mut self, epoch: Epoch) {
        let best = self.best.as_ref().and_then(|(number, _)| self.curve[*number].validation);
        if best.is_none_or(|best| epoch.validation.is_some_and(|loss| loss < best)) {
            self.best = Some((self.curve.len(), self.trainable.values().clone()));
        }
        self.curve.push(epoch);
    }

    pub(super) fn is_out_of_patience(&self) -> bool {
        match (self.training.config.patience, &self.best) {
            (Some(patience), Some((best, _))) => self.curve.len() - 1 - best >= patience,
            _ => false,
        }
    }

    /// Writes the complete training state, atomically.
    pub(super) fn save(&self, path: &Path) -> Result<()> {
        let device = &self.training.base.device;
        let mut tensors: HashMap<String, Tensor> = HashMap::new();
        let prefixed = |prefix: &str, all: BTreeMap<String, Tensor>| {
            all.into_iter().map(|(name, tensor)| (format!("{prefix}.{name}"), tensor)).collect::<Vec<_>>()
        };
        tensors.extend(prefixed("variable", self.trainable.values().clone()));
        let (steps, moments) = self.optimiser.state();
        tensors.extend(prefixed("moment", moments));
        let mut best_epoch = -1;
        if let Some((epoch, best)) = &self.best {
            best_epoch = i64::try_from(*epoch).unwrap_or(-1);
            tensors.extend(prefixed("best", best.clone()));
        }
        let numbers = |epoch: &Epoch| [epoch.loss, epoch.validation.unwrap_or(f64::NAN), epoch.seconds];
        let curve: Vec<f64> = self.curve.iter().flat_map(numbers).collect();
        tensors.insert("curve".into(), Tensor::new(curve, device)?);
        tensors.insert("steps".into(), Tensor::new(&[i64::from(steps), best_epoch], device)?);
        tensors.insert("id".into(), Tensor::new(self.training.id()?.as_bytes().as_slice(), device)?);
        // candle's own `save` puts another file in the place of the temporary one, which another process could then take for abandoned.
        let bytes = safetensors::serialize(&tensors, None).map_err(candle_core::Error::from)?;
        Ok(write_file(path, bytes)?)
    }

    pub(super) fn load(&mut self, path: &Path) -> Result<()> {
        let wrong = |reason: &str| Error::State { path: path.into(), reason: reason.into() };
        let tensors = candle_core::safetensors::load(path, &self.training.base.device)
            .map_err(|_| wrong("not a whole file of a training's state"))?;
        let get = |name: &str| tensors.get(name).ok_or_else(|| wrong("not a training's state"));
        if get("id")?.to_vec1::<u8>()? != self.training.id()?.as_bytes() {
            return Err(wrong("the state of another training: its base, settings or examples differ"));
        }
        let with_prefix = |prefix: &str| -> BTreeMap<String, Tensor> {
            let names = tensors.iter().filter_map(|(name, tensor)| {
                Some((name.strip_prefix(prefix)?.strip_prefix('.')?.to_owned(), tensor.clone()))
            });
            names.collect()
        };
        let variables = with_prefix("variable");
        if !self.trainable.values().keys().eq(variables.keys()) {
            return Err(wrong("its variables are not those that are trained"));
        }
        self.trainable.set(variables);
        let steps = get("steps")?.to_vec1::<i64>()?;
        let &[steps, best] = steps.as_slice() else { return Err(wrong("no count of steps")) };
        let restored = self.optimiser.restore(steps as i32, &with_prefix("moment"));
        restored.ok_or_else(|| wrong("a moment is missing"))?;
        self.curve = get("curve")?
            .to_vec1::<f64>()?
            .chunks_exact(3)
            .map(|numbers| Epoch {
                loss: numbers[0],
                validation: Some(numbers[1]).filter(|loss| !loss.is_nan()),
                seconds: numbers[2],
            })
            .collect();
        self.best = usize::try_from(best).ok().map(|epoch| (epoch, with_prefix("best")));
        Ok(())
    }
}
