use std::sync::Arc;

use ragbias_core::{
    Axis, BiasScorer, ChoicePrompt, Choices, DocId, Document, Generator, Hit, Prompt, Question, QuestionSet,
    Verdict,
};
use ragbias_stats::{ClusterBootstrap, Discount};

use super::judged::Judged;
use super::pair_answers::PairPrompt;
use crate::calibration::Calibrations;
use crate::measure::{AnswerMode, bootstrap};
use crate::prompt::Prompter;
use crate::{Error, Result, Workspace};

/// An LLM, and the scorer of the answers that it writes.
#[derive(Clone)]
pub(super) struct Llm {
    pub(super) generator: Arc<dyn Generator>,
    pub(super) scorer: Option<Arc<dyn BiasScorer>>,
}

/// The settings shared by all stages of a system.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) axis: Arc<Axis>,
    pub(super) prompter: Arc<Prompter>,
    /// How answers are read.
    pub(super) answers: AnswerMode,
    /// Number of documents given to the LLM.
    pub(super) top_k: usize,
    /// How much attention each rank gets.
    pub(super) discount: Discount,
    /// Seed of the bootstrap.
    pub(super) seed: u64,
    pub(super) llm: Option<Llm>,
    pub(super) calibrations: Calibrations,
    pub(super) workspace: Workspace,
}

impl Setting {
    pub(super) fn bootstrap(&self) -> ClusterBootstrap {
        bootstrap(self.seed)
    }

    /// Refuses questions that cannot be asked on the axis.
    pub(super) fn check(&self, questions: &QuestionSet) -> Result<()> {
        if self.llm.is_some() {
            questions.questions().iter().try_for_each(|question| self.asked(question).map(drop))?;
        }
        Ok(())
    }

    /// What is asked for with a question, without documents.
    fn asked(&self, question: &Question) -> Result<Asked> {
        let (axis, question_id) = (&self.axis.name, &question.id);
        match (self.answers, &question.choices) {
            (AnswerMode::Text, _) => Ok(Asked::Text),
            (AnswerMode::Choice, Some(choices)) => Ok(Asked::Choice(choices.clone())),
            (AnswerMode::Choice, None) => {
                Err(Error::NoChoices { axis: axis.clone(), question: question_id.clone() })
            }
            (AnswerMode::Pair, Some(names)) => Ok(Asked::Pair(PairPrompt::of(names.clone()))),
            (AnswerMode::Pair, None) => Err(Error::NoNames { question: question_id.clone() }),
        }
    }
}

/// What an LLM is asked for after a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    /// An answer of its own.
    Text,
    /// A choice between two claims.
    Choice(Choices),
    /// One of two names.
    Pair(PairPrompt),
}

/// A rendered prompt: the user's message, and what is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Rendered {
    pub(super) user: String,
    pub(super) asked: Asked,
}

impl Rendered {
    /// A question without documents.
    pub(super) fn alone(setting: &Setting, question: &Question) -> Result<Self> {
        Ok(Self { user: setting.prompter.prompt(&question.text, &[])?, asked: setting.asked(question)? })
    }

    /// A question with the documents of these hits, best first.
    pub(super) fn given(
        setting: &Setting,
        question: &Question,
        judged: &Judged,
        hits: &[Hit],
    ) -> Result<Self> {
        let documents: Vec<DocId> = hits.iter().map(|hit| hit.document).collect();
        let render = |documents: &[DocId]| {
            let context: Vec<&Document> =
                documents.iter().map(|document| judged.corpus().document(*document)).collect();
            setting.prompter.prompt(&question.text, &context)
        };
        let asked = match setting.asked(question)? {
            Asked::Pair(alone) => Asked::Pair(alone.given(judged, &documents, render)?),
            asked => asked,
        };
        Ok(Self { user: render(&documents)?, asked })
    }

    /// With the system message of the setting.
    pub(super) fn prompt<'p>(&'p self, setting: &'p Setting) -> Prompt<'p> {
        Prompt { system: setting.prompter.system(), user: &self.user }
    }

    /// The prompt as a choice, if it is one.
    pub(super) fn choice<'p>(&'p self, setting: &'p Setting) -> Option<ChoicePrompt<'p>> {
        let Asked::Choice(Choices { negative, positive }) = &self.asked else { return None };
        Some(ChoicePrompt { prompt: self.prompt(setting), negative, positive })
    }

    /// The answer that stands for the pole of a verdict, if the LLM does not write its own; empty if it is neither.
    pub(super) fn answer(&self, verdict: Verdict) -> String {
        let (Asked::Choice(choices) | Asked::Pair(PairPrompt { names: choices, .. })) = &self.asked else {
            return String::new();
        };
        match verdict {
            Verdict::POSITIVE => choices.positive.clone(),
            Verdict::NEGATIVE => choices.negative.clone(),
            _ => String::new(),
        }
    }
}
