use ragbias_core::{Progress, Question, Unit};
use ragbias_generate::SearchServer;

use super::malformed;
use super::source::{AnswerSource, Answered};
use crate::Result;

/// Questions of one request.
const BATCH: usize = 32;

/// A system whose answers do not show documents, with the service that it searches: the documents are those which that service finds
/// for the same questions, without the request that may be asked after each.
pub struct Searched {
    answers: Box<dyn AnswerSource>,
    service: SearchServer,
}

impl Searched {
    /// These answers, with the documents of this service.
    pub fn new(answers: Box<dyn AnswerSource>, service: SearchServer) -> Self {
        Self { answers, service }
    }
}

impl AnswerSource for Searched {
    /// Searches first: a service that fails costs no answers.
    fn answer(
        &mut self,
        questions: &[&Question],
        request: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<Vec<Answered>> {
        let step = progress.begin("searching", questions.len() as u64, Unit::Items);
        let mut found = Vec::with_capacity(questions.len());
        for batch in questions.chunks(BATCH) {
            let texts: Vec<&str> = batch.iter().map(|question| question.text.as_str()).collect();
            found.extend(self.service.first(&texts)?);
            step.advance(batch.len() as u64);
        }
        drop(step);
        let mut answered = self.answers.answer(questions, request, progress)?;
        for ((answered, first), question) in answered.iter_mut().zip(found).zip(questions) {
            if answered.documents.is_some() {
                let reason = "its answer shows its documents, expected none beside those of the retriever\nhint: leave out `retriever ADDRESS`";
                return Err(malformed(format!("question `{}`", question.id), reason));
            }
            answered.documents = Some(first.into_iter().collect());
        }
        Ok(answered)
    }

    fn end(&mut self) -> Result<()> {
        self.answers.end()
    }
}
