use std::path::Path;
use std::sync::Arc;

use ragbias_core::{Corpus, Document, Embedder, Embeddings, Hit, IndexBackend, Question};
use ragbias_index::Exact;

use crate::control::ControlSpec;
use crate::ranking::NEIGHBOURHOOD;
use crate::{Embedded, Result, Workspace};

/// Retrieves with a chosen control, for a retrieval service.
///
/// It may be shared between threads; questions that arrive together are best passed together. If a control draws from the nearest
/// documents, or re-ranks them, the draws depend on its seed and the text of the question, so that the same question gives the same documents.
///
/// ```no_run
/// use ragbias::{Retriever, Workspace};
/// use ragbias::core::{Corpus, Document};
///
/// let documents = Corpus::new(vec![Document::new("bridge", "Emily Roebling oversaw the Brooklyn Bridge.")])?;
/// let retriever = Retriever::load("runs/gender/choice/gender-smollm2-135m-merge", &documents)?;
/// for found in retriever.search("Who designed the bridge?", 5)? {
///     println!("{:.3} {}", found.score, found.document.text);
/// }
/// # Ok::<(), ragbias::Error>(())
/// ```
pub struct Retriever {
    embedded: Embedded,
}

/// A retrieved document.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Found<'r> {
    /// The document.
    pub document: &'r Document,
    /// Its similarity to the question, as given by the index.
    pub score: f32,
}

impl Retriever {
    /// Reads `control.json` in a folder written by `choose`, embeds the documents with its embedder and indexes them exactly.
    ///
    /// The vectors of documents are taken from a store, where the workspace has one; those of questions never are, and none is kept.
    ///
    /// # Errors
    /// A file that differs from what was written, an embedder that differs from the one measured, or its own errors.
    pub fn load(control: impl AsRef<Path>, documents: &Corpus) -> Result<Self> {
        Self::with(control, documents, Exact, &Workspace::new(crate::Models::from_env()?))
    }

    /// The same with another index, and in another workspace.
    ///
    /// # Errors
    /// Those of [`Retriever::load`], and failures of the index.
    pub fn with(
        control: impl AsRef<Path>,
        documents: &Corpus,
        backend: impl IndexBackend + 'static,
        workspace: &Workspace,
    ) -> Result<Self> {
        Ok(Self::new(ControlSpec::open(control.as_ref(), documents, Arc::new(backend), workspace)?))
    }

    /// Retrieves from a searchable corpus.
    pub fn new(embedded: Embedded) -> Self {
        Self { embedded }
    }

    /// The documents for a question, best first: `k`, or all if there are fewer.
    ///
    /// # Errors
    /// Failures of the embedder or the index.
    pub fn search(&self, question: &str, k: usize) -> Result<Vec<Found<'_>>> {
        Ok(self.search_all(&[question], k)?.pop().unwrap_or_default())
    }

    /// The documents for each question, embedded together.
    ///
    /// # Errors
    /// Those of [`Retriever::search`].
    pub fn search_all(&self, questions: &[&str], k: usize) -> Result<Vec<Vec<Found<'_>>>> {
        self.search_where(questions, k, &|_| true)
    }

    /// The same among the documents that `accepts`: the others are left out before ranking.
    ///
    /// # Errors
    /// Those of [`Retriever::search`].
    pub fn search_where(
        &self,
        questions: &[&str],
        k: usize,
        accepts: &dyn Fn(&Document) -> bool,
    ) -> Result<Vec<Vec<Found<'_>>>> {
        self.search_by(questions, &self.embedded.vectors(questions)?, k, accepts)
    }

    /// The same for questions whose vectors are known: `(questions.len(), dim)`, by [`Retriever::embedder`].
    ///
    /// # Errors
    /// Failures of the index, or vectors of another number or dimension.
    pub fn search_by(
        &self,
        questions: &[&str],
        vectors: &Embeddings,
        k: usize,
        accepts: &dyn Fn(&Document) -> bool,
    ) -> Result<Vec<Vec<Found<'_>>>> {
        let (expected, received) = (questions.len(), vectors.len());
        if expected != received {
            let component = "the question embedder";
            return Err(ragbias_core::Error::BatchLength { component, expected, received }.into());
        }
        let corpus = self.embedded.corpus();
        let found = |(text, hits): (&&str, Vec<Hit>)| {
            let text = (*text).to_owned();
            let question = Question { id: text.clone(), text, topic: None, choices: None };
            let ranked = self.embedded.rank(&hits, &question).into_iter().take(k);
            ranked.map(|hit| Found { document: corpus.document(hit.document), score: hit.score }).collect()
        };
        let nearest = self.nearest(vectors, k.max(NEIGHBOURHOOD), accepts)?;
        Ok(questions.iter().zip(nearest).map(found).collect())
    }

    /// The `wanted` nearest accepted documents of each vector: more are searched until enough are accepted.
    fn nearest(
        &self,
        vectors: &Embeddings,
        wanted: usize,
        accepts: &dyn Fn(&Document) -> bool,
    ) -> Result<Vec<Vec<Hit>>> {
        let corpus = self.embedded.corpus();
        let mut width = wanted;
        loop {
            let mut nearest = self.embedded.nearest_to(vectors, width)?;
            for hits in &mut nearest {
                hits.retain(|hit| accepts(corpus.document(hit.document)));
                hits.truncate(wanted);
            }
            if width >= corpus.len() || nearest.iter().all(|hits| hits.len() == wanted) {
                return Ok(nearest);
            }
            width = width.saturating_mul(8);
        }
    }

    /// The documents that are searched.
    pub fn corpus(&self) -> &Corpus {
        self.embedded.corpus()
    }

    /// The embedder of questions and of documents, with the control's changes.
    pub fn embedder(&self) -> &Arc<dyn Embedder> {
        self.embedded.embedder()
    }
}
