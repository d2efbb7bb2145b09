//! Exact scores of a corpus for questions.

use std::sync::Arc;

use ragbias::core::{ContentHasher, ContentId, Document, Embedder, Embeddings, Question, Role};
use ragbias::{StoredEmbedder, embed_all};

use super::collection::Collection;
use crate::bench::Bench;
use crate::error::Result;

/// The scores of texts for every question, by one embedder.
pub(super) struct Search {
    embedder: Arc<dyn Embedder>,
    questions: Embeddings,
    documents: Embeddings,
    id: ContentId,
}

impl Search {
    /// Embeds the documents and the questions of a collection.
    pub(super) fn load(embedder: &str, collection: &Collection, bench: &Bench) -> Result<Self> {
        let texts: Vec<String> = collection.corpus.documents().iter().map(Document::full_text).collect();
        Self::over(embedder, &texts, collection, bench)
    }

    /// Embeds other texts, such as chunks of its documents, and the questions of a collection.
    pub(super) fn over(
        embedder: &str,
        texts: &[String],
        collection: &Collection,
        bench: &Bench,
    ) -> Result<Self> {
        let progress = bench.progress();
        let embedder = bench.workspace().models().embedder(embedder, progress)?;
        let embedder: Arc<dyn Embedder> = match bench.workspace().store() {
            Some(store) => Arc::new(StoredEmbedder::new(embedder, store)),
            None => embedder,
        };
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let documents = embed_all(&embedder, &texts, Role::Document, "embedding documents", progress)?;
        let texts: Vec<&str> =
            collection.questions.iter().map(|Question { text, .. }| text.as_str()).collect();
        let questions = embed_all(&embedder, &texts, Role::Question, "embedding questions", progress)?;
        let id = ContentHasher::new("planting/2").field(embedder.id().as_bytes());
        Ok(Self {
            id: id.field(collection.id().as_bytes()).finish(),
            embedder,
            questions: questions.normalised()?,
            documents: documents.normalised()?,
        })
    }

    /// The hash of embedder, corpus and questions.
    pub(super) fn id(&self) -> ContentId {
        self.id
    }

    pub(super) fn len(&self) -> usize {
        self.documents.len()
    }

    /// The unit vector of a question, `(dim,)`.
    pub(super) fn question(&self, row: usize) -> Vec<f32> {
        self.questions.row(row).to_vec()
    }

    /// The cosine of a question with a document.
    pub(super) fn score(&self, row: usize, place: usize) -> f32 {
        self.questions.row(row).dot(&self.documents.row(place))
    }

    /// All documents, the nearest first; those of equal score in the order of the corpus.
    pub(super) fn ranked(&self, row: usize) -> Vec<usize> {
        let scores: Vec<f32> = (0..self.len()).map(|place| self.score(row, place)).collect();
        let mut places: Vec<usize> = (0..scores.len()).collect();
        places.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        places
    }

    /// The unit vectors of other documents, `(texts.len(), dim)`.
    pub(super) fn vectors(&self, texts: &[String]) -> Result<Embeddings> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        Ok(self.embedder.embed(&texts, Role::Document)?.normalised()?)
    }

    /// The cosines of a question with other documents.
    pub(super) fn scores(&self, row: usize, vectors: &Embeddings) -> Vec<f32> {
        (0..vectors.len()).map(|other| self.questions.row(row).dot(&vectors.row(other))).collect()
    }

    /// The rank, from 1, of a text with this score in place of a document.
    pub(super) fn rank_of(&self, row: usize, score: f32, instead_of: usize) -> usize {
        let others = (0..self.len()).filter(|&place| place != instead_of);
        1 + others.filter(|&place| self.score(row, place) > score).count()
    }
}
