use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Axis, ContentHasher, ContentId, Error, Lean, Result};

/// Position of a document in its corpus, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocId(pub u32);

impl DocId {
    /// As an index into the documents.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One document of a corpus, in the BEIR layout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Unique within its corpus.
    #[serde(rename = "_id")]
    pub id: String,
    /// May be absent or empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The text; not empty once it is part of a [`Corpus::new`].
    pub text: String,
    /// All other fields. `lean` is the optional gold label, read by [`Document::gold_lean`].
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

impl Document {
    /// A document without title and metadata.
    pub fn new(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self { id: id.into(), title: None, text: text.into(), metadata: Map::new() }
    }

    /// The gold label `metadata.lean`, if present: −1, 0 or 1 in any spelling ([`Lean::from_label`]). null and
    /// blank text mean no label.
    ///
    /// # Errors
    /// [`Error::Label`] if it is present but not a lean. The name of a pole is only valid on its axis:
    /// [`Document::label_on`] converts it to a number.
    pub fn gold_lean(&self) -> Result<Option<Lean>> {
        self.lean_on(None)
    }

    /// Replaces the gold label by a number, if it is the name of a pole of this axis or a number in some spelling.
    ///
    /// # Errors
    /// [`Error::Label`] if it is not a lean on this axis.
    pub fn label_on(&mut self, axis: &Axis) -> Result<()> {
        match self.lean_on(Some(axis))? {
            Some(lean) => self.metadata.insert("lean".into(), i64::from(lean).into()),
            None => self.metadata.remove("lean"),
        };
        Ok(())
    }

    fn lean_on(&self, axis: Option<&Axis>) -> Result<Option<Lean>> {
        let label = match self.metadata.get("lean") {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        Lean::from_label(&label, axis).map(Some).ok_or(Error::Label(label))
    }

    /// Whether the gold label is a word, which may be the name of a pole of an unknown axis.
    fn is_labelled_in_words(&self) -> bool {
        let label = self.metadata.get("lean").and_then(Value::as_str).unwrap_or_default();
        label.starts_with(char::is_alphabetic)
    }

    /// Whether its text contains more than white space.
    pub fn has_text(&self) -> bool {
        !self.text.trim().is_empty()
    }

    /// Title and text separated by a space, or only the text: the input of the embedder.
    pub fn full_text(&self) -> String {
        match self.title.as_deref().map(str::trim) {
            Some(title) if !title.is_empty() => format!("{title} {}", self.text),
            _ => self.text.clone(),
        }
    }
}

/// Documents in a fixed order, each with a text and a unique id. A clone shares them.
#[derive(Debug, Clone)]
pub struct Corpus {
    documents: Arc<[Document]>,
    positions: Arc<HashMap<String, DocId>>,
}

impl Corpus {
    /// A corpus of these documents, in this order.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::EmptyText`], [`Error::DuplicateId`], or [`Error::Label`] for a gold label that is not a lean on
    /// any axis.
    pub fn new(documents: Vec<Document>) -> Result<Self> {
        if let Some(document) = documents.iter().find(|document| !document.has_text()) {
            return Err(Error::EmptyText { what: "document", id: document.id.clone() });
        }
        Self::allowing_empty_texts(documents)
    }

    /// A corpus in which a document may have no text, as some published retrieval sets have and count in their
    /// figures. Such a document can be ranked, but neither scored nor given to an LLM.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::DuplicateId`], or [`Error::Label`] for a gold label that is not a lean on any axis.
    pub fn allowing_empty_texts(documents: Vec<Document>) -> Result<Self> {
        if documents.is_empty() {
            return Err(Error::Empty("corpus"));
        }
        let mut positions = HashMap::with_capacity(documents.len());
        for (position, document) in documents.iter().enumerate() {
            if !document.is_labelled_in_words() {
                document.gold_lean()?;
            }
            if let Some(DocId(first)) = positions.insert(document.id.clone(), DocId(position as u32)) {
                let (first, second) = (first as usize + 1, position + 1);
                return Err(Error::DuplicateId { what: "document", id: document.id.clone(), first, second });
            }
        }
        Ok(Self { documents: documents.into(), positions: Arc::new(positions) })
    }

