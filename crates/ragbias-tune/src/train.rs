use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::time::Instant;

use candle_core::{Tensor, Var};
use ragbias_core::{ContentHasher, ContentId, Corpus, Progress, Role, Unit};
use ragbias_embed::Encoder;
use ragbias_files::write_file_at;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::base::Base;
use crate::config::TrainConfig;
use crate::loss::{anchor, contrastive};
use crate::mine::Example;
use crate::optimiser::{AdamW, clip, norm, rate};
use crate::texts::{Texts, finish};
use crate::trainable::{HEAD, Trainable, Values};
use crate::weights::Weights;
use crate::{Error, Result};

/// A training: its base, settings and data.
pub struct Training<'a> {
    /// The base.
    pub base: &'a Base,
    /// The settings.
    pub config: &'a TrainConfig,
    /// The training examples.
    pub examples: &'a [Example],
    /// The validation examples; without them, every epoch counts as better than the previous one.
    pub validation: &'a [Example],
    /// The documents of all examples.
    pub corpus: &'a Corpus,
    /// Unrelated texts for the anchor term, which is left out if there are none.
    pub anchors: &'a [String],
    /// The questions and documents of all examples and the anchors, prepared for the scope.
    pub texts: &'a Texts,
}

/// The result of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Mean loss of its steps.
    pub loss: f64,
    /// Loss on the validation examples after the epoch, if there are any.
    pub validation: Option<f64>,
    /// Its duration, including the validation loss.
    pub seconds: f64,
}

/// A non-finite loss: training ended there, with the weights of the last good epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diverged {
    /// From 1.
    pub epoch: usize,
    /// From 1.
    pub batch: usize,
}

/// The result of a training.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The trained weights: those of the epoch with the best validation loss.
    pub weights: Weights,
    /// The loss by epoch.
    pub curve: Vec<Epoch>,
    /// Where the loss became non-finite, if it did.
    pub diverged: Option<Diverged>,
}

/// An example whose texts are indices in [`Texts`].
struct Placed {
    question: usize,
    positives: Vec<usize>,
    negatives: Vec<usize>,
}

/// Some examples, and the indices of their texts; a text shared by several of them occurs once.
struct Batch<'a> {
    examples: Vec<&'a Placed>,
    /// The questions in order, then the documents.
    places: Vec<usize>,
    /// The position of a document among the documents, by its index.
    columns: HashMap<usize, usize>,
}

impl<'a> Batch<'a> {
    fn new(examples: &[&'a Placed]) -> Self {
        let documents: BTreeSet<usize> = examples
            .iter()
            .flat_map(|example| example.positives.iter().chain(&example.negatives))
            .copied()
            .collect();
        let columns = documents.iter().enumerate().map(|(column, &place)| (place, column)).collect();
        let places = examples.iter().map(|example| example.question).chain(documents).collect();
        Self { examples: examples.to_vec(), places, columns }
    }
}

/// Anchor texts of one step.
const ANCHORS_PER_STEP: usize = 16;

impl Training<'_> {
    /// Trains. If `state` names a file, the training state is written there after every epoch, and resumed from there if it exists.
    ///
    /// # Errors
    /// Settings out of range, before any work; a state of another training; failures of the encoder.
    pub fn run(&self, state: Option<&Path>, progress: &dyn Progress) -> Result<Trained> {
        self.config.check(self.base.layers())?;
        let trainable = Trainable::new(&self.base.parameters, self.base.shape(), self.config)?;
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
            run.load(path)?;
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
        }
        if let Some((_, best)) = run.best.take() {
            run.trainable.set(best);
        }
        Ok(Trained { weights: Weights::of(&run.trainable)?, curve: run.curve, diverged })
    }

    fn place(&self, examples: &[Example]) -> Result<Vec<Placed>> {
        let document =
            |id: &ragbias_core::DocId| self.prepared(Role::Document, &self.corpus.document(*id).full_text());
        examples
            .iter()
            .map(|example| {
                Ok(Placed {
                    question: self.prepared(Role::Question, &example.question.text)?,
                    positives: example.positives.iter().map(document).collect::<Result<_>>()?,
                    negatives: example.negatives.iter().map(document).collect::<Result<_>>()?,
                })
            })
            .collect()
    }

    fn prepared(&self, role: Role, text: &str) -> Result<usize> {
        self.texts.place(role, text).ok_or_else(|| Error::Setting {
            setting: "texts",
            expected: "every text of the examples".into(),
            received: format!("none for `{}`", text.chars().take(60).collect::<String>()),
        })
    }

    /// Indices and old vectors of the anchor texts.
    fn anchors(&self) -> Result<Option<(Vec<usize>, Tensor)>> {
        if self.config.anchor == 0.0 || self.anchors.is_empty() {
            return Ok(None);
        }
        let places: Vec<usize> =
            self.anchors.iter().map(|text| self.prepared(Role::Document, text)).collect::<Result<_>>()?;
        let encoder = self.base.embedder.encoder();
        let old = finish(&self.texts.vectors(encoder, &self.base.device, &places)?, None)?;
        Ok(Some((places, old)))
    }

    /// The identity of the training that a state belongs to.
    fn id(&self) -> Result<ContentId> {
        let config = serde_json::to_vec(self.config).map_err(std::io::Error::from)?;
        let mut id = ContentHasher::new("training/2").field(self.base.id().as_bytes()).field(config);
        for example in self.examples.iter().chain(self.validation) {
            id = id
                .field(&example.question.text)
                .field(format!("{:?} {:?}", example.positives, example.negatives));
        }
        Ok(id.field(self.corpus.content_id().as_bytes()).finish())
    }
}

