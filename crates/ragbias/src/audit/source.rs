use std::sync::Arc;

use ragbias_core::{Answer, Document, Generator, Progress, Prompt, Question};

use crate::Result;
use crate::answering::answer_all;

/// What a system said to one question.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// Its answer.
    pub answer: Answer,
    /// The documents that it retrieved, best first; none if it does not show them.
    pub documents: Option<Vec<Document>>,
}

/// Where the answers of an audited system come from.
pub trait AnswerSource {
    /// An answer to each question, in order; `request` is asked after each of them, on a line of its own.
    ///
    /// # Errors
    /// Failures of the system, or answers that cannot be read.
    fn answer(
        &mut self,
        questions: &[&Question],
        request: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<Vec<Answered>>;

    /// No more is asked.
    ///
    /// # Errors
    /// A system that fails at the end, so that its answers cannot be relied on.
    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A system behind a chat endpoint: each question is a message of a conversation of its own.
pub struct Asked(pub Arc<dyn Generator>);

impl AnswerSource for Asked {
    fn answer(
        &mut self,
        questions: &[&Question],
        request: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<Vec<Answered>> {
        let prompts: Vec<String> = questions.iter().map(|question| asking(question, request)).collect();
        let prompts: Vec<Prompt<'_>> = prompts.iter().map(Prompt::from).collect();
        let answers = answer_all(self.0.as_ref(), &prompts, "asking", progress)?;
        Ok(answers.into_iter().map(|answer| Answered { answer, documents: None }).collect())
    }
}

/// The question, and the request after it.
pub(super) fn asking(question: &Question, request: Option<&str>) -> String {
    request.map_or_else(|| question.text.clone(), |request| format!("{}\n{request}", question.text))
}
