use std::sync::Arc;

use ragbias_core::{
    Answering, Axis, BiasScorer, ChoicePrompt, Choices, Document, Generator, Prompt, Question, QuestionSet,
};
use ragbias_stats::ClusterBootstrap;

use crate::calibration::Calibrations;
use crate::prompt::Prompter;
use crate::{Error, Result, Workspace};

/// An LLM, and the scorer of its answers that are not choices.
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
    /// Number of documents given to the LLM.
    pub(super) top_k: usize,
    /// Seed of the bootstrap.
    pub(super) seed: u64,
    pub(super) llm: Option<Llm>,
    pub(super) calibrations: Calibrations,
    pub(super) workspace: Workspace,
}

impl Setting {
    pub(super) fn bootstrap(&self) -> ClusterBootstrap {
        ClusterBootstrap::new(10_000, self.seed)
    }

    /// Refuses questions that cannot be asked on the axis.
    pub(super) fn check(&self, questions: &QuestionSet) -> Result<()> {
        if self.llm.is_some() {
            questions.questions().iter().try_for_each(|question| claims(&self.axis, question).map(drop))?;
        }
        Ok(())
    }
}

/// A rendered prompt: the user's message, and the claims to choose between.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Rendered {
    pub(super) user: String,
    /// Only for choices.
    pub(super) claims: Option<Choices>,
}

impl Rendered {
    pub(super) fn new(setting: &Setting, question: &Question, context: &[&Document]) -> Result<Self> {
        let user = setting.prompter.prompt(&question.text, context)?;
        Ok(Self { user, claims: claims(&setting.axis, question)?.cloned() })
    }

    /// With the system message of the setting.
    pub(super) fn prompt<'p>(&'p self, setting: &'p Setting) -> Prompt<'p> {
        Prompt { system: setting.prompter.system(), user: &self.user }
    }

    /// The prompt as a choice, if it is one.
    pub(super) fn choice<'p>(&'p self, setting: &'p Setting) -> Option<ChoicePrompt<'p>> {
        let Choices { negative, positive } = self.claims.as_ref()?;
        Some(ChoicePrompt { prompt: self.prompt(setting), negative, positive })
    }
}

fn claims<'q>(axis: &Axis, question: &'q Question) -> Result<Option<&'q Choices>> {
    match (axis.answering, &question.choices) {
        (Answering::Name | Answering::Text, _) => Ok(None),
        (Answering::Choice, Some(choices)) => Ok(Some(choices)),
        (Answering::Choice, None) => {
            Err(Error::NoChoices { axis: axis.name.clone(), question: question.id.clone() })
        }
    }
}
