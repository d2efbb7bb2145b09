//! Misbehaving servers, one kind per test.

mod choices;
mod errors;
mod identity;
mod parallel;
mod secrets;
mod shapes;
mod thinking;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use proptest::prelude::*;
use ragbias_core::{Choice, GenerateAll};
use serde_json::{Value, json};

use super::mock::{Act, Mock, Request};
use super::*;

fn config() -> ServerConfig {
    ServerConfig {
        timeout: 5.0,
        backoff: Duration::from_millis(2),
        reasoning_tokens: 1000,
        ..ServerConfig::default()
    }
}

fn connect_to(address: &str, key: Option<Key>, config: &ServerConfig) -> Result<Server> {
    Server::with_key(&Address::parse(address)?, key, &[], config, &GenerateConfig::default())
}

fn connect_with(mock: &Mock, config: &ServerConfig) -> Result<Server> {
    connect_to(&format!("{}#m", mock.url()), None, config)
}

fn connect(mock: &Mock) -> Server {
    connect_with(mock, &config()).unwrap()
}

fn one(server: &Server) -> ragbias_core::Result<Answer> {
    Ok(server.generate_all(["Who?"])?.remove(0))
}

fn error_of(acts: Vec<Act>) -> (String, usize) {
    let mock = Mock::playing(acts);
    let error = one(&connect(&mock)).unwrap_err().to_string();
    (error, mock.asked().len())
}

const Q: Prompt<'_> = Prompt { system: None, user: "Q" };
const PROMPT: ChoicePrompt<'_> = ChoicePrompt { prompt: Q, negative: "left", positive: "right" };

/// An answer whose first token has these probabilities.
fn likely(tokens: &[(&str, f64)]) -> Act {
    let top: Vec<Value> =
        tokens.iter().map(|(token, p)| json!({ "token": token, "logprob": p.ln() })).collect();
    let told =
        json!({ "content": [{ "token": tokens[0].0, "logprob": tokens[0].1.ln(), "top_logprobs": top }] });
    Act::body(json!({ "choices": [{ "message": { "content": tokens[0].0 }, "finish_reason": "length", "logprobs": told }] }).to_string())
}

fn chosen(server: &Server) -> Chosen {
    server.choose_all(&[PROMPT]).unwrap().remove(0)
}

fn choice(server: &Server) -> Choice {
    *chosen(server).choice().expect("a choice was made")
}
