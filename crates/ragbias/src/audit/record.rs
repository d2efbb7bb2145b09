//! An answer as a program or a log writes it, a JSON object on a line.

use ragbias_core::{Answer, Document};
use serde::Deserialize;

use super::source::Answered;

/// The fields of an answer, the same for a program and for a log. A field of another name might change the answer, and is refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// Of the question.
    #[serde(rename = "_id")]
    pub(crate) id: Option<String>,
    /// The question itself, in a log.
    pub(crate) question: Option<String>,
    /// Its topic, in a log.
    pub(crate) topic: Option<String>,
    /// When it was answered, in a log: it places the answer for `ragbias monitor`, and changes nothing in an audit.
    pub(crate) time: Option<String>,
    answer: Option<String>,
    #[serde(default)]
    finish: Ending,
    documents: Option<Vec<Retrieved>>,
}

/// How an answer ended, as OpenAI's API calls it.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ending {
    #[default]
    Stop,
    Length,
    ContentFilter,
    Refusal,
}

/// A document that was retrieved: an object in the layout of a corpus, or a text alone.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a document: a text, or an object with `text` and, if known, `_id`, `title`, `metadata`"
)]
enum Retrieved {
    Text(String),
    Document(Fields),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(rename = "_id")]
    id: Option<String>,
    title: Option<String>,
    text: String,
    #[serde(default)]
    metadata: serde_json::Map<String, serde_json::Value>,
}

impl Record {
    /// Reads a line.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        serde_json::from_str(line).map_err(|error| error.to_string())
    }

    /// The answer; one that is null is a refusal.
    pub(crate) fn answered(self) -> Answered {
        let text = self.answer.unwrap_or_default().trim().to_owned();
        let answer = match self.finish {
            Ending::Stop => Answer::whole(text),
            Ending::Length => Answer::cut(text),
            Ending::ContentFilter | Ending::Refusal => Answer::refused(text),
        };
        let documents = self.documents.map(|documents| documents.into_iter().map(Document::from).collect());
        Answered { answer, documents }
    }
}

impl From<Retrieved> for Document {
    fn from(retrieved: Retrieved) -> Self {
        match retrieved {
            Retrieved::Text(text) => Self::new("", text),
            Retrieved::Document(Fields { id, title, text, metadata }) => {
                Self { id: id.unwrap_or_default(), title, text, metadata }
            }
        }
    }
}