    /// All documents, in order.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// Number of documents, at least one.
    #[expect(clippy::len_without_is_empty, reason = "a corpus is never empty")]
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// The document at a position.
    ///
    /// # Panics
    /// If the position is not in this corpus.
    pub fn document(&self, doc: DocId) -> &Document {
        &self.documents[doc.index()]
    }

    /// Position of the document with this `_id`.
    pub fn position(&self, id: &str) -> Option<DocId> {
        self.positions.get(id).copied()
    }

    /// The hash of all ids, titles, texts and gold labels, and of the pairs, draws and names of twins, in order.
    pub fn content_id(&self) -> ContentId {
        let mut hasher = ContentHasher::new("corpus/1");
        for document in self.documents() {
            let lean = document.metadata.get("lean").map(Value::to_string).unwrap_or_default();
            hasher = hasher
                .field(&document.id)
                .field(document.title.as_deref().unwrap_or_default())
                .field(&document.text)
                .field(lean);
            for key in ["pair", "draw", "name"] {
                if let Some(value) =
                    document.metadata.get(key).filter(|_| document.metadata.contains_key("pair"))
                {
                    hasher = hasher.field(key).field(value.to_string());
                }
            }
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answering, Pole};

    #[test]
    fn a_document_of_the_beir_layout_round_trips() {
        let json = r#"{"_id":"d1","title":"T","text":"x","metadata":{"lean":-1,"url":"u"}}"#;
        let document: Document = serde_json::from_str(json).unwrap();
        assert_eq!(document.gold_lean().unwrap(), Some(Lean::Negative));
        assert_eq!(document.full_text(), "T x");
        assert_eq!(serde_json::to_string(&document).unwrap(), json);
    }

    #[test]
    fn bad_documents_are_refused_by_name() {
        let twice = vec![Document::new("a", "x"), Document::new("b", "y"), Document::new("a", "z")];
        let error = Corpus::new(twice).unwrap_err().to_string();
        assert_eq!(error, "document `a` occurs twice (number 1 and number 3); every _id must be unique");
        let error = Corpus::new(vec![Document::new("a", " \n")]).unwrap_err().to_string();
        assert_eq!(error, "document `a` has no text");
        assert!(Corpus::new(vec![]).is_err());
    }

    #[test]
    fn a_document_without_text_is_let_in_only_where_it_is_asked_for() {
        let documents = vec![Document::new("a", " "), Document::new("b", "x")];
        assert!(Corpus::new(documents.clone()).is_err());
        let corpus = Corpus::allowing_empty_texts(documents).unwrap();
        assert_eq!((corpus.len(), corpus.documents()[0].has_text()), (2, false));
        assert!(Corpus::allowing_empty_texts(vec![Document::new("a", ""), Document::new("a", "")]).is_err());
    }

    #[test]
    fn a_gold_label_that_is_no_lean_is_refused_as_it_was_written() {
        for bad in ["2", "true", "0.5", "[1]", "\"2\""] {
            let json = format!(r#"{{"_id":"d","text":"x","metadata":{{"lean":{bad}}}}}"#);
            let document: Document = serde_json::from_str(&json).unwrap();
            let error = Corpus::new(vec![document]).unwrap_err().to_string();
            assert!(error.ends_with(&format!("received {}", bad.trim_matches('"'))), "{error}");
        }
    }

    #[test]
    fn a_label_in_words_is_a_lean_on_the_axis_that_has_such_a_pole() {
        let pole = |name: &str| Pole::new(name, "");
        let axis = Axis::new("x", pole("left"), pole("right"), Answering::Name);
        let mut document = Document::new("d", "x");
        document.metadata.insert("lean".into(), "Right".into());
        assert!(document.gold_lean().is_err() && Corpus::new(vec![document.clone()]).is_ok());
        document.label_on(&axis).unwrap();
        assert_eq!(document.metadata["lean"], 1);
        document.metadata.insert("lean".into(), "female".into());
        assert!(document.label_on(&axis).is_err());
        document.metadata.insert("lean".into(), " ".into());
        document.label_on(&axis).unwrap();
        assert!(document.metadata.is_empty());
    }
}
