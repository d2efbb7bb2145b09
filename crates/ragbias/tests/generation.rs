//! Answers and choices of the real models against transformers in float32 (`scripts/reference/generation.py`).
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::collections::BTreeMap;

use ragbias::Models;
use ragbias::core::{ChoicePrompt, Silent};
use ragbias::generate::GenerateConfig;
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    answers: Vec<Answer>,
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Answer {
    prompt: String,
    /// What the answer begins with, up to the first token that rounding may decide.
    begins: String,
    /// Whether that is all of it.
    whole: bool,
}

#[derive(Deserialize)]
struct Choice {
    prompt: String,
    negative: String,
    positive: String,
    log_odds: f64,
    position_bias: f64,
}

/// `tolerance` is how far log-odds may be from the reference, in nats.
fn assert_agrees(name: &str, tolerance: f64) {
    let text = include_str!("fixtures/generation.json");
    let mut all: BTreeMap<String, Reference> = serde_json::from_str(text).unwrap();
    let Reference { answers, choices } = all.remove(name).unwrap();
    let models = Models::from_env().unwrap();
    let llm = models.generator(name, &GenerateConfig::default(), &Silent).unwrap();
    for expected in &answers {
        let answer = &llm.generate(&[&expected.prompt]).unwrap()[0];
        assert!(answer.starts_with(&expected.begins), "{answer}");
        assert!(!expected.whole || *answer == expected.begins, "{answer}");
    }
    let prompts: Vec<ChoicePrompt<'_>> = choices
        .iter()
        .map(|c| ChoicePrompt { prompt: &c.prompt, negative: &c.negative, positive: &c.positive })
        .collect();
    for (choice, expected) in llm.choose(&prompts).unwrap().iter().zip(&choices) {
        assert!((choice.log_odds - expected.log_odds).abs() < tolerance, "{choice:?} {}", expected.log_odds);
        let difference = choice.position_bias - expected.position_bias;
        assert!(difference.abs() < tolerance, "{choice:?} {}", expected.position_bias);
    }
}

#[test]
fn smollm2_answers_as_in_transformers() {
    assert_agrees("smollm2-135m", 0.002);
}

#[test]
fn gemma3_answers_as_in_transformers() {
    // The output matrix stays quantised, and candle rounds activations to 8 bits there.
    assert_agrees("gemma3-270m", 0.05);
}
