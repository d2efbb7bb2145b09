//! Documents that a search service finds.

use std::time::Duration;

use ragbias_core::Document;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::address::Address;
use super::failure::{Failure, Then};
use super::hosts::AllowedHost;
use super::key::Key;
use super::patient::{answered, before, patiently};
use super::transport::{Response, Transport};
use crate::{Error, Result};

/// Longest time that a search may take.
const PATIENCE: Duration = Duration::from_mins(2);

const PATH: &str = "/search";

const HINT: &str = "the address must be of a service that answers POST /search as `ragbias serve` does, and ends before /search, as in \
                    http://localhost:8080";

/// A service that searches documents: `POST {address}/search` with `{"query": [TEXT, …], "k": 1}`, which answers
/// `{"results": [[{"id", "score", "title"?, "text", "metadata"?}, …], …]}`, a list for each text, as `ragbias serve` does.
///
/// The key is that of the address, or else from `RAGBIAS_API_KEY` or `OPENAI_API_KEY`; it is sent to no other host.
pub struct SearchServer {
    transport: Transport,
    address: Address,
}

impl SearchServer {
    /// The service at an address such as `http://localhost:8080`. Nothing is sent yet.
    ///
    /// # Errors
    /// An address that is none, or has a model's name, and a key that must not be sent there.
    pub fn connect(address: &str, allowed: &[AllowedHost]) -> Result<Self> {
        let address = Address::parse(&before(PATH, address.trim()))?;
        if address.name().is_some() {
            return Err(Error::Setting {
                setting: "the retriever's address",
                expected: "an address without a model's name: a search has no model to choose",
                received: address.label().into(),
            });
        }
        let transport = Transport::new(&address, Key::from_env()?, allowed, 1)?;
        Ok(Self { transport, address })
    }

    /// The address without secrets.
    pub fn label(&self) -> &str {
        self.address.label()
    }

    /// The first document for each question, in order; none where nothing is found.
    ///
    /// # Errors
    /// A service that does not answer, or not in this form.
    pub fn first(&self, questions: &[&str]) -> Result<Vec<Option<Document>>> {
        let body = json!({ "query": questions, "k": 1 }).to_string();
        let url = self.address.at(PATH);
        patiently(&self.address, PATH, HINT, || {
            found(&self.transport.send(&url, Some(&body), PATIENCE)?, questions.len())
        })
    }
}

/// A field of another name might change which document was found, and is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[serde(rename = "model")]
    _model: Option<String>,
    results: Vec<Vec<Found>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    id: String,
    /// With one document for each question, nothing depends on it.
    #[serde(rename = "score")]
    _score: f64,
    title: Option<String>,
    text: String,
    #[serde(default)]
    metadata: Map<String, Value>,
}

/// The first document of each list of a response.
fn found(response: &Response, questions: usize) -> Result<Vec<Option<Document>>, Failure> {
    let wrong = |reason: String| Failure::new(reason, HINT, Then::Stop);
    let expected = "`results` with a list of documents for each question";
    let answer: Answer = answered(response, expected, HINT)?;
    let received = answer.results.len();
    if received != questions {
        return Err(wrong(format!("expected {questions} lists of documents, received {received}")));
    }
    let first = |(place, mut list): (usize, Vec<Found>)| match list.len() {
        0 => Ok(None),
        1 => Ok(list.pop().map(Document::from)),
        more => Err(wrong(format!("question {place}: expected one document, as `k` is 1, received {more}"))),
    };
    answer.results.into_iter().enumerate().map(first).collect()
}

impl From<Found> for Document {
    fn from(found: Found) -> Self {
        Self { id: found.id, title: found.title, text: found.text, metadata: found.metadata }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &Value, questions: usize) -> Result<Vec<Option<Document>>, String> {
        let response = Response {
            status,
            kind: "application/json".into(),
            after: None,
            text: body.to_string(),
            held_secret: false,
        };
        found(&response, questions).map_err(|failure| failure.reason)
    }

    #[test]
    fn the_first_document_of_each_question_is_taken() {
        let hit = json!({ "id": "d", "score": 0.5, "title": "Radium", "text": "She left.", "metadata": { "year": 1 } });
        let documents = read(200, &json!({ "model": "m", "results": [[hit], []] }), 2).unwrap();
        let first = documents[0].as_ref().unwrap();
        assert_eq!(
            (first.id.as_str(), first.title.as_deref(), first.text.as_str()),
            ("d", Some("Radium"), "She left.")
        );
        assert_eq!(first.metadata["year"], 1);
        assert!(documents[1].is_none());
    }

    #[test]
    fn an_answer_in_another_form_is_refused() {
        let hit = json!({ "id": "d", "score": 0.5, "text": "She left." });
        for (body, questions, reason) in [
            (json!({ "results": [[hit]] }), 2, "expected 2 lists of documents, received 1"),
            (
                json!({ "results": [[hit, hit]] }),
                1,
                "question 0: expected one document, as `k` is 1, received 2",
            ),
            (json!({ "results": [hit] }), 1, "a list of documents for each question"),
            (json!({ "results": [[hit]], "reranked": true }), 1, "unknown field `reranked`"),
            (json!({ "results": [[{ "id": "d", "text": "x" }]] }), 1, "missing field `score`"),
            (json!([1]), 1, "expected `results`"),
        ] {
            let refused = read(200, &body, questions).unwrap_err();
            assert!(refused.contains(reason), "{reason}: {refused}");
        }
        let failed = read(404, &json!({ "error": { "message": "no documents are served" } }), 1).unwrap_err();
        assert!(failed.contains("no documents are served"), "{failed}");
    }

    #[test]
    fn an_address_with_the_name_of_a_model_is_refused() {
        let refused = SearchServer::connect("http://127.0.0.1:1/search#m", &[]).err().unwrap().to_string();
        assert!(refused.contains("without a model's name"), "{refused}");
    }
}
