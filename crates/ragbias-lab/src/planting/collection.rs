//! A corpus with its leans, the questions that it is asked, and which documents answer them.

use ragbias::core::{Axis, ContentHasher, ContentId, Corpus, DocId, Lean, Pairs, Question};
use ragbias::data::{Qrels, Split};
use ragbias::{Inputs, System};

use crate::bench::Bench;
use crate::error::Result;
use crate::methods::clusters;

/// A data set on an axis.
pub(super) struct Collection {
    pub(super) corpus: Corpus,
    pub(super) questions: Vec<Question>,
    /// The lean of each document; none if it is not scored.
    pub(super) leans: Vec<Option<Lean>>,
    /// The twins of the corpus, if there are any.
    pub(super) pairs: Option<Pairs>,
    pub(super) qrels: Option<Qrels>,
}

impl Collection {
    /// The questions of a split, with the corpus of all of them.
    pub(super) fn load(axis: &Axis, data: &str, split: Split, bench: &Bench) -> Result<Self> {
        let Inputs { corpus, questions, qrels, .. } =
            Inputs::of_dataset(data, split, axis, bench.progress())?;
        let judged = System::on(axis.clone()).workspace(bench.workspace()).build()?.judge(&corpus)?;
        Ok(Self {
            leans: judged.verdicts().iter().map(|verdict| verdict.lean()).collect(),
            pairs: Pairs::of(&corpus)?,
            questions: questions.questions().to_vec(),
            corpus,
            qrels,
        })
    }

    /// The hash of corpus and questions.
    pub(super) fn id(&self) -> ContentId {
        let id = ContentHasher::new("planting/2").field(self.corpus.content_id().as_bytes());
        self.questions.iter().fold(id, |id, question| id.field(&question.id).field(&question.text)).finish()
    }

    /// The number of documents.
    pub(super) fn len(&self) -> usize {
        self.corpus.len()
    }

    /// The text of a document.
    pub(super) fn text(&self, place: usize) -> String {
        self.corpus.documents()[place].full_text()
    }

    /// The topic of a question.
    pub(super) fn topic(&self, row: usize) -> &str {
        self.questions[row].cluster()
    }

    /// The questions of each topic.
    pub(super) fn topics(&self) -> Vec<Vec<usize>> {
        clusters(self.questions.iter().map(Question::cluster))
    }

    /// The documents that answer a question.
    pub(super) fn relevant(&self, row: usize) -> Vec<usize> {
        let grades = self.qrels.as_ref().and_then(|qrels| qrels.get(&self.questions[row].id));
        let relevant = grades.into_iter().flatten().filter(|(_, grade)| **grade > 0);
        relevant.filter_map(|(id, _)| self.corpus.position(id)).map(DocId::index).collect()
    }
}
