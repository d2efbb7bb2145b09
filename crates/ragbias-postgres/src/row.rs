use half::f16;
use ragbias_core::{ContentHasher, ContentId, Document};
use serde_json::{Map, Value};

use crate::description::Description;
use crate::wire::{Json, Vector};
use crate::{Error, Result, VectorType};

/// Longest id, in bytes: what fits into a row of the table's primary key.
const LONGEST_ID: usize = 2_000;

/// A row to be stored.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) id: &'a str,
    pub(crate) title: Option<&'a str>,
    pub(crate) text: &'a str,
    pub(crate) metadata: Json,
    pub(crate) content: ContentId,
    pub(crate) vector: Vector<'a>,
}

impl<'a> Row<'a> {
    pub(crate) fn of(document: &'a Document, vector: &'a [f32]) -> Self {
        Self {
            id: &document.id,
            title: document.title.as_deref(),
            text: &document.text,
            metadata: written(&document.metadata),
            content: content(document),
            vector: Vector(vector),
        }
    }
}

fn written(metadata: &Map<String, Value>) -> Json {
    Json(serde_json::to_string(metadata).expect("metadata has only values of JSON; this is a bug"))
}

/// The hash of everything that a row has of a document: if it differs, the row is replaced.
pub(crate) fn content(document: &Document) -> ContentId {
    ContentHasher::new("row/1")
        .field(&document.id)
        .field(&document.text)
        .field(written(&document.metadata).0)
        .last(document.title.as_deref())
        .finish()
}

/// Refuses a document that PostgreSQL cannot store.
pub(crate) fn check_document(document: &Document) -> Result<()> {
    let wrong = |reason| Err(Error::Document { id: document.id.replace('\0', "\\0"), reason });
    let texts = [Some(document.id.as_str()), document.title.as_deref(), Some(&document.text)];
    if texts.into_iter().flatten().any(|text| text.contains('\0')) {
        return wrong("has the character U+0000, which PostgreSQL cannot store");
    }
    if document.metadata.iter().any(|(field, value)| field.contains('\0') || has_nul(value)) {
        return wrong("has the character U+0000 in its metadata, which PostgreSQL cannot store");
    }
    if document.id.len() > LONGEST_ID {
        return wrong("has an _id of more than 2000 bytes");
    }
    Ok(())
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Refuses vectors that the type of a table cannot hold: f16 ends at 65504.
pub(crate) fn check_values(values: &[f32], description: &Description) -> Result<()> {
    let fits = |value: &&f32| f16::from_f32(**value).is_finite();
    match values.iter().find(|value| !fits(value)) {
        Some(value) if description.vector_type == VectorType::HalfVec => Err(Error::Setting {
            what: "a value of a vector",
            expected: "-65504 to 65504, as a halfvec holds it".into(),
            received: value.to_string(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::testing::HashEmbedder;
    use serde_json::json;

    use super::*;
    use crate::TableConfig;

    #[test]
    fn the_content_is_that_of_every_field() {
        let mut document = Document::new("d", "a text");
        let mut contents = vec![content(&document)];
        document.metadata = json!({ "year": 1 }).as_object().unwrap().clone();
        contents.push(content(&document));
        document.title = Some(String::new());
        contents.push(content(&document));
        document.text += ".";
        contents.push(content(&document));
        document.id += ".";
        contents.push(content(&document));
        let different: std::collections::BTreeSet<_> = contents.iter().collect();
        assert_eq!(different.len(), contents.len());
    }

    #[test]
    fn what_postgresql_cannot_store_is_refused_by_its_document() {
        let metadata = json!({ "a": ["b", { "c": "d\0" }] }).as_object().unwrap().clone();
        for (document, reason) in [
            (Document::new("d", "a\0"), "U+0000"),
            (Document { metadata, ..Document::new("d", "a") }, "in its metadata"),
            (Document::new("d".repeat(2001), "a"), "2000 bytes"),
        ] {
            let error = check_document(&document).unwrap_err().to_string();
            assert!(error.starts_with("document `d") && error.contains(reason), "{error}");
        }
        assert!(check_document(&Document::new("d", "a")).is_ok());
    }

    #[test]
    fn a_value_beyond_f16_is_refused_where_it_is_stored_so() {
        let config = TableConfig::of("hash", &HashEmbedder::new(8, 1));
        assert!(check_values(&[7e4], &config.description()).is_ok());
        let half = config.vector_type(Some(VectorType::HalfVec)).description();
        assert!(check_values(&[6.5e4, -1e-8], &half).is_ok() && check_values(&[0.0, 7e4], &half).is_err());
    }
}
