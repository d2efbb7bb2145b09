//! Exact scores of a corpus for questions.

use std::sync::Arc;

use ragbias::core::{ContentHasher, ContentId, Corpus, Document, Embedder, Embeddings, Question, Role};
use ragbias::{StoredEmbedder, embed_all};

use crate::bench::Bench;
use crate::error::Result;

/// A corpus, and its scores for every question, by one embedder.
pub(super) struct Search {
    embedder: Arc<dyn Embedder>,
    corpus: Corpus,
    questions: Embeddings,
    documents: Embeddings,
}

impl Search {
    /// Embeds the corpus and the questions.
    pub(super) fn load(name: &str, corpus: &Corpus, questions: &[Question], bench: &Bench) -> Result<Self> {
        let progress = bench.progress();
        let embedder = bench.workspace().models().embedder(name, progress)?;
        let embedder: Arc<dyn Embedder> = match bench.workspace().store() {
            Some(store) => Arc::new(StoredEmbedder::new(embedder, store)),
            None => embedder,
        };
        let texts: Vec<String> = corpus.documents().iter().map(Document::full_text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let documents = embed_all(&embedder, &texts, Role::Document, "embedding documents", progress)?;
        let texts: Vec<&str> = questions.iter().map(|question| question.text.as_str()).collect();
        let questions = embed_all(&embedder, &texts, Role::Question, "embedding questions", progress)?;
        Ok(Self {
            embedder,
            corpus: corpus.clone(),
            questions: questions.normalised()?,
            documents: documents.normalised()?,
        })
    }

    /// The hash of embedder and corpus.
    pub(super) fn id(&self) -> ContentId {
        let id = ContentHasher::new("planting/1").field(self.embedder.id().as_bytes());
        id.field(self.corpus.content_id().as_bytes()).finish()
    }

    pub(super) fn len(&self) -> usize {
        self.documents.len()
    }

    /// The text of a document.
    pub(super) fn text(&self, place: usize) -> String {
        self.corpus.documents()[place].full_text()
    }

    /// The `_id` of a document.
    pub(super) fn doc(&self, place: usize) -> &str {
        &self.corpus.documents()[place].id
    }

    /// The cosine of a question with a document.
    pub(super) fn score(&self, question: usize, place: usize) -> f32 {
        self.questions.row(question).dot(&self.documents.row(place))
    }

    /// All documents, the nearest first; those of equal score in the order of the corpus.
    pub(super) fn ranked(&self, question: usize) -> Vec<usize> {
        let scores: Vec<f32> = (0..self.len()).map(|place| self.score(question, place)).collect();
        let mut places: Vec<usize> = (0..scores.len()).collect();
        places.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        places
    }

    /// The nearest document with its score.
    pub(super) fn best(&self, question: usize) -> (usize, f32) {
        let place = self.ranked(question)[0];
        (place, self.score(question, place))
    }

    /// The cosines of a question with other texts, as documents.
    pub(super) fn scores_of(&self, question: usize, texts: &[String]) -> Result<Vec<f32>> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let vectors = self.embedder.embed(&texts, Role::Document)?.normalised()?;
        Ok((0..vectors.len()).map(|row| self.questions.row(question).dot(&vectors.row(row))).collect())
    }

    /// The rank, from 1, of a text with this score in place of a document.
    pub(super) fn rank_of(&self, question: usize, score: f32, instead_of: usize) -> usize {
        let others = (0..self.len()).filter(|&place| place != instead_of);
        1 + others.filter(|&place| self.score(question, place) > score).count()
    }
}
