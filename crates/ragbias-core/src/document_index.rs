use std::collections::BTreeSet;

use crate::{ContentId, Document, Embeddings, Filter, Result, Similarity};

/// Documents that are stored elsewhere with their vectors, and searched there: in a table of a database, in a service.
///
/// A [`VectorIndex`](crate::VectorIndex) knows the positions of documents in a corpus that is in memory; this one has the documents.
///
/// Implementers: return hits best first, and documents of equal score in the order of their ids, by bytes. If an error may pass by
/// itself, as when a server restarts, it is [`Error::Unavailable`](crate::Error::Unavailable).
pub trait DocumentIndex: Send + Sync {
    /// The [`id`](crate::Embedder::id) of the embedder whose vectors are stored.
    fn embedder(&self) -> ContentId;

    /// The name under which that embedder was loaded, for people.
    fn embedder_name(&self) -> String;

    /// Dimensions of a vector.
    fn dim(&self) -> usize;

    /// How vectors are compared.
    fn similarity(&self) -> Similarity;

    /// Number of documents, when they were last counted.
    fn len(&self) -> usize;

    /// Whether there were no documents, when they were last counted.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The fields of the documents' metadata, when they were last listed.
    fn fields(&self) -> &BTreeSet<String>;

    /// The `k` nearest documents of each question among those that the filter accepts; all of these if there are fewer.
    ///
    /// `questions` is `(n, dim)`, of unit length if vectors are compared by cosine.
    ///
    /// # Errors
    /// Questions of another dimension, or failures of what stores the documents.
    fn nearest(&self, questions: &Embeddings, k: usize, filter: &Filter) -> Result<Vec<Vec<DocumentHit>>>;
}

/// A document found by a [`DocumentIndex`].
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentHit {
    /// The document.
    pub document: Document,
    /// Its similarity to the question, by the [`Similarity`] of the index: a cosine is in [−1, 1].
    pub score: f32,
}
