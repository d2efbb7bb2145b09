//! Compares answers, choices (`scripts/reference/generation.py`) and the probabilities of given answers
//! (`scripts/reference/pair_answers.py`) of the real models with transformers in float32.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use ragbias::Models;
use ragbias::core::{ChoicePrompt, GenerateAll, Generator, PossibleAnswer, Precision, Prompt, Silent};
use ragbias::generate::{GenerateConfig, Gguf, ServerConfig};
use ragbias::models::ModelKind;
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    answers: Vec<Answer>,
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Answer {
    system: Option<String>,
    prompt: String,
    /// The beginning of the answer, up to the first token where rounding may decide.
    begins: String,
    /// Whether that is the whole answer.
    whole: bool,
}

#[derive(Deserialize)]
struct Choice {
    system: Option<String>,
    prompt: String,
    negative: String,
    positive: String,
    log_odds: f64,
    position_bias: f64,
}

/// Tolerance of log-odds and of a mean log-probability per token, in nats.
const TOLERANCE: f64 = 0.002;

fn load(name: &str) -> Arc<dyn Generator> {
    let (generate, server) = (GenerateConfig::default(), ServerConfig::default());
    Models::from_env().unwrap().generator(&name.parse().unwrap(), &generate, &server, &Silent).unwrap()
}

fn assert_agrees(name: &str) {
    let text = include_str!("fixtures/generation.json");
    let mut all: BTreeMap<String, Reference> = serde_json::from_str(text).unwrap();
    let Reference { answers, choices } = all.remove(name).unwrap();
    let llm = load(name);
    let asked: Vec<Prompt<'_>> = answers
        .iter()
        .map(|answer| Prompt { system: answer.system.as_deref(), user: &answer.prompt })
        .collect();
    let generated = llm.generate_all(asked.iter().copied()).unwrap();
    for ((expected, answer), prompt) in answers.iter().zip(&generated).zip(asked) {
        assert!(answer.text.starts_with(&expected.begins), "{answer:?}");
        assert!(!expected.whole || answer.text == expected.begins, "{answer:?}");
        assert_eq!(llm.generate_all([prompt]).unwrap()[0], *answer, "alone");
    }
    let prompts: Vec<ChoicePrompt<'_>> = choices
        .iter()
        .map(|c| {
            let prompt = Prompt { system: c.system.as_deref(), user: &c.prompt };
            ChoicePrompt { prompt, negative: &c.negative, positive: &c.positive }
        })
        .collect();
    let chosen = llm.choose_all(&prompts).unwrap();
    for ((choice, expected), prompt) in chosen.iter().zip(&choices).zip(prompts) {
        let choice = choice.choice().unwrap();
        assert!((choice.log_odds - expected.log_odds).abs() < TOLERANCE, "{choice:?} {}", expected.log_odds);
        let difference = choice.position_bias - expected.position_bias;
        assert!(difference.abs() < TOLERANCE, "{choice:?} {}", expected.position_bias);
        assert_eq!(llm.choose_all(&[prompt]).unwrap()[0].choice().unwrap(), choice, "alone");
    }
}

#[derive(Deserialize)]
struct Weighed {
    system: Option<String>,
    prompt: String,
    answer: String,
    log_probability: f64,
    tokens: usize,
}

fn assert_likelihoods_agree(name: &str) {
    let text = include_str!("fixtures/pair_answers.json");
    let mut all: BTreeMap<String, Vec<Weighed>> = serde_json::from_str(text).unwrap();
    let expected = all.remove(name).unwrap();
    let asked: Vec<PossibleAnswer<'_>> = (expected.iter())
        .map(|weighed| PossibleAnswer {
            prompt: Prompt { system: weighed.system.as_deref(), user: &weighed.prompt },
            answer: &weighed.answer,
        })
        .collect();
    let llm = load(name);
    let together = llm.likelihoods_all(&asked).unwrap();
    let mut worst = 0.0_f64;
    for ((expected, likelihood), asked) in expected.iter().zip(&together).zip(&asked) {
        assert_eq!(likelihood.tokens(), expected.tokens, "{asked:?}");
        let difference = likelihood.per_token() - expected.log_probability / expected.tokens as f64;
        worst = worst.max(difference.abs());
        assert_eq!(llm.likelihoods_all(&[*asked]).unwrap()[0], *likelihood, "alone");
    }
    assert!(worst < TOLERANCE, "{name}: {worst}");
}

