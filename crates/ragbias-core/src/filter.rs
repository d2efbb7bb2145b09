use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{Document, Error, Result};

/// Which documents are searched: those that have, for every field of the filter, one of its values.
///
/// A field is one of the documents' metadata; a document without it has the value null. A document whose field is a list has each
/// value of the list. 1 and 1.0 are equal.
///
/// ```
/// use ragbias_core::{Document, Filter};
///
/// let filter: Filter = serde_json::from_str(r#"{"language": ["en", "de"], "draft": false}"#)?;
/// let mut document = Document::new("d", "a text");
/// document.metadata = serde_json::from_str(r#"{"language": "de", "draft": false, "year": 2024}"#)?;
/// assert!(filter.accepts(&document) && Filter::default().accepts(&document));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Value>")]
pub struct Filter(BTreeMap<String, Vec<Value>>);

impl Filter {
    /// A filter by fields: each has one value, or a list of which one must be there.
    ///
    /// # Errors
    /// [`Error::Filter`] for an object, or a list within a list, to which nothing is compared.
    pub fn new(fields: BTreeMap<String, Value>) -> Result<Self> {
        let wanted = fields.into_iter().map(|(field, value)| {
            let values = match value {
                Value::Array(values) => values,
                one => vec![one],
            };
            if values.iter().any(|value| value.is_object() || value.is_array()) {
                return Err(Error::Filter { field });
            }
            Ok((field, values))
        });
        Ok(Self(wanted.collect::<Result<_>>()?))
    }

    /// Whether every document is accepted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields, in alphabetical order, with the values of which a document has one.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[Value])> {
        self.0.iter().map(|(field, values)| (field.as_str(), values.as_slice()))
    }

    /// Whether a document is searched.
    pub fn accepts(&self, document: &Document) -> bool {
        self.fields().all(|(field, wanted)| {
            let value = document.metadata.get(field).unwrap_or(&Value::Null);
            let is = |value: &Value| wanted.iter().any(|wanted| same(wanted, value));
            value.as_array().map_or_else(|| is(value), |values| values.iter().any(is))
        })
    }
}

impl TryFrom<BTreeMap<String, Value>> for Filter {
    type Error = Error;

    fn try_from(fields: BTreeMap<String, Value>) -> Result<Self> {
        Self::new(fields)
    }
}

/// Whether two values are equal; 1 and 1.0 are.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.as_f64() == b.as_f64() && (a.is_f64() || b.is_f64()))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filter(value: Value) -> Filter {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_document_is_accepted_if_every_field_has_a_wanted_value() {
        let mut document = Document::new("d", "a text");
        document.metadata =
            json!({ "year": 2024, "tags": ["law", "work"], "draft": false }).as_object().unwrap().clone();
        for accepted in [
            json!({}),
            json!({ "year": 2024.0 }),
            json!({ "year": [2023, 2024], "tags": "law" }),
            json!({ "draft": false, "absent": null }),
        ] {
            assert!(filter(accepted.clone()).accepts(&document), "{accepted}");
        }
        for refused in [
            json!({ "year": "2024" }),
            json!({ "year": 2024, "tags": "art" }),
            json!({ "year": [] }),
            json!({ "absent": true }),
        ] {
            assert!(!filter(refused.clone()).accepts(&document), "{refused}");
        }
    }

    #[test]
    fn a_value_to_which_nothing_is_compared_is_refused_by_its_field() {
        for wrong in [json!({ "year": { "from": 1 } }), json!({ "year": [[1]] })] {
            let error = serde_json::from_value::<Filter>(wrong).unwrap_err().to_string();
            assert!(error.starts_with("filter: the value of `year`: expected a string"), "{error}");
        }
    }
}
