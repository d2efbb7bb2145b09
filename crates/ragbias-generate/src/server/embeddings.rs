//! Vectors of an OpenAI-compatible server.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::json;

use super::LONGEST_LISTING;
use super::address::Address;
use super::failure::{Failure, Then};
use super::hosts::AllowedHost;
use super::identity::{Identity, Listing};
use super::key::Key;
use super::patient::{answered, before, patiently};
use super::transport::{Response, Transport};
use crate::Result;

/// Longest time that vectors may take.
const PATIENCE: Duration = Duration::from_mins(2);

const HINT: &str = "the address must be of OpenAI's embeddings, and ends before /embeddings, as in http://localhost:8080/v1#minilm";

const PATH: &str = "/embeddings";

/// A server that gives vectors: `POST {address}/embeddings`, as in OpenAI's API.
///
/// The key is that of the address, or else from `RAGBIAS_API_KEY` or `OPENAI_API_KEY`; it is sent to no other host.
pub struct EmbeddingServer {
    transport: Transport,
    address: Address,
    model: String,
}

/// Fields of a request beyond OpenAI's, which some servers know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EmbeddingRequest {
    /// `input_type`: `query` or `document`.
    pub input_type: Option<&'static str>,
    /// `truncate`: the end of a text that is too long may be left out.
    pub truncate: bool,
}

impl EmbeddingServer {
    /// The server at an address such as `http://localhost:8080/v1#minilm`; without a name after `#`, the only model that it lists.
    ///
    /// # Errors
    /// An address that is none, a key that must not be sent there, or several models and no name.
    pub fn connect(address: &str, allowed: &[AllowedHost]) -> Result<Self> {
        let address = Address::parse(&before(PATH, address.trim()))?;
        let transport = Transport::new(&address, Key::from_env()?, allowed, 1)?;
        let models = address.at("/models");
        let listing = match transport.send(&models, None, LONGEST_LISTING) {
            Ok(response) => Listing::read(&response, true),
            Err(failure) => Ok(Listing::Nothing(failure.reason)),
        };
        let listing = listing.unwrap_or_else(|failure| Listing::Nothing(failure.reason));
        let model = Identity::of(&address, listing, SystemTime::now())?.name;
        Ok(Self { transport, address, model })
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The address without secrets.
    pub fn label(&self) -> &str {
        self.address.label()
    }

    /// A vector for each text, in order, as the server gives them: of any length, all of one dimension, finite.
    ///
    /// # Errors
    /// A server that does not answer, or not with such vectors.
    pub fn embed(&self, texts: &[&str], request: EmbeddingRequest) -> Result<Vec<Vec<f32>>> {
        let mut body = json!({ "model": self.model, "input": texts, "encoding_format": "float" });
        if let Some(input_type) = request.input_type {
            body["input_type"] = input_type.into();
        }
        if request.truncate {
            body["truncate"] = true.into();
        }
        let (url, body) = (self.address.at(PATH), body.to_string());
        patiently(&self.address, PATH, HINT, || {
            vectors(&self.transport.send(&url, Some(&body), PATIENCE)?, texts.len())
        })
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    index: Option<usize>,
    embedding: Vec<f32>,
}

/// The vectors of a response, in the order of the texts.
fn vectors(response: &Response, texts: usize) -> Result<Vec<Vec<f32>>, Failure> {
    let wrong = |reason: String| Failure::new(reason, HINT, Then::Stop);
    let expected = "`data` with an `embedding` of numbers for each text";
    let answer: Answer = answered(response, expected, HINT)?;
    if answer.data.len() != texts {
        return Err(wrong(format!("expected {texts} vectors, received {}", answer.data.len())));
    }
    let mut rows: Vec<Option<Vec<f32>>> = vec![None; texts];
    for (place, row) in answer.data.into_iter().enumerate() {
        let index = row.index.unwrap_or(place);
        match rows.get_mut(index) {
            Some(free) if free.is_none() => *free = Some(row.embedding),
            _ => {
                return Err(wrong(format!(
                    "expected each `index` from 0 to {} once, received {index} again or beyond",
                    texts - 1
                )));
            }
        }
    }
    let rows: Vec<Vec<f32>> = rows.into_iter().flatten().collect();
    let dim = rows.first().map_or(0, Vec::len);
    if let Some(other) = rows.iter().find(|row| row.len() != dim || row.is_empty()) {
        return Err(wrong(format!("expected vectors of one dimension, received {dim} and {}", other.len())));
    }
    if rows.iter().flatten().any(|value| !value.is_finite()) {
        return Err(wrong("a value of a vector is not finite".into()));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn read(status: u16, body: Value, texts: usize) -> Result<Vec<Vec<f32>>, String> {
        let response = Response {
            status,
            kind: "application/json".into(),
            after: None,
            text: body.to_string(),
            held_secret: false,
        };
        vectors(&response, texts).map_err(|failure| failure.reason)
    }

    #[test]
    fn vectors_are_in_the_order_of_the_texts() {
        let row =
            |index: usize, x: f32| json!({ "object": "embedding", "index": index, "embedding": [x, 0.5] });
        let found = read(200, json!({ "data": [row(1, 2.0), row(0, 1.0)], "model": "m" }), 2).unwrap();
        assert_eq!(found, [[1.0, 0.5], [2.0, 0.5]]);
        let without = read(200, json!({ "data": [{ "embedding": [3.0] }] }), 1).unwrap();
        assert_eq!(without, [[3.0]]);
    }

    #[test]
    fn an_answer_that_has_not_a_vector_for_each_text_is_refused() {
        let row = |index: usize, vector: Value| json!({ "index": index, "embedding": vector });
        let refused = |status, body, texts| read(status, body, texts).unwrap_err();
        assert!(
            refused(200, json!({ "data": [row(0, json!([1]))] }), 2)
                .contains("expected 2 vectors, received 1")
        );
        assert!(
            refused(200, json!({ "data": [row(0, json!([1])), row(0, json!([1]))] }), 2)
                .contains("received 0 again")
        );
        assert!(
            refused(200, json!({ "data": [row(0, json!([1])), row(1, json!([1, 2]))] }), 2)
                .contains("one dimension")
        );
        assert!(refused(200, json!({ "data": [row(0, json!(["a"]))] }), 1).contains("of numbers"));
        assert!(refused(200, json!({ "data": [row(0, json!([]))] }), 1).contains("one dimension"));
        assert!(refused(200, json!([1, 2]), 1).contains("expected `data`"));
        assert!(
            refused(404, json!({ "error": { "message": "no such model" } }), 1).contains("no such model")
        );
    }
}
