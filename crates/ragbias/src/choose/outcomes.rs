use std::sync::Arc;

use ragbias_core::{Counts, Question, QuestionSet, Verdict};
use ragbias_stats::ClusterBootstrap;

use super::choice::{Biases, TrailStep};
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

    /// E_b and R_b at a setting, over the questions whose rows are kept.
    ///
    /// # Errors
    /// Nothing that could be scored.
    pub(super) fn step(&self, setting: f64, keep: impl Fn(usize) -> bool) -> Result<TrailStep> {
        let mean = |verdicts: &[Verdict]| {
            let kept: Vec<Verdict> = (verdicts.iter().enumerate())
                .filter(|(row, _)| keep(*row))
                .map(|(_, verdict)| *verdict)
                .collect();
            let counts = Counts::of(&kept);
            counts.mean_lean().ok_or(ragbias_core::Error::NothingScored(counts))
        };
        Ok(TrailStep { setting, embedder_bias: mean(&self.documents)?, rag_bias: mean(&self.answers)? })
    }
}
