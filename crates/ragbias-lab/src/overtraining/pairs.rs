//! Pairs of a question and its passage, on which a base is trained longer.

use std::path::Path;
use std::sync::Arc;

use ragbias::core::{Corpus, DocId, Document, Role, Silent};
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
pub(super) struct Pairs {
    corpus: Corpus,
    /// Each question with its relevant documents.
    questions: Vec<Example>,
}

impl Pairs {
    /// All questions of bundled data sets that have relevant documents.
    pub(super) fn load(sets: &[String]) -> Result<Self> {
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
    pub(super) fn len(&self) -> usize {
        self.questions.len()
    }

    /// Trains a base for this many steps, and saves the result as a checkpoint; one that exists is kept.
    pub(super) fn train(
        &self,
        base: &Base,
        config: &TrainConfig,
        steps: usize,
        folder: &Path,
        bench: &Bench,
    ) -> Result<()> {
        if folder.join("ragbias.json").is_file() {
            return Ok(());
        }
        let examples = self.drawn(steps * config.batch, bench.seed());
        let questions = examples.iter().map(|example| (Role::Question, example.question.text.clone()));
        let documents = self.corpus.documents().iter().map(|document| (Role::Document, document.full_text()));
        let cache = bench.folder().join("hidden-states");
        let texts = Texts::prepare(base, config.scope, questions.chain(documents), &cache, &Silent)?;
        let training = Training {
            base,
            config,
            examples: &examples,
            validation: &[],
            corpus: &self.corpus,
            anchors: &[],
            texts: &Arc::new(texts),
        };
        let trained = training.run(None, bench.progress())?;
        if let Some(at) = trained.diverged {
            return Err(Error::Setting {
                setting: "training-rate",
                expected: "one at which the loss stays finite",
                received: format!("{}, non-finite at batch {}", config.learning_rate, at.batch),
            });
        }
        let card =
            serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "base_id": base.id(), "steps": steps });
        Ok(trained.weights.save(base, folder, card)?)
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

/// The scope in which a base is trained longer.
pub(super) const SCOPE: Scope = Scope::Full;
