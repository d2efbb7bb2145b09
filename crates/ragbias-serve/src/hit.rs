use ragbias::Found;
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
    pub(crate) fn of(found: &Found<'_>) -> Self {
        let document = found.document;
        Self {
            id: document.id.clone(),
            score: found.score,
            title: document.title.clone(),
            text: document.text.clone(),
            metadata: document.metadata.clone(),
        }
    }
}
