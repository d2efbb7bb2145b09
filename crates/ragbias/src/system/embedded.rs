use std::sync::Arc;

use ragbias_core::{Corpus, Document, Embedder, Hit, IndexBackend, Question, Role, VectorIndex};

use crate::embedding::embed_all;
use crate::ranking::Ranking;
use crate::{Error, Result, Workspace};

/// A corpus that can be searched: embedded and indexed, once, with the embedder of questions and the ranking.
///
/// What embeds questions and how hits are ranked can be replaced without another index: controls of E_b that move either share
/// it. A clone shares everything.
#[derive(Clone)]
pub struct Embedded {
    corpus: Corpus,
    embedder: Arc<dyn Embedder>,
    backend: Arc<dyn IndexBackend>,
    index: Arc<dyn VectorIndex>,
    /// None ranks as the index does.
    ranking: Option<Arc<dyn Ranking>>,
    workspace: Workspace,
}

impl Embedded {
    /// Embeds and indexes every document; hits are ranked as the index ranks them.
    ///
    /// # Errors
    /// Whatever the embedder or the backend fails with.
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
        let index = backend.index(embedder.similarity(), vectors)?;
        if index.len() != corpus.len() {
            let (expected, received) = (corpus.len(), index.len());
            return Err(Error::IndexLength { expected, received });
        }
        Ok(Self {
            corpus: corpus.clone(),
            embedder,
            backend,
            index: index.into(),
            ranking: None,
            workspace: workspace.clone(),
        })
    }

    /// The same corpus with another embedder, of documents and of questions: indexed anew.
    ///
    /// # Errors
    /// As [`Embedded::new`].
    pub fn embedded_by(&self, embedder: Arc<dyn Embedder>) -> Result<Self> {
        let anew = Self::new(&self.corpus, embedder, Arc::clone(&self.backend), &self.workspace)?;
        Ok(Self { ranking: self.ranking.clone(), ..anew })
    }

    /// The same index, asked with another embedder's vectors of questions.
    ///
    /// # Errors
    /// Another number of dimensions.
    pub fn asked_by(&self, embedder: Arc<dyn Embedder>) -> Result<Self> {
        let (expected, received) = (self.index.dim(), embedder.dim());
        if expected != received {
            return Err(ragbias_core::Error::Dimension { expected, received }.into());
        }
        Ok(Self { embedder, ..self.clone() })
    }

    /// The same index, whose hits are ranked in another way; without one as the index ranks them.
    #[must_use]
    pub fn ranked_by(&self, ranking: Option<Arc<dyn Ranking>>) -> Self {
        Self { ranking, ..self.clone() }
    }

    /// The documents.
    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// What embeds questions.
    pub fn embedder(&self) -> &Arc<dyn Embedder> {
        &self.embedder
    }

    /// How hits are ranked, where it is not as the index does.
    pub fn ranking(&self) -> Option<&dyn Ranking> {
        self.ranking.as_deref()
    }

    /// The `k` nearest documents of each text, before they are ranked.
    ///
    /// # Errors
    /// Whatever the embedder or the index fails with.
    pub fn nearest(&self, questions: &[&str], k: usize) -> Result<Vec<Vec<Hit>>> {
        let progress = self.workspace.progress();
        let embedder = self.embedder.as_ref();
        let vectors = embed_all(embedder, questions, Role::Question, "embedding questions", progress)?;
        Ok(self.index.search(&vectors, k)?)
    }

    /// A question's nearest documents as they are ranked.
    pub(crate) fn rank(&self, nearest: &[Hit], question: &Question) -> Vec<Hit> {
        match &self.ranking {
            Some(ranking) => ranking.order(nearest.to_vec(), question, &self.corpus),
            None => nearest.to_vec(),
        }
    }
}
