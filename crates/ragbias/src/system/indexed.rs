use ragbias_core::{Bias, QuestionSet};
use ragbias_data::Qrels;

use super::embedded::Embedded;
use super::judged::Judged;
use super::retrieved::Retrieved;
use super::setting::Setting;
use crate::Result;

/// A searchable, scored corpus: C_b is known.
#[derive(Clone)]
pub struct Indexed {
    setting: Setting,
    judged: Judged,
    embedded: Embedded,
}

impl Indexed {
    pub(super) fn new(setting: Setting, judged: Judged, embedded: Embedded) -> Self {
        Self { setting, judged, embedded }
    }

    /// C_b: the mean lean of all documents.
    pub fn bias(&self) -> Bias {
        self.judged.bias()
    }

    /// The documents with their verdicts.
    pub fn judged(&self) -> &Judged {
        &self.judged
    }

    /// The searchable documents.
    pub fn embedded(&self) -> &Embedded {
        &self.embedded
    }

    /// The same documents, searched in another way: by an [`Embedded`] of this corpus, derived from [`Indexed::embedded`].
    #[must_use]
    pub fn searched_as(&self, embedded: Embedded) -> Self {
        Self { embedded, ..self.clone() }
    }

    /// Retrieves for every question: E_b.
    ///
    /// # Errors
    /// Questions without the choices that the axis requires, or failures of the embedder or the index.
    pub fn retrieve(&self, questions: &QuestionSet) -> Result<Retrieved> {
        self.retrieve_judged(questions, None)
    }

    /// The same with relevance judgements: the twin preference is that between the twins of each question's relevant passages, rather
    /// than of the first document that is retrieved.
    ///
    /// # Errors
    /// Those of [`retrieve`](Self::retrieve).
    pub fn retrieve_judged(&self, questions: &QuestionSet, qrels: Option<&Qrels>) -> Result<Retrieved> {
        Retrieved::new(&self.setting, &self.judged, &self.embedded, questions, qrels)
    }
}
