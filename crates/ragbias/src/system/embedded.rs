use std::sync::Arc;

use ragbias_core::{
    Corpus, Document, Embedder, Embeddings, Hit, IndexBackend, Question, Role, Similarity, VectorIndex,
};

use super::twins::TwinVectors;
use crate::embedding::embed_all;
use crate::ranking::Ranking;
use crate::{Error, Result, Workspace};

/// A searchable corpus: embedded and indexed once, with the embedder of questions and the ranking.
///
/// The question embedder and the ranking can be replaced without rebuilding the index: controls of E_b that change only these share
/// it. A clone shares everything.
#[derive(Clone)]
pub struct Embedded {
    corpus: Corpus,
    embedder: Arc<dyn Embedder>,
    backend: Arc<dyn IndexBackend>,
    index: Arc<dyn VectorIndex>,
    similarity: Similarity,
    /// Of the documents that have a twin, whose similarity is compared even if neither is among the nearest.
    twins: Option<Arc<TwinVectors>>,
    /// None means the order of the index.
    ranking: Option<Arc<dyn Ranking>>,
    workspace: Workspace,
}

impl Embedded {
    /// Embeds and indexes every document; hits are in the order of the index.
    ///
    /// # Errors
    /// Errors of the embedder or the backend.
    pub fn new(
        corpus: &Corpus,
        embedder: Arc<dyn Embedder>,
        backend: Arc<dyn IndexBackend>,
        workspace: &Workspace,
    ) -> Result<Self> {
        let texts: Vec<String> = corpus.documents().iter().map(Document::full_text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let progress = workspace.progress();
        let vectors = embed_all(embedder.as_ref(), &texts, Role::Document, "embedding documents", progress)?;
        let (similarity, twins) = (embedder.similarity(), TwinVectors::of(corpus, &vectors));
        let index = backend.index(similarity, vectors)?;
        if index.len() != corpus.len() {
            let (expected, received) = (corpus.len(), index.len());
            return Err(Error::IndexLength { expected, received });
        }
        Ok(Self {
            corpus: corpus.clone(),
            embedder,
            backend,
            index: index.into(),
            similarity,
            twins: twins.map(Arc::new),
            ranking: None,
            workspace: workspace.clone(),
        })
    }

    /// The same corpus with another embedder for documents and questions: indexed anew.
    ///
    /// # Errors
    /// Those of [`Embedded::new`].
    pub fn embedded_by(&self, embedder: Arc<dyn Embedder>) -> Result<Self> {
        let anew = Self::new(&self.corpus, embedder, Arc::clone(&self.backend), &self.workspace)?;
        Ok(Self { ranking: self.ranking.clone(), ..anew })
    }

    /// The same index, with another embedder for questions.
    ///
    /// # Errors
    /// Another dimension.
    pub fn asked_by(&self, embedder: Arc<dyn Embedder>) -> Result<Self> {
        let (expected, received) = (self.index.dim(), embedder.dim());
        if expected != received {
            return Err(ragbias_core::Error::Dimension { expected, received }.into());
        }
        Ok(Self { embedder, ..self.clone() })
    }

    /// The same index, with another ranking; none means the order of the index.
    #[must_use]
    pub fn ranked_by(&self, ranking: Option<Arc<dyn Ranking>>) -> Self {
        Self { ranking, ..self.clone() }
    }

    /// The documents.
    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// The context in which it was embedded.
    pub(crate) fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// The embedder of questions.
    pub fn embedder(&self) -> &Arc<dyn Embedder> {
        &self.embedder
    }

    /// The ranking of hits, if it is not that of the index.
    pub fn ranking(&self) -> Option<&dyn Ranking> {
        self.ranking.as_deref()
    }

    /// The `k` nearest documents of each text, before ranking.
    ///
    /// # Errors
    /// Errors of the embedder or the index.
    pub fn nearest(&self, questions: &[&str], k: usize) -> Result<Vec<Vec<Hit>>> {
        self.nearest_to(&self.vectors(questions)?, k)
    }

    /// The vectors of questions.
    pub(crate) fn vectors(&self, questions: &[&str]) -> Result<Embeddings> {
        let (embedder, progress) = (self.embedder.as_ref(), self.workspace.progress());
        embed_all(embedder, questions, Role::Question, "embedding questions", progress)
    }

    /// The `k` nearest documents of each vector.
    pub(crate) fn nearest_to(&self, questions: &Embeddings, k: usize) -> Result<Vec<Vec<Hit>>> {
        Ok(self.index.search(questions, k)?)
    }

    /// The vectors of twins, and how they are compared with a question's.
    pub(super) fn twins(&self) -> Option<(&TwinVectors, Similarity)> {
        self.twins.as_deref().map(|twins| (twins, self.similarity))
    }

    /// A question's nearest documents after ranking.
    pub(crate) fn rank(&self, nearest: &[Hit], question: &Question) -> Vec<Hit> {
        match &self.ranking {
            Some(ranking) => ranking.order(nearest.to_vec(), question, &self.corpus),
            None => nearest.to_vec(),
        }
    }
}
