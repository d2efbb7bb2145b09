mod stored;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use ragbias_core::{
    Corpus, Document, DocumentHit, DocumentIndex, Embedder, Embeddings, Filter, Hit, IndexBackend, Question,
    Role,
};
use ragbias_index::Exact;

use self::stored::Stored;
use crate::control::ControlSpec;
use crate::embedding::embed_all;
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
    source: Source,
    workspace: Workspace,
}

/// Where documents are found.
enum Source {
    Memory(Box<Embedded>),
    Elsewhere(Stored),
}

/// A retrieved document.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Found<'r> {
    /// The document: borrowed where the corpus is in memory.
    pub document: Cow<'r, Document>,
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
        let embedded = ControlSpec::open(control.as_ref(), documents, Arc::new(backend), workspace)?;
        Ok(Self { source: Source::Memory(Box::new(embedded)), workspace: workspace.clone() })
    }

    /// Retrieves from a searchable corpus.
    pub fn new(embedded: Embedded) -> Self {
        let workspace = embedded.workspace().clone();
        Self { source: Source::Memory(Box::new(embedded)), workspace }
    }

    /// Reads `control.json` in a folder written by `choose`, and searches documents where they are stored.
    ///
    /// # Errors
    /// Those of [`Retriever::load`], and [`Error::OtherEmbedder`](crate::Error::OtherEmbedder) if the stored vectors are not those of
    /// the control's embedder.
    pub fn over(
        control: impl AsRef<Path>,
        documents: Arc<dyn DocumentIndex>,
        workspace: &Workspace,
    ) -> Result<Self> {
        let ready = ControlSpec::ready(control.as_ref(), workspace)?;
        let stored = Stored::new(documents, ready.embedder.as_ref(), ready.questions, ready.ranking)?;
        Ok(Self { source: Source::Elsewhere(stored), workspace: workspace.clone() })
    }

    /// Searches documents where they are stored, with the embedder of their vectors and without a control.
    ///
    /// # Errors
    /// [`Error::OtherEmbedder`](crate::Error::OtherEmbedder) if the stored vectors are not those of this embedder.
    pub fn over_with(
        embedder: Arc<dyn Embedder>,
        documents: Arc<dyn DocumentIndex>,
        workspace: &Workspace,
    ) -> Result<Self> {
        let stored = Stored::new(documents, embedder.as_ref(), Arc::clone(&embedder), None)?;
        Ok(Self { source: Source::Elsewhere(stored), workspace: workspace.clone() })
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
        self.search_where(questions, k, &Filter::default())
    }

    /// The same among the documents that a filter accepts: the others are left out before ranking.
    ///
    /// # Errors
    /// Those of [`Retriever::search`].
    pub fn search_where(&self, questions: &[&str], k: usize, filter: &Filter) -> Result<Vec<Vec<Found<'_>>>> {
        let (embedder, progress) = (self.embedder().as_ref(), self.workspace.progress());
        let vectors = embed_all(embedder, questions, Role::Question, "embedding questions", progress)?;
        self.search_by(questions, &vectors, k, filter)
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
        filter: &Filter,
    ) -> Result<Vec<Vec<Found<'_>>>> {
        let (expected, received) = (questions.len(), vectors.len());
        if expected != received {
            let component = "the question embedder";
            return Err(ragbias_core::Error::BatchLength { component, expected, received }.into());
        }
        let question = |text: &&str| {
            let text = (*text).to_owned();
            Question { id: text.clone(), text, topic: None, choices: None }
        };
        let questions: Vec<Question> = questions.iter().map(question).collect();
        // As many as in a measurement: a ranking draws from these.
        let wanted = k.max(NEIGHBOURHOOD);
        match &self.source {
            Source::Memory(embedded) => {
                let nearest = nearest(embedded, vectors, wanted, filter)?;
                let ranked = nearest.iter().zip(&questions).map(|(hits, question)| {
                    embedded.rank(hits, question).into_iter().take(k).map(|hit| Found {
                        document: Cow::Borrowed(embedded.corpus().document(hit.document)),
                        score: hit.score,
                    })
                });
                Ok(ranked.map(Iterator::collect).collect())
            }
            Source::Elsewhere(stored) => {
                let ranked = stored.ranked(&questions, vectors, wanted, filter)?.into_iter();
                let found = |DocumentHit { document, score }| Found { document: Cow::Owned(document), score };
                Ok(ranked.map(|hits| hits.into_iter().take(k).map(found).collect()).collect())
            }
        }
    }

    /// The documents that are searched, if they are in memory.
    pub fn corpus(&self) -> Option<&Corpus> {
        match &self.source {
            Source::Memory(embedded) => Some(embedded.corpus()),
            Source::Elsewhere(_) => None,
        }
    }

    /// Number of documents; of those that are stored elsewhere, when they were last counted.
    #[expect(clippy::len_without_is_empty, reason = "whether there are documents elsewhere may change")]
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Memory(embedded) => embedded.corpus().len(),
            Source::Elsewhere(stored) => stored.documents().len(),
        }
    }

    /// The fields of the documents' metadata, in alphabetical order.
    pub fn fields(&self) -> BTreeSet<String> {
        match &self.source {
            Source::Memory(embedded) => {
                let documents = embedded.corpus().documents().iter();
                documents.flat_map(|document| document.metadata.keys().cloned()).collect()
            }
            Source::Elsewhere(stored) => stored.documents().fields().clone(),
        }
    }

    /// The embedder of questions and of documents, with the control's changes.
    pub fn embedder(&self) -> &Arc<dyn Embedder> {
        match &self.source {
            Source::Memory(embedded) => embedded.embedder(),
            Source::Elsewhere(stored) => stored.embedder(),
        }
    }
}

