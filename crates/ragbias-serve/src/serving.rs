use std::collections::BTreeSet;
use std::sync::Arc;

use ragbias::Retriever;
use ragbias::core::{Embedder, Role};

use crate::Result;

/// Texts that are embedded in both roles, to find out whether a question's vector is that of a document.
const PROBES: [&str; 3] = ["Who designed the bridge?", "a", "an old judge, a young woman"];

/// What is served: an embedder, and possibly a corpus that is searched with a control.
pub struct Serving {
    model: String,
    retrieval: Retrieval,
    /// The fields of the documents' metadata.
    fields: BTreeSet<String>,
    roles_differ: bool,
}

enum Retrieval {
    Vectors(Arc<dyn Embedder>),
    Documents(Box<Retriever>),
}

impl Serving {
    /// The vectors of an embedder, which requests call `model`.
    ///
    /// # Errors
    /// Failures of the embedder.
    pub fn embedder(model: impl Into<String>, embedder: Arc<dyn Embedder>) -> Result<Self> {
        Self::of(model.into(), Retrieval::Vectors(embedder), BTreeSet::new())
    }

    /// The documents of a retriever, and the vectors of its embedder, which requests call `model`.
    ///
    /// # Errors
    /// Failures of the embedder.
    pub fn retriever(model: impl Into<String>, retriever: Retriever) -> Result<Self> {
        let fields = retriever.fields();
        Self::of(model.into(), Retrieval::Documents(Box::new(retriever)), fields)
    }

    fn of(model: String, retrieval: Retrieval, fields: BTreeSet<String>) -> Result<Self> {
        let mut serving = Self { model, retrieval, fields, roles_differ: false };
        let embedder = serving.vectors();
        let as_question = embedder.embed(&PROBES, Role::Question)?;
        serving.roles_differ = as_question.as_slice() != embedder.embed(&PROBES, Role::Document)?.as_slice();
        Ok(serving)
    }

    /// What requests call the embedder.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Dimensions of its vectors.
    pub fn dim(&self) -> usize {
        self.vectors().dim()
    }

    /// Number of documents that are searched, when they were last counted; none if only vectors are served.
    pub fn documents_served(&self) -> Option<usize> {
        self.documents().map(Retriever::len)
    }

    pub(crate) fn vectors(&self) -> &dyn Embedder {
        match &self.retrieval {
            Retrieval::Vectors(embedder) => embedder,
            Retrieval::Documents(retriever) => retriever.embedder(),
        }
    }

    pub(crate) fn documents(&self) -> Option<&Retriever> {
        match &self.retrieval {
            Retrieval::Vectors(_) => None,
            Retrieval::Documents(retriever) => Some(retriever),
        }
    }

    pub(crate) fn fields(&self) -> &BTreeSet<String> {
        &self.fields
    }

    /// Whether the vector of a question differs from that of a document with the same text.
    pub(crate) fn roles_differ(&self) -> bool {
        self.roles_differ
    }
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving")
            .field("model", &self.model)
            .field("documents", &self.documents_served())
            .finish_non_exhaustive()
    }
}
