use ragbias::Found;
use ragbias::core::Document;
use serde::Serialize;
use serde_json::{Map, Value};

/// A document that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct SearchHit {
    id: String,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    text: String,
    metadata: Map<String, Value>,
}

impl SearchHit {
    pub(crate) fn of(found: Found<'_>) -> Self {
        let Document { id, title, text, metadata } = found.document.into_owned();
        Self { id, score: found.score, title, text, metadata }
    }
}