/// The `wanted` nearest accepted documents of each vector: more are searched until enough are accepted.
fn nearest(
    embedded: &Embedded,
    vectors: &Embeddings,
    wanted: usize,
    filter: &Filter,
) -> Result<Vec<Vec<Hit>>> {
    let corpus = embedded.corpus();
    let mut width = wanted;
    loop {
        let mut nearest = embedded.nearest_to(vectors, width)?;
        for hits in &mut nearest {
            hits.retain(|hit| filter.accepts(corpus.document(hit.document)));
            hits.truncate(wanted);
        }
        if width >= corpus.len() || nearest.iter().all(|hits| hits.len() == wanted) {
            return Ok(nearest);
        }
        width = width.saturating_mul(8);
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::testing::HashEmbedder;
    use ragbias_core::{ContentId, Similarity, VectorIndex};

    use super::*;
    use crate::{Models, StochasticRanking};

    /// Documents with their own index, as a database has them.
    struct Elsewhere {
        corpus: Corpus,
        index: Box<dyn VectorIndex>,
        embedder: ContentId,
        fields: BTreeSet<String>,
    }

    impl Elsewhere {
        fn new(corpus: &Corpus, embedder: &HashEmbedder) -> Self {
            let texts: Vec<&str> = corpus.documents().iter().map(|document| document.text.as_str()).collect();
            let vectors = embedder.embed(&texts, Role::Document).unwrap();
            let index = Exact.index(Similarity::Cosine, vectors).unwrap();
            let fields = BTreeSet::from(["decade".to_owned()]);
            Self { corpus: corpus.clone(), index, embedder: embedder.id(), fields }
        }
    }

    impl DocumentIndex for Elsewhere {
        fn embedder(&self) -> ContentId {
            self.embedder
        }

        fn embedder_name(&self) -> String {
            "hash".into()
        }

        fn dim(&self) -> usize {
            self.index.dim()
        }

        fn similarity(&self) -> Similarity {
            Similarity::Cosine
        }

        fn len(&self) -> usize {
            self.corpus.len()
        }

        fn fields(&self) -> &BTreeSet<String> {
            &self.fields
        }

        fn nearest(
            &self,
            questions: &Embeddings,
            k: usize,
            filter: &Filter,
        ) -> ragbias_core::Result<Vec<Vec<DocumentHit>>> {
            let hit = |hit: Hit| DocumentHit {
                document: self.corpus.document(hit.document).clone(),
                score: hit.score,
            };
            let all = self.index.search(questions, self.len())?.into_iter();
            let accepted = |hits: Vec<Hit>| {
                hits.into_iter().map(hit).filter(|hit| filter.accepts(&hit.document)).take(k)
            };
            Ok(all.map(|hits| accepted(hits).collect()).collect())
        }
    }

    fn corpus() -> Corpus {
        let document = |number: usize| {
            let mut document = Document::new(format!("d{number}"), format!("the bridge number {number}"));
            document.metadata.insert("decade".into(), (number % 6).into());
            document
        };
        Corpus::new((0..60).map(document).collect()).unwrap()
    }

    fn ids(found: &[Vec<Found<'_>>]) -> Vec<Vec<(String, f32)>> {
        let of = |found: &Found<'_>| (found.document.id.clone(), found.score);
        found.iter().map(|found| found.iter().map(of).collect()).collect()
    }

    #[test]
    fn documents_elsewhere_are_retrieved_as_those_in_memory() {
        let workspace = Workspace::new(Models::in_folder("nowhere").unwrap());
        let embedder = HashEmbedder::new(16, 1);
        let shared: Arc<dyn Embedder> = Arc::new(embedder.clone());
        let corpus = corpus();
        let embedded = Embedded::new(&corpus, Arc::clone(&shared), Arc::new(Exact), &workspace).unwrap();
        let filter: Filter = serde_json::from_str(r#"{"decade": [1, 4]}"#).unwrap();
        let questions = ["number 17", "which bridge"];
        for temperature in [0.0, 0.3] {
            let ranking = StochasticRanking::at(temperature, 7);
            let memory = Retriever::new(embedded.ranked_by(ranking.clone()));
            let documents = Arc::new(Elsewhere::new(&corpus, &embedder));
            let stored = Stored::new(documents, &embedder, Arc::clone(&shared), ranking).unwrap();
            let elsewhere = Retriever { source: Source::Elsewhere(stored), workspace: workspace.clone() };
            assert_eq!((elsewhere.len(), elsewhere.fields()), (memory.len(), memory.fields()));
            assert!(elsewhere.corpus().is_none());
            for filter in [&Filter::default(), &filter] {
                let found = elsewhere.search_where(&questions, 5, filter).unwrap();
                assert_eq!(ids(&found), ids(&memory.search_where(&questions, 5, filter).unwrap()));
                assert!(found.iter().all(|found| found.len() == 5));
            }
        }
    }

    #[test]
    fn vectors_of_another_embedder_are_refused_by_name() {
        let workspace = Workspace::new(Models::in_folder("nowhere").unwrap());
        let documents = Arc::new(Elsewhere::new(&corpus(), &HashEmbedder::new(16, 1)));
        let other = Arc::new(HashEmbedder::new(16, 2));
        let error = Retriever::over_with(other, documents, &workspace).err().unwrap().to_string();
        assert!(error.contains("the stored vectors are those of `hash`"), "{error}");
    }
}
