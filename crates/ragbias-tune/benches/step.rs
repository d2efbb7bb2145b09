//! Training from shared hidden states: the cost of an epoch of one step, for a head and for the top MLP.
//!
//! `cargo bench --bench step`; MiniLM is downloaded if missing.

use std::error::Error;

use criterion::Criterion;
use ragbias_core::{Corpus, DocId, Document, Question, Role, Silent};
use ragbias_embed::TextEmbedderConfig;
use ragbias_models::{ModelKind, ModelStore};
use ragbias_tune::{Base, Example, Scope, Texts, TrainConfig, Training};

/// Questions of a batch, and documents of each pole per question.
const QUESTIONS: usize = 8;
const EACH: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = ModelStore::from_env()?.resolve("minilm", ModelKind::Embedder, &Silent)?;
    let base = Base::load(&folder, &TextEmbedderConfig::default())?;
    let documents = (0..2 * QUESTIONS * EACH).map(|i| {
        let text = format!("Person {i} worked on problem {} for {} years. ", i % 13, i % 29);
        Document::new(i.to_string(), text.repeat(1 + i % 6))
    });
    let corpus = Corpus::new(documents.collect())?;
    let examples: Vec<Example> = (0..QUESTIONS)
        .map(|i| {
            let ids = |from: usize| (from..from + EACH).map(|id| DocId(id as u32)).collect();
            let text = format!("Who is best known for work on problem {i}?");
            let question = Question { id: i.to_string(), text, topic: None, choices: None };
            Example { question, near: ids(2 * i * EACH), away: ids((2 * i + 1) * EACH) }
        })
        .collect();

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("a step on 8 questions and 160 documents");
    for scope in [Scope::Head, Scope::MlpTop(1)] {
        let cache = tempfile::tempdir()?;
        let questions = examples.iter().map(|example| (Role::Question, example.question.text.clone()));
        let all =
            questions.chain(corpus.documents().iter().map(|document| (Role::Document, document.full_text())));
        let texts = Texts::prepare(&base, scope, all, cache.path(), &Silent)?;
        let config = TrainConfig::new(scope, 3e-5, 1).batch(QUESTIONS);
        let training = Training {
            base: &base,
            config: &config,
            examples: &examples,
            validation: &[],
            corpus: &corpus,
            anchors: &[],
            texts: &texts,
        };
        group.sample_size(20).bench_function(scope.to_string(), |bencher| {
            bencher.iter(|| training.run(None, &Silent).expect("a training of one step"));
        });
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
