use std::sync::Arc;

use ragbias_core::{Corpus, DocId, DocumentHit, DocumentIndex, Embedder, Embeddings, Filter, Hit, Question};

use crate::ranking::Ranking;
use crate::{Error, Result};

/// Documents that are searched where they are stored, with the embedder of questions and the ranking of hits.
pub(super) struct Stored {
    documents: Arc<dyn DocumentIndex>,
    embedder: Arc<dyn Embedder>,
    ranking: Option<Arc<dyn Ranking>>,
}

impl Stored {
    /// Documents whose vectors are those of `embedder`, asked by `questions`.
    ///
    /// # Errors
    /// [`Error::OtherEmbedder`] if the vectors are those of another.
    pub(super) fn new(
        documents: Arc<dyn DocumentIndex>,
        embedder: &dyn Embedder,
        questions: Arc<dyn Embedder>,
        ranking: Option<Arc<dyn Ranking>>,
    ) -> Result<Self> {
        let is_other = documents.embedder() != embedder.id()
            || documents.similarity() != embedder.similarity()
            || documents.dim() != embedder.dim();
        if is_other {
            return Err(Error::OtherEmbedder {
                stored: documents.embedder_name(),
                stored_id: documents.embedder().short(),
                expected_id: embedder.id().short(),
            });
        }
        let (expected, received) = (documents.dim(), questions.dim());
        if expected != received {
            return Err(ragbias_core::Error::Dimension { expected, received }.into());
        }
        Ok(Self { documents, embedder: questions, ranking })
    }

    pub(super) fn documents(&self) -> &dyn DocumentIndex {
        self.documents.as_ref()
    }

    pub(super) fn embedder(&self) -> &Arc<dyn Embedder> {
        &self.embedder
    }

    /// The accepted documents of each question after ranking.
    pub(super) fn ranked(
        &self,
        questions: &[Question],
        vectors: &Embeddings,
        k: usize,
        filter: &Filter,
    ) -> Result<Vec<Vec<DocumentHit>>> {
        let nearest = self.documents.nearest(vectors, k, filter)?;
        nearest.into_iter().zip(questions).map(|(hits, question)| self.rank(hits, question)).collect()
    }

    fn rank(&self, nearest: Vec<DocumentHit>, question: &Question) -> Result<Vec<DocumentHit>> {
        let Some(ranking) = self.ranking.as_deref().filter(|_| !nearest.is_empty()) else {
            return Ok(nearest);
        };
        let scores: Vec<f32> = nearest.iter().map(|hit| hit.score).collect();
        let found = nearest.into_iter().map(|hit| hit.document).collect();
        let found = Corpus::allowing_empty_texts(found)?;
        let hits = scores.into_iter().zip(0..).map(|(score, at)| Hit { document: DocId(at), score });
        let ranked = ranking.order(hits.collect(), question, &found).into_iter();
        Ok(ranked
            .map(|hit| DocumentHit { document: found.document(hit.document).clone(), score: hit.score })
            .collect())
    }
}
