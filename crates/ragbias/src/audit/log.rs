use std::collections::HashMap;
use std::path::Path;

use ragbias_core::{Progress, Question, QuestionSet};

use super::malformed;
use super::record::Record;
use super::source::{AnswerSource, Answered};
use crate::Result;

/// Answers that a system gave before.
pub struct Logged(HashMap<String, Answered>);

/// Reads a log: `{"question", "answer", "_id"?, "topic"?, "documents"?, "finish"?}` on a line. The questions are those of the log, in
/// its order; one without `_id` is called by the number of its line, from 1.
///
/// # Errors
/// A file that cannot be read, and with its line: a record that is malformed, has a field of another name, or an `_id` of before.
pub fn read_log(path: &Path) -> Result<(QuestionSet, Logged)> {
    let text = ragbias_data::read_text(path)?;
    let (mut questions, mut answers) = (Vec::new(), HashMap::new());
    for (line, number) in text.lines().zip(1_usize..) {
        if line.trim().is_empty() {
            continue;
        }
        let place = format!("{}:{number}", path.display());
        let mut record = Record::parse(line).map_err(|reason| malformed(&place, reason))?;
        let text =
            record.question.take().ok_or_else(|| malformed(&place, "expected `question`, its text"))?;
        let id = record.id.clone().unwrap_or_else(|| number.to_string());
        let topic = record.topic.take();
        if answers.insert(id.clone(), record.answered()).is_some() {
            return Err(malformed(&place, format!("`_id` is `{id}`, as on a line before")));
        }
        questions.push(Question { id, text, topic, choices: None });
    }
    let questions = QuestionSet::new(questions).map_err(|error| malformed(path.display(), error))?;
    Ok((questions, Logged(answers)))
}

impl AnswerSource for Logged {
    fn answer(
        &mut self,
        questions: &[&Question],
        request: Option<&str>,
        _: &dyn Progress,
    ) -> Result<Vec<Answered>> {
        if request.is_some() {
            return Err(malformed(
                "the log",
                "`request` cannot be added to questions that were asked before",
            ));
        }
        let take = |question: &&Question| {
            let given = self.0.remove(&question.id);
            given.ok_or_else(|| malformed("the log", format!("no answer to question `{}`", question.id)))
        };
        questions.iter().map(take).collect()
    }
}
