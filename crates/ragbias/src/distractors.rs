//! A corpus with documents of another one mixed in.

use ragbias_core::{Corpus, Document};
use serde_json::Value;

use crate::Result;

/// The corpus, followed by the documents of another one, called `NAME/ID`; their twins are twins of each other alone.
///
/// # Errors
/// A document of this corpus that is already called so.
pub(crate) fn with_distractors(corpus: &Corpus, name: &str, other: &Corpus) -> Result<Corpus> {
    let renamed = other.documents().iter().map(|document| {
        let mut document: Document = document.clone();
        document.id = format!("{name}/{}", document.id);
        if let Some(pair) = document.metadata.get("pair").and_then(Value::as_str) {
            let pair = format!("{name}/{pair}");
            document.metadata.insert("pair".into(), pair.into());
        }
        document
    });
    Ok(Corpus::new(corpus.documents().iter().cloned().chain(renamed).collect())?)
}

#[cfg(test)]
mod tests {
    use ragbias_core::Pairs;
    use ragbias_data::Dataset;

    use super::*;

    #[test]
    fn documents_of_both_are_there_and_twins_stay_twins() {
        let corpus = Dataset::bundled("gender-twins").unwrap().corpus;
        let mixed = with_distractors(&corpus, "again", &corpus).unwrap();
        assert_eq!(mixed.len(), 2 * corpus.len());
        assert_eq!(mixed.documents()[..corpus.len()], *corpus.documents());
        assert_eq!(mixed.documents()[corpus.len()].id, format!("again/{}", corpus.documents()[0].id));
        assert!(Pairs::of(&mixed).unwrap().is_some());
        assert!(with_distractors(&mixed, "again", &corpus).is_err());
    }
}
