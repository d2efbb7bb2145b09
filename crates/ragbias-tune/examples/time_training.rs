//! Training steps per second on the batch in a JSON file, and documents per second embedded by the trained
//! encoder; `benches/peers/training.py` runs it, and compares it with PyTorch.
//!
//! ```text
//! cargo run --release -p ragbias-tune --example time_training -- BATCH.json SCOPE cached|uncached STEPS [cuda [bf16]]
//! ```
#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use ragbias_core::{ContentHasher, Corpus, DocId, Document, Embedder, Question, Role, Silent};
use ragbias_embed::TextEmbedderConfig;
use ragbias_models::{ModelKind, ModelStore};
use ragbias_tune::{Base, Example, Scope, Texts, TrainConfig, Trained, Training, Tuned};
use serde::Deserialize;

/// Questions, documents, and for each question the indices of its d⁺ and d⁻.
#[derive(Deserialize)]
struct Batch {
    questions: Vec<String>,
    documents: Vec<String>,
    near: Vec<Vec<u32>>,
    away: Vec<Vec<u32>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, scope, cached, steps, rest @ ..] = arguments.as_slice() else {
        return Err("expected BATCH.json SCOPE cached|uncached STEPS [PROCESSOR [PRECISION]]".into());
    };
    let mut settings = TextEmbedderConfig::default();
    if let Some(processor) = rest.first() {
        settings.processor = processor.parse()?;
    }
    if let Some(precision) = rest.get(1) {
        settings.precision = precision.parse()?;
    }
    let (scope, steps): (Scope, usize) = (scope.parse()?, steps.parse()?);
    let batch: Batch = serde_json::from_str(&fs_err::read_to_string(path)?)?;
    let minilm = ModelStore::from_env()?.resolve("minilm", ModelKind::Embedder, &Silent)?;
    let base = Base::load(&minilm, &settings)?;
    let documents =
        batch.documents.iter().enumerate().map(|(i, text)| Document::new(i.to_string(), text.clone()));
    let corpus = Corpus::new(documents.collect())?;
    let ids = |positions: &[u32]| positions.iter().copied().map(DocId).collect();
    let examples: Vec<Example> = (batch.questions.iter().enumerate())
        .map(|(i, text)| Example {
            question: Question { id: i.to_string(), text: text.clone(), topic: None, choices: None },
            near: ids(&batch.near[i]),
            away: ids(&batch.away[i]),
        })
        .collect();
    let folder = tempfile::tempdir()?;
    let questions = batch.questions.iter().map(|text| (Role::Question, text.clone()));
    let all = questions.chain(batch.documents.iter().map(|text| (Role::Document, text.clone())));
    // Texts prepared for a scope without shared states start from their tokens.
    let prepared = if cached == "cached" { scope } else { Scope::Full };
    let texts = Arc::new(Texts::prepare(&base, prepared, all, folder.path(), &Silent)?);
    let train = |epochs: usize| -> Result<(Trained, f64), Box<dyn Error>> {
        let config = TrainConfig::new(scope, 3e-5, epochs).batch(examples.len());
        let training = Training {
            base: &base,
            config: &config,
            examples: &examples,
            validation: &[],
            corpus: &corpus,
            anchors: &[],
            texts: &texts,
        };
        let begun = Instant::now();
        let trained = training.run(None, &Silent)?;
        Ok((trained, begun.elapsed().as_secs_f64()))
    };
    // The first training is a warm-up. The fixed cost of a training is contained in both of the others, and cancels
    // in their difference.
    train(1)?;
    let (_, one) = train(1)?;
    let (trained, all) = train(steps + 1)?;
    let tuned = Tuned::new(&base, &texts, &trained.weights, ContentHasher::new("timed").finish())?;
    let documents: Vec<&str> = batch.documents.iter().map(String::as_str).collect();
    let begun = Instant::now();
    for _ in 0..steps {
        tuned.embed(&documents, Role::Document)?;
    }
    let embedded = (steps * documents.len()) as f64 / begun.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({ "steps": steps as f64 / (all - one), "documents": embedded }));
    Ok(())
}