#[test]
fn smollm2_gives_answers_the_probabilities_of_transformers() {
    assert_likelihoods_agree("smollm2-135m");
}

#[test]
fn gemma3_gives_answers_the_probabilities_of_transformers() {
    assert_likelihoods_agree("gemma3-270m");
}

#[test]
fn smollm2_answers_as_in_transformers() {
    assert_agrees("smollm2-135m");
}

#[test]
fn gemma3_answers_as_in_transformers() {
    assert_agrees("gemma3-270m");
}

#[test]
#[ignore = "downloads 490 MB"]
fn qwen2_answers_as_in_transformers() {
    assert_agrees("qwen2.5-0.5b");
}

#[test]
#[ignore = "downloads 1.1 GB"]
fn qwen2_of_three_times_the_size_answers_as_in_transformers() {
    assert_agrees("qwen2.5-1.5b");
}

const TOPICS: [&str; 6] = ["radium", "gravity", "penicillin", "evolution", "insulin", "calculus"];

/// candle's operators, which a GPU uses, on the CPU: the same greedy answers as the kernels, and nearly the same log-odds and
/// probabilities, of all prompts together. Returns the largest difference, in nats.
fn assert_operators_agree(name: &str) -> f64 {
    let path = Models::from_env().unwrap().store().resolve(name, ModelKind::Llm, &Silent).unwrap();
    let config = GenerateConfig::default();
    let kernels = Gguf::load(&path, &config).unwrap();
    let operators = Gguf::with_operators(&path, &config, Precision::F32).unwrap();
    let texts = TOPICS.map(|topic| {
        let question = format!("Question: Who is best known for {topic}?\nGive just one name of a person.");
        [question.clone(), format!("Context: Much was written about {topic}.\n\n{question}")]
    });
    let prompts: Vec<Prompt<'_>> = texts.as_flattened().iter().map(|text| text.as_str().into()).collect();
    let [ours, expected] =
        [&operators, &kernels].map(|llm| llm.generate_all(prompts.iter().copied()).unwrap());
    let differ = ours.iter().zip(&expected).filter(|(ours, expected)| ours != expected);
    let differ: Vec<_> = differ.collect();
    assert!(differ.is_empty(), "{name}: {} of {} answers differ: {differ:#?}", differ.len(), prompts.len());

    let (positive, negative) = ("A woman did.", "A man did.");
    let choices: Vec<_> = prompts.iter().map(|&prompt| ChoicePrompt { prompt, positive, negative }).collect();
    let [ours, expected] = [&operators, &kernels].map(|llm| llm.choose_all(&choices).unwrap());
    let mut worst = 0.0_f64;
    for (ours, expected) in ours.iter().zip(&expected) {
        worst = worst.max((ours.choice().unwrap().log_odds - expected.choice().unwrap().log_odds).abs());
    }
    let answers: Vec<_> = (prompts.iter())
        .flat_map(|&prompt| ["Marie Curie", "Isaac Newton"].map(|answer| PossibleAnswer { prompt, answer }))
        .collect();
    let [ours, expected] = [&operators, &kernels].map(|llm| llm.likelihoods_all(&answers).unwrap());
    for (ours, expected) in ours.iter().zip(&expected) {
        assert_eq!(ours.tokens(), expected.tokens());
        worst = worst.max((ours.per_token() - expected.per_token()).abs());
    }
    assert!(worst < 1e-3, "{name}: {worst}");
    worst
}

#[test]
fn smollm2_answers_alike_on_candles_operators() {
    println!("{:.1e}", assert_operators_agree("smollm2-135m"));
}

#[test]
fn gemma3_answers_alike_on_candles_operators() {
    println!("{:.1e}", assert_operators_agree("gemma3-270m"));
}

#[test]
#[ignore = "downloads 490 MB"]
fn qwen2_answers_alike_on_candles_operators() {
    println!("{:.1e}", assert_operators_agree("qwen2.5-0.5b"));
}