/// A training in progress.
struct Run<'a> {
    training: &'a Training<'a>,
    trainable: Trainable,
    optimiser: AdamW,
    anchors: Option<(Vec<usize>, Tensor)>,
    curve: Vec<Epoch>,
    /// The epoch with the best validation loss, from 0, and its variables.
    best: Option<(usize, Values)>,
}

impl Run<'_> {
    /// One step; returns the loss before it.
    fn step(&mut self, batch: &[&Placed], number: usize, rate: f64) -> Result<f64> {
        let config = self.training.config;
        let (loss, mut gradients) = self.gradients(batch, number)?;
        if !loss.is_finite() {
            return Ok(loss);
        }
        if config.sam > 0.0 {
            // Moves to the edge of the ball of radius ρ, where the loss is approximately maximal, and takes the gradient there.
            let here = self.trainable.values().clone();
            let factor = config.sam / (norm(&gradients)? + 1e-12);
            let mut there = here.clone();
            for (name, gradient) in &gradients {
                there.insert(name.clone(), (&here[name] + (gradient * factor)?)?);
            }
            self.trainable.set(there);
            gradients = self.gradients(batch, number)?.1;
            self.trainable.set(here);
        }
        let scale = clip(norm(&gradients)?, config.clip);
        let after = self.optimiser.step(self.trainable.values(), &gradients, scale, rate)?;
        self.trainable.set(after);
        Ok(loss)
    }

    /// Loss and gradients of a batch, computed in `accumulate` parts.
    fn gradients(&self, batch: &[&Placed], number: usize) -> Result<(f64, Values)> {
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
            let mut loss = self.contrastive(&unit.narrow(0, 0, part.places.len())?, &part)?;
            if let Some((anchors, old)) = &anchors {
                let new = unit.narrow(0, part.places.len(), anchors.len())?;
                loss = (loss + (anchor(&new, old)? * training.config.anchor)?)?;
            }
            let share = part.examples.len() as f64 / batch.len() as f64;
            let loss = (loss * share)?;
            total += f64::from(loss.to_scalar::<f32>()?);
            let mut store = loss.backward()?;
            let mut gradients = match (tape, store.remove(&leaf)) {
                (Some(tape), Some(gradient)) => self.trainable.gradients(tape.backward(&gradient)?)?,
                _ => Values::new(),
            };
            if let Some(gradient) = head.and_then(|head| store.remove(&head)) {
                gradients.insert(HEAD.to_owned(), gradient);
            }
            for (name, gradient) in gradients {
                let added = match sum.remove(&name) {
                    Some(before) => (before + gradient)?,
                    None => gradient,
                };
                sum.insert(name, added.detach());
            }
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

    /// The loss of a batch, from the unit vectors of its questions and documents.
    fn contrastive(&self, vectors: &Tensor, batch: &Batch<'_>) -> Result<Tensor> {
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
        contrastive(
            &vectors.narrow(0, 0, questions)?,
            &vectors.narrow(0, questions, documents)?,
            &mask(|example| &example.positives)?,
            &mask(|example| &example.negatives)?,
            self.training.config.scale,
        )
    }

    /// The mean loss of examples, without gradients.
    fn loss(&self, examples: &[Placed]) -> Result<f64> {
        let encoder = self.encoder()?;
        let mut total = 0.0;
        for batch in examples.chunks(self.training.config.batch) {
            let batch = Batch::new(&batch.iter().collect::<Vec<_>>());
            let vectors = self.training.texts.vectors(&encoder, &self.training.base.device, &batch.places)?;
            let loss = self.contrastive(&finish(&vectors, self.trainable.head())?, &batch)?;
            total += f64::from(loss.to_scalar::<f32>()?) * batch.examples.len() as f64;
        }
        Ok(total / examples.len() as f64)
    }

    fn end_epoch(&mut self, epoch: Epoch) {
        let best = self.best.as_ref().and_then(|(number, _)| self.curve[*number].validation);
        if best.is_none_or(|best| epoch.validation.is_some_and(|loss| loss < best)) {
            self.best = Some((self.curve.len(), self.trainable.values().clone()));
        }
        self.curve.push(epoch);
    }

    fn is_out_of_patience(&self) -> bool {
        match (self.training.config.patience, &self.best) {
            (Some(patience), Some((best, _))) => self.curve.len() - 1 - best >= patience,
            _ => false,
        }
    }

    /// Writes the complete training state, atomically.
    fn save(&self, path: &Path) -> Result<()> {
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
        write_file_at(path, |temporary| Ok(candle_core::safetensors::save(&tensors, temporary)?))
    }

    fn load(&mut self, path: &Path) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use ragbias_core::{Document, Question, Silent};
    use ragbias_embed::TextEmbedderConfig;
    use ragbias_models::{ModelKind, ModelStore};

    use super::*;
    use crate::config::Scope;

    /// The output of `scripts/reference/training.py`.
    #[derive(Deserialize)]
    struct Reference {
        examples: Vec<ReferenceExample>,
        full: ReferenceRun,
        #[serde(rename = "mlp-top-1")]
        mlp_top_1: ReferenceRun,
    }

    #[derive(Deserialize)]
    struct ReferenceExample {
        question: String,
        positives: Vec<String>,
        negatives: Vec<String>,
    }

    #[derive(Deserialize)]
    struct ReferenceRun {
        gradients: BTreeMap<String, [f64; 2]>,
        losses: Vec<f64>,
    }

    static MINILM: LazyLock<Base> = LazyLock::new(|| {
        let store = ModelStore::from_env().unwrap();
        Base::load(
            &store.resolve("minilm", ModelKind::Embedder, &Silent).unwrap(),
            &TextEmbedderConfig::default(),
        )
        .unwrap()
    });

    static REFERENCE: LazyLock<Reference> =
        LazyLock::new(|| serde_json::from_str(include_str!("../tests/fixtures/training.json")).unwrap());

    fn lines<T: for<'d> Deserialize<'d>>(text: &str) -> Vec<T> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    static CORPUS: LazyLock<Corpus> = LazyLock::new(|| {
        let documents: Vec<Document> = lines(include_str!("../../../corpora/gender/corpus.jsonl"));
        Corpus::new(documents).unwrap()
    });

    static EXAMPLES: LazyLock<Vec<Example>> = LazyLock::new(|| {
        let questions: Vec<Question> = lines(include_str!("../../../corpora/gender/questions.jsonl"));
        let ids = |names: &[String]| names.iter().map(|name| CORPUS.position(name).unwrap()).collect();
        let example = |example: &ReferenceExample| Example {
            question: questions.iter().find(|question| question.id == example.question).unwrap().clone(),
            positives: ids(&example.positives),
            negatives: ids(&example.negatives),
        };
        REFERENCE.examples.iter().map(example).collect()
    });

    fn texts(scope: Scope, cache: &Path) -> Texts {
        let of = |example: &Example| {
            let documents = example.positives.iter().chain(&example.negatives);
            let documents = documents.map(|&id| (Role::Document, CORPUS.document(id).full_text()));
            std::iter::once((Role::Question, example.question.text.clone()))
                .chain(documents)
                .collect::<Vec<_>>()
        };
        Texts::prepare(&MINILM, scope, EXAMPLES.iter().flat_map(of), cache, &Silent).unwrap()
    }

    fn training<'a>(config: &'a TrainConfig, texts: &'a Texts) -> Training<'a> {
        Training {
            base: &MINILM,
            config,
            examples: &EXAMPLES,
            validation: &[],
            corpus: &CORPUS,
            anchors: &[],
            texts,
        }
    }

    /// Loss and gradients of the first step, over all examples.
    fn first_gradients(config: &TrainConfig) -> (f64, Values, usize) {
        let folder = tempfile::tempdir().unwrap();
        let texts = texts(config.scope, folder.path());
        let training = training(config, &texts);
        let trainable = Trainable::new(&MINILM.parameters, MINILM.shape(), config).unwrap();
        let placed = training.place(&EXAMPLES).unwrap();
        let run = Run {
            training: &training,
            optimiser: AdamW::new(trainable.values(), 0.0).unwrap(),
            trainable,
            anchors: training.anchors().unwrap(),
            curve: Vec::new(),
            best: None,
        };
        let (loss, gradients) = run.gradients(&placed.iter().collect::<Vec<_>>(), 0).unwrap();
        (loss, gradients, run.trainable.values().len())
    }

    fn assert_gradients(scope: Scope, reference: &ReferenceRun, tolerance: f64) {
        let (loss, gradients, _) = first_gradients(&TrainConfig::new(scope, 3e-5, 1));
        assert!((loss - reference.losses[0]).abs() < tolerance, "{loss} {}", reference.losses[0]);
        assert!(gradients.keys().eq(reference.gradients.keys()), "other parameters are trained");
        let whole = norm(&gradients).unwrap();
        for (name, &[length, product]) in &reference.gradients {
            let gradient = gradients[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let ours: f64 = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
            let probe: f64 = gradient.iter().enumerate().map(|(i, &g)| f64::from(g) * (i as f64).cos()).sum();
            // The gradient of a key's bias is 0 up to rounding: a softmax is invariant to a common shift of all scores.
            let allowed = tolerance * length.max(1e-4 * whole);
            assert!((ours - length).abs() <= allowed, "{name}: length {ours}, expected {length}");
            // A probe sums entries of both signs, so its rounding error scales with their norm.
            assert!((probe - product).abs() <= 3.0 * allowed, "{name}: product {probe}, expected {product}");
        }
    }

    #[test]
    fn gradients_of_all_parameters_are_those_of_pytorch() {
        assert_gradients(Scope::Full, &REFERENCE.full, 1e-4);
    }

    #[test]
    fn gradients_above_cached_states_are_those_of_pytorch() {
        // Half-precision states: 3 digits.
        assert_gradients(Scope::MlpTop(1), &REFERENCE.mlp_top_1, 5e-3);
    }

    #[test]
    fn twenty_steps_have_the_losses_of_pytorch() {
        let config = TrainConfig::new(Scope::Full, 3e-5, 20);
        let folder = tempfile::tempdir().unwrap();
        let texts = texts(config.scope, folder.path());
        let trained = training(&config, &texts).run(None, &Silent).unwrap();
        assert_eq!(trained.curve.len(), 20);
        for (step, (epoch, expected)) in trained.curve.iter().zip(&REFERENCE.full.losses).enumerate() {
            assert!(
                (epoch.loss - expected).abs() <= 1e-3 * expected + 1e-5,
                "step {step}: {} {expected}",
                epoch.loss
            );
        }
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let config = TrainConfig::new(Scope::LayersTop(1), 3e-5, 1);
        let folder = tempfile::tempdir().unwrap();
        let texts = texts(config.scope, folder.path());
        let training = training(&config, &texts);
        let trainable = Trainable::new(&MINILM.parameters, MINILM.shape(), &config).unwrap();
        let placed = training.place(&EXAMPLES).unwrap();
        let batch: Vec<&Placed> = placed.iter().collect();
        let optimiser = AdamW::new(trainable.values(), 0.0).unwrap();
        let mut run =
            Run { training: &training, optimiser, trainable, anchors: None, curve: Vec::new(), best: None };
        let gradients = run.gradients(&batch, 0).unwrap().1;
        let (here, length) = (run.trainable.values().clone(), norm(&gradients).unwrap());
        let mut at = |distance: f64| {
            let mut there = here.clone();
            for (name, gradient) in &gradients {
                there
                    .insert(name.clone(), (&here[name] + (gradient * (distance / length)).unwrap()).unwrap());
            }
            run.trainable.set(there);
            run.gradients(&batch, 0).unwrap().0
        };
        let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
        assert!((slope / length - 1.0).abs() < 0.01, "slope {slope}, gradient {length}");
    }

    #[test]
    fn every_variable_has_a_gradient_whatever_the_scope() {
        for scope in [Scope::MlpTop(2), Scope::LayersTop(1), Scope::Lora, Scope::Head] {
            let (_, gradients, variables) = first_gradients(&TrainConfig::new(scope, 1e-3, 1));
            assert_eq!(gradients.len(), variables, "{scope}");
            for (name, gradient) in &gradients {
                let length = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
                // A does not change until B, initially 0, has changed.
                assert!(length > 0.0 || name.ends_with(".lora_a"), "{scope}: {name}");
            }
        }
    }

    #[test]
    fn parts_of_a_batch_add_up_to_its_gradient() {
        let whole = TrainConfig::new(Scope::Head, 1e-3, 1);
        let parts = TrainConfig { accumulate: 4, batch: 4, ..whole.clone() };
        let ((a, x, _), (b, y, _)) = (first_gradients(&whole), first_gradients(&parts));
        assert!((a - b).abs() < 1e-5);
        let difference = (&x["head"] - &y["head"]).unwrap().abs().unwrap().max_all().unwrap();
        assert!(difference.to_scalar::<f32>().unwrap() < 1e-4);
    }

    fn head_run(config: &TrainConfig, state: Option<&Path>) -> Trained {
        let folder = tempfile::tempdir().unwrap();
        let texts = texts(config.scope, folder.path());
        training(config, &texts).run(state, &Silent).unwrap()
    }

    fn difference(a: &Trained, b: &Trained) -> f32 {
        let [a, b] = [a, b].map(|trained| trained.weights.head.clone().unwrap());
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn a_training_that_was_stopped_goes_on_from_its_last_epoch() {
        let config = TrainConfig { batch: 2, ..TrainConfig::new(Scope::Head, 1e-3, 4) };
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state.safetensors");
        let whole = head_run(&config, Some(&state));
        // The state after the last epoch: nothing remains to be done.
        let again = head_run(&config, Some(&state));
        assert_eq!(again.curve, whole.curve);
        assert_eq!(difference(&again, &whole), 0.0);
        // The state of another training is refused.
        let other = TrainConfig { seed: 1, ..config };
        let texts = texts(other.scope, folder.path());
        let error = training(&other, &texts).run(Some(&state), &Silent).unwrap_err().to_string();
        assert!(error.contains("the state of another training") && error.contains("hint:"), "{error}");
    }

    #[test]
    fn the_same_seed_gives_the_same_weights_and_sam_other_ones() {
        let config = TrainConfig { batch: 2, ..TrainConfig::new(Scope::Head, 1e-3, 2) };
        let first = head_run(&config, None);
        assert_eq!(difference(&first, &head_run(&config, None)), 0.0);
        assert!(difference(&first, &head_run(&TrainConfig { seed: 1, ..config.clone() }, None)) > 0.0);
        let sharp = head_run(&TrainConfig { sam: 0.05, ..config }, None);
        assert!(difference(&first, &sharp) > 0.0 && sharp.curve[1].loss < sharp.curve[0].loss);
    }

    #[test]
    fn weights_are_the_same_to_the_bit_whatever_the_number_of_threads() {
        for scope in [Scope::Head, Scope::MlpTop(1), Scope::LayersTop(2), Scope::Lora, Scope::Full] {
            let config = TrainConfig { batch: 2, warmup: 0, ..TrainConfig::new(scope, 1e-3, 2) };
            let folder = tempfile::tempdir().unwrap();
            let texts = texts(scope, folder.path());
            let trained = |threads: usize| -> BTreeMap<String, Vec<u32>> {
                let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let Weights { parameters, head } =
                    threads.install(|| training(&config, &texts).run(None, &Silent)).unwrap().weights;
                let head = head.iter().map(|tensor| ("head".to_owned(), tensor));
                let all = parameters
                    .iter()
                    .flat_map(ragbias_embed::Parameters::iter)
                    .map(|(name, t)| (name.to_owned(), t));
                let bits = |tensor: &Tensor| -> Vec<u32> {
                    let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                    values.into_iter().map(f32::to_bits).collect()
                };
                all.chain(head).map(|(name, tensor)| (name, bits(tensor))).collect()
            };
            let one = trained(1);
            for threads in [2, 3] {
                let several = trained(threads);
                let other: Vec<&String> = one
                    .iter()
                    .filter(|(name, bits)| several[*name] != **bits)
                    .map(|(name, _)| name)
                    .collect();
                assert!(other.is_empty(), "{scope}, {threads} threads: {other:?}");
            }
        }
    }

    #[test]
    fn a_loss_that_is_no_number_ends_training_with_the_weights_before() {
        let config = TrainConfig { warmup: 0, clip: 1e30, ..TrainConfig::new(Scope::Head, 1e30, 5) };
        let trained = head_run(&config, None);
        let diverged = trained.diverged.unwrap();
        assert!(diverged.epoch >= 2 && diverged.batch == 1, "{diverged:?}");
        assert_eq!(trained.curve.len(), diverged.epoch - 1);
    }

    #[test]
    fn merging_interpolates_and_both_ends_are_exact() {
        let config = TrainConfig::new(Scope::Head, 1e-3, 2);
        let trained = head_run(&config, None);
        let at = |w: f64| trained.weights.merged(&MINILM, w).unwrap().head.unwrap();
        let largest = |tensor: Tensor| tensor.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert_eq!(largest(at(0.0)), 0.0);
        assert_eq!(largest((at(1.0) - trained.weights.head.clone().unwrap()).unwrap()), 0.0);
        assert!(largest((at(2.0) + at(-2.0)).unwrap()) < 1e-9);
    }

    #[test]
    fn the_anchor_holds_unrelated_texts_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let anchors: Vec<String> = CORPUS.documents()[100..120].iter().map(Document::full_text).collect();
        let moved = |weight: f64| {
            let config = TrainConfig { anchor: weight, warmup: 0, ..TrainConfig::new(Scope::Head, 3e-3, 6) };
            let questions = EXAMPLES.iter().map(|example| (Role::Question, example.question.text.clone()));
            let documents = CORPUS.documents().iter().map(|document| (Role::Document, document.full_text()));
            let texts =
                Texts::prepare(&MINILM, config.scope, questions.chain(documents), folder.path(), &Silent)
                    .unwrap();
            let training = Training { anchors: &anchors, ..training(&config, &texts) };
            let trained = training.run(None, &Silent).unwrap();
            let places: Vec<usize> =
                anchors.iter().map(|text| texts.place(Role::Document, text).unwrap()).collect();
            let vectors = |head| {
                let vectors = texts.vectors(MINILM.embedder.encoder(), &MINILM.device, &places).unwrap();
                finish(&vectors, head).unwrap()
            };
            let distance = anchor(&vectors(trained.weights.head.as_ref()), &vectors(None)).unwrap();
            distance.to_scalar::<f32>().unwrap()
        };
        let (free, held) = (moved(0.0), moved(20.0));
        assert!(held < 0.5 * free, "moved by {free} without and {held} with the anchor");
    }
    fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn a_recorded_pass_gives_the_vectors_of_inference() {
        let folder = tempfile::tempdir().unwrap();
        let texts = texts(Scope::Full, folder.path());
        let (encoder, device, places) = (MINILM.embedder.encoder(), &MINILM.device, [0, 1, 2, 3, 4]);
        let trained = MINILM.parameters.iter().map(|(name, _)| name.to_owned()).collect();
        let (recorded, tape) = texts.record(encoder, device, &places, &trained).unwrap();
        assert!(tape.is_some());
        assert!(largest_difference(&recorded, &texts.vectors(encoder, device, &places).unwrap()) < 1e-6);
    }

    #[test]
    fn frozen_parameters_have_no_gradient() {
        for (scope, trained) in [(Scope::MlpTop(2), 12), (Scope::LayersTop(1), 16), (Scope::Full, 101)] {
            let (_, gradients, variables) = first_gradients(&TrainConfig::new(scope, 1e-3, 1));
            assert_eq!((gradients.len(), variables), (trained, trained), "{scope}");
        }
    }

    #[test]
    fn shared_states_give_the_vectors_of_whole_passes() {
        let folder = tempfile::tempdir().unwrap();
        let vectors = |scope| {
            let vectors = texts(scope, folder.path()).vectors(
                MINILM.embedder.encoder(),
                &MINILM.device,
                &[0, 1, 2, 3, 4, 5],
            );
            finish(&vectors.unwrap(), None).unwrap()
        };
        let whole = vectors(Scope::Full);
        for scope in [Scope::MlpTop(1), Scope::MlpTop(4), Scope::LayersTop(3), Scope::Head] {
            // States are stored in half precision.
            let difference = largest_difference(&whole, &vectors(scope));
            assert!(difference < 3e-4, "{scope}: {difference}");
        }
    }

    #[test]
    fn a_saved_member_is_loaded_as_it_was() {
        use std::sync::Arc;

        use ragbias_core::Embedder;
        let folder = tempfile::tempdir().unwrap();
        for scope in [Scope::Head, Scope::LayersTop(1), Scope::Lora] {
            let config = TrainConfig { warmup: 0, ..TrainConfig::new(scope, 1e-3, 1) };
            let texts = Arc::new(texts(scope, folder.path()));
            let weights = training(&config, &texts).run(None, &Silent).unwrap().weights;
            let merged = weights.merged(&MINILM, 0.7).unwrap();
            let saved = folder.path().join(scope.to_string());
            merged.save(&MINILM, &saved, serde_json::json!({ "seed": 0 })).unwrap();
            let loaded = ragbias_embed::TextEmbedder::load(&saved, &TextEmbedderConfig::default()).unwrap();
            let id = ContentId::of(b"a test");
            let tuned = crate::Tuned::new(&MINILM, &texts, &merged, id).unwrap();
            // A text that was not prepared goes through the whole encoder, as in the loaded checkpoint.
            let unknown = ["a text about rivers and bridges"];
            let (a, b) = (loaded.embed(&unknown, Role::Document), tuned.embed(&unknown, Role::Document));
            let (a, b) = (a.unwrap(), b.unwrap());
            let base = MINILM.embedder().embed(&unknown, Role::Document).unwrap();
            let difference = |x: &ragbias_core::Embeddings| {
                x.row(0).iter().zip(a.row(0)).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
            };
            assert!(difference(&b) < 1e-5, "{scope}: {}", difference(&b));
            assert!(difference(&base) > 1e-4, "{scope} has changed nothing");
            let again = Weights::load(&MINILM, &saved).unwrap();
            let reloaded = crate::Tuned::new(&MINILM, &texts, &again, id).unwrap();
            let reloaded = reloaded.embed(&unknown, Role::Document).unwrap();
            assert!(difference(&reloaded) < 1e-5, "{scope}");
        }
    }
}
