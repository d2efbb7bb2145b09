use std::collections::BTreeSet;

use ragbias::core::Filter;

use crate::failure::Failure;

/// Checks that documents have the fields of a filter.
pub(crate) fn check(filter: &Filter, fields: &BTreeSet<String>) -> Result<(), Failure> {
    match filter.fields().find(|(field, _)| !fields.contains(*field)) {
        None => Ok(()),
        Some((field, _)) => {
            let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
            let known = if fields.is_empty() { "none".into() } else { fields.join(", ") };
            Err(Failure::Wrong(format!(
                "filter: no document has a field `{field}` in its metadata; fields: {known}"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_no_document_has_is_refused_by_name() {
        let fields = BTreeSet::from(["year".to_owned()]);
        let filter = |text| serde_json::from_str::<Filter>(text).unwrap();
        assert_eq!(check(&filter(r#"{"year": 1}"#), &fields), Ok(()));
        let Err(Failure::Wrong(message)) = check(&filter(r#"{"yaer": 1}"#), &fields) else { panic!() };
        assert_eq!(message, "filter: no document has a field `yaer` in its metadata; fields: year");
    }
}
