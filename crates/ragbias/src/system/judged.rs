use std::sync::Arc;

use ragbias_core::{Bias, BiasScorer, ContentId, Corpus, Document, Hit, Lean, Pairs, Passage, Verdict};
use ragbias_stats::ClusterBootstrap;
use serde_json::Value;

use crate::Result;

/// A corpus and the verdict on each of its documents, with its bias: C_b. A clone shares them.
#[derive(Debug, Clone)]
pub struct Judged {
    corpus: Corpus,
    verdicts: Arc<[Verdict]>,
    bias: Bias,
    scorer: ContentId,
    pairs: Option<Arc<Pairs>>,
}

impl Judged {
    /// Scores every document, and resamples topics: a document without a topic is its own cluster.
    ///
    /// # Errors
    /// A failure of the scorer, a corpus in which it can score nothing, or one whose twins are none ([`Pairs::of`]).
    pub fn new(corpus: &Corpus, scorer: &dyn BiasScorer, bootstrap: ClusterBootstrap) -> Result<Self> {
        let pairs = Pairs::of(corpus)?.map(Arc::new);
        let passages = corpus.documents().iter().map(Passage::try_from).collect::<Result<Vec<_>, _>>()?;
        let verdicts = scorer.score(&passages)?;
        if verdicts.len() != corpus.len() {
            let (expected, received) = (corpus.len(), verdicts.len());
            return Err(
                ragbias_core::Error::BatchLength { component: "the scorer", expected, received }.into()
            );
        }
        let bias = bootstrap.bias(&verdicts, &topics(corpus.documents()))?;
        let scorer = scorer.id();
        Ok(Self { corpus: corpus.clone(), verdicts: verdicts.into(), bias, scorer, pairs })
    }

    /// C_b: the mean lean of all documents.
    pub fn bias(&self) -> Bias {
        self.bias
    }

    /// The documents.
    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// The verdict on each document, in order.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// The lean of each document, in order; neutral for one that could not be scored.
    pub(crate) fn leans(&self) -> Arc<[Lean]> {
        self.verdicts.iter().map(|verdict| verdict.lean().unwrap_or(Lean::Neutral)).collect()
    }

    /// The id of the scorer.
    pub(super) fn scorer(&self) -> ContentId {
        self.scorer
    }

    /// The topic of each document and the verdict on it.
    pub(super) fn by_topic(&self) -> impl Iterator<Item = (&str, Verdict)> {
        topics(self.corpus.documents()).into_iter().zip(self.verdicts.iter().copied())
    }

    /// The twins among the documents, if there are any.
    pub fn pairs(&self) -> Option<&Pairs> {
        self.pairs.as_deref()
    }

    pub(super) fn of(&self, hits: &[Hit]) -> Vec<Verdict> {
        hits.iter().map(|hit| self.verdicts[hit.document.index()]).collect()
    }
}

/// A document's topic if its metadata have one; otherwise it is its own cluster.
fn topics<'d>(documents: &'d [Document]) -> Vec<&'d str> {
    let topic = |document: &'d Document| {
        document.metadata.get("topic").and_then(Value::as_str).unwrap_or(&document.id)
    };
    documents.iter().map(topic).collect()
}
