use std::collections::{BTreeMap, BTreeSet};

use ragbias::core::Document;
use serde::Deserialize;
use serde_json::Value;

use crate::failure::Failure;

/// Which documents are searched: those that have, for every field of the filter, one of its values.
///
/// A field is one of the documents' metadata. A document whose field is a list has each value of the list.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Filter(BTreeMap<String, Wanted>);

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Wanted {
    AnyOf(Vec<Value>),
    One(Value),
}

impl Filter {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks that documents have such fields, and that values can be compared.
    pub(crate) fn check(&self, fields: &BTreeSet<String>) -> Result<(), Failure> {
        for (field, wanted) in &self.0 {
            if !fields.contains(field) {
                let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
                let known = if fields.is_empty() { "none".into() } else { fields.join(", ") };
                return Err(Failure::Wrong(format!(
                    "filter: no document has a field `{field}` in its metadata; fields: {known}"
                )));
            }
            if wanted.values().iter().any(|value| value.is_object() || value.is_array()) {
                let expected = "expected a string, a number, true, false, null, or a list of them";
                return Err(Failure::Wrong(format!("filter: the value of `{field}`: {expected}")));
            }
        }
        Ok(())
    }

    pub(crate) fn accepts(&self, document: &Document) -> bool {
        self.0.iter().all(|(field, wanted)| {
            let value = document.metadata.get(field).unwrap_or(&Value::Null);
            let is = |value: &Value| wanted.values().iter().any(|wanted| same(wanted, value));
            value.as_array().map_or_else(|| is(value), |values| values.iter().any(is))
        })
    }
}

impl Wanted {
    fn values(&self) -> &[Value] {
        match self {
            Self::AnyOf(values) => values,
            Self::One(value) => std::slice::from_ref(value),
        }
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
    fn a_field_that_no_document_has_is_refused_by_name() {
        let fields = BTreeSet::from(["year".to_owned()]);
        assert_eq!(filter(json!({ "year": 1 })).check(&fields), Ok(()));
        let Err(Failure::Wrong(message)) = filter(json!({ "yaer": 1 })).check(&fields) else { panic!() };
        assert_eq!(message, "filter: no document has a field `yaer` in its metadata; fields: year");
        assert!(filter(json!({ "year": { "from": 1 } })).check(&fields).is_err());
    }
}
