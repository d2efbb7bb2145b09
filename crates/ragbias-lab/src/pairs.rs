//! Pairs of a question and its passage, on which a base is trained longer.

use std::path::Path;

use ragbias::core::{ContentHasher, Corpus, DocId, Document, Role, Silent};
use ragbias::data::Dataset;
use ragbias::tune::{Base, Example, Scope, Texts, TrainConfig, Training};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::bench::Bench;
use crate::error::{Error, Result};

/// Passages of other questions, for each question.
const NEGATIVES: usize = 4;

/// Questions with their relevant passages, of several data sets.
pub(crate) struct Pairs {
    corpus: Corpus,
    /// Each question with its relevant documents.
    questions: Vec<Example>,
}

impl Pairs {
    /// All questions of bundled data sets that have relevant documents.
    pub(crate) fn load(sets: &[String]) -> Result<Self> {
        let (mut documents, mut questions) = (Vec::new(), Vec::new());
        for name in sets {
            let set = Dataset::bundled(name)?;
            let first = documents.len();
            for question in set.questions.questions() {
                let Some(judged) = set.qrels.get(&question.id) else { continue };
                let relevant = judged.iter().filter(|(_, grade)| **grade > 0);
                let positives: Vec<DocId> = relevant
                    .filter_map(|(id, _)| set.corpus.position(id))
                    .map(|id| DocId((first + id.index()) as u32))
                    .collect();
                if !positives.is_empty() {
                    questions.push(Example { question: question.clone(), positives, negatives: Vec::new() });
                }
            }
            let named =
                |document: &Document| Document { id: format!("{name}/{}", document.id), ..document.clone() };
            documents.extend(set.corpus.documents().iter().map(named));
        }
        Ok(Self { corpus: Corpus::new(documents)?, questions })
    }

    /// Number of questions.
    pub(crate) fn len(&self) -> usize {
        self.questions.len()
    }

    /// This many examples: each question's passages against those of other questions, in the order of a draw.
    fn drawn(&self, count: usize, seed: u64) -> Vec<Example> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let all: Vec<DocId> = (0..self.corpus.len() as u32).map(DocId).collect();
        let mut drawn = Vec::with_capacity(count);
        for _ in 0..count {
            let mut example = self.questions[rng.random_range(0..self.questions.len())].clone();
            while example.negatives.len() < NEGATIVES {
                let other = *all.choose(&mut rng).expect("a corpus has documents; this is a bug");
                if !example.positives.contains(&other) && !example.negatives.contains(&other) {
                    example.negatives.push(other);
                }
            }
            example.positives.truncate(1);
            drawn.push(example);
        }
        drawn
    }
}

/// The further training of a base on pairs.
pub(crate) struct LongerTraining<'a> {
    /// The data sets of the pairs.
    pub(crate) pairs: &'a [String],
    /// Peak learning rate.
    pub(crate) rate: f64,
    /// Steps of eight pairs.
    pub(crate) steps: usize,
}

impl LongerTraining<'_> {
    fn config(&self, seed: u64) -> TrainConfig {
        TrainConfig::new(Scope::Full, self.rate, 1).warmup(0).seed(seed)
    }

    /// Checks the settings.
    pub(crate) fn check(&self) -> Result<()> {
        self.config(0).check(usize::MAX)?;
        if self.pairs.is_empty() {
            return Err(Error::Setting {
                setting: "pairs",
                expected: "at least one data set",
                received: "none".into(),
            });
        }
        Pairs::load(self.pairs).map(drop)
    }

    /// The base after the training: the base itself for no steps, else the folder of a checkpoint, which is kept.
    pub(crate) fn base(&self, pairs: &Pairs, base: &str, bench: &Bench) -> Result<String> {
        if self.steps == 0 {
            return Ok(base.into());
        }
        let untrained = bench.workspace().models().base(base, bench.progress())?;
        let settings =
            serde_json::to_vec(&(self.pairs, self.rate, bench.seed())).map_err(std::io::Error::from)?;
        let id = ContentHasher::new("longer/1").field(untrained.id().as_bytes()).field(settings).finish();
        let folder = bench.folder().join(format!("bases/{}-{}-steps", id.short(), self.steps));
        if !folder.join("ragbias.json").is_file() {
            bench.progress().note(&format!("training for {} steps", self.steps));
            self.train(pairs, &untrained, &folder, bench)?;
        }
        Ok(std::path::absolute(&folder)?.to_string_lossy().into_owned())
    }

    fn train(&self, pairs: &Pairs, base: &Base, folder: &Path, bench: &Bench) -> Result<()> {
        let config = self.config(bench.seed());
        let examples = pairs.drawn(self.steps * config.batch, bench.seed());
        let card = serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "base_id": base.id(), "steps": self.steps });
        train_into(folder, base, &config, (&examples, &pairs.corpus), card, bench)
    }
}

/// Trains a base on examples, whose documents are those of a corpus, and saves the result as a checkpoint.
pub(crate) fn train_into(
    folder: &Path,
    base: &Base,
    config: &TrainConfig,
    (examples, corpus): (&[Example], &Corpus),
    card: serde_json::Value,
    bench: &Bench,
) -> Result<()> {
    let questions = examples.iter().map(|example| (Role::Question, example.question.text.clone()));
    let documents = corpus.documents().iter().map(|document| (Role::Document, document.full_text()));
    let cache = bench.folder().join("hidden-states");
    let texts = Texts::prepare(base, config.scope, questions.chain(documents), &cache, &Silent)?;
    let training = Training { base, config, examples, validation: &[], corpus, anchors: &[], texts: &texts };
    let trained = training.run(None, bench.progress())?;
    if let Some(at) = trained.diverged {
        return Err(Error::Setting {
            setting: "training-rate",
            expected: "one at which the loss stays finite",
            received: format!("{}, non-finite at batch {}", config.learning_rate, at.batch),
        });
    }
    Ok(trained.weights.save(base, folder, card)?)
}
