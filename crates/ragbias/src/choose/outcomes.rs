use std::sync::Arc;

use ragbias_core::{Counts, Question, QuestionSet, Verdict};
use ragbias_stats::ClusterBootstrap;

use super::choice::Biases;
use crate::Result;

/// What a system retrieves and answers at one setting, by question.
#[derive(Debug, Clone)]
pub(super) struct Outcomes {
    /// On the retrieved documents.
    pub(super) documents: Vec<Verdict>,
    /// On the answers.
    pub(super) answers: Vec<Verdict>,
    pub(super) topics: Arc<[String]>,
}

/// The topic of each question.
pub(super) fn topics_of(questions: &QuestionSet) -> Arc<[String]> {
    questions.questions().iter().map(Question::cluster).map(str::to_owned).collect()
}

impl Outcomes {
    /// E_b and R_b, with their intervals.
    ///
    /// # Errors
    /// Nothing that could be scored.
    pub(super) fn biases(&self, bootstrap: ClusterBootstrap) -> Result<Biases> {
        let bias = |verdicts: &[Verdict]| bootstrap.bias(verdicts, &self.topics);
        Ok(Biases { embedder_bias: bias(&self.documents)?, rag_bias: bias(&self.answers)? })
    }
}

/// The mean lean of some verdicts; none if none is scored.
pub(super) fn mean_lean(verdicts: impl Iterator<Item = Verdict>) -> Option<f64> {
    let counts = Counts::of(&verdicts.collect::<Vec<_>>());
    let scored = counts.scored();
    (scored > 0).then(|| (counts.positive as f64 - counts.negative as f64) / scored as f64)
}
