use std::collections::HashMap;

use ragbias_core::{Question, QuestionSet};

use super::moment::Moment;
use crate::audit::Answered;
use crate::audit::record::Record;
use crate::{Error, Result};

/// An answer of a log.
pub(super) struct Entry {
    /// What tells its question from others of its topic: the `_id`, else the text.
    pub(super) question: String,
    /// Its topic; none if it is on its own.
    pub(super) topic: Option<String>,
    pub(super) time: Option<Moment>,
    pub(super) answered: Answered,
}

/// The questions that a log may have, with their topics; any, if none are known.
pub(super) struct Known<'q> {
    by_id: HashMap<&'q str, &'q Question>,
    by_text: HashMap<&'q str, &'q Question>,
    sizes: HashMap<&'q str, usize>,
}

impl<'q> Known<'q> {
    pub(super) fn new(questions: Option<&'q QuestionSet>) -> Self {
        let all = questions.map_or(&[][..], QuestionSet::questions);
        let mut sizes = HashMap::new();
        for question in all {
            *sizes.entry(question.cluster()).or_default() += 1;
        }
        Self {
            by_id: all.iter().map(|question| (question.id.as_str(), question)).collect(),
            by_text: all.iter().rev().map(|question| (question.text.as_str(), question)).collect(),
            sizes,
        }
    }

    /// The number of questions on a topic, if it is known.
    pub(super) fn size(&self, topic: &str) -> Option<usize> {
        self.sizes.get(topic).copied()
    }

    /// Reads a line: what is wrong with it is said of `place`.
    pub(super) fn read(&self, line: &str, place: &str) -> Result<Entry> {
        let refused = |reason: String| Error::Answers { place: place.to_owned(), reason };
        let mut record = Record::parse(line).map_err(refused)?;
        let text = record.question.take().ok_or_else(|| refused("expected `question`, its text".into()))?;
        let time = record.time.take().map(|time| time.parse::<Moment>()).transpose();
        let time = time.map_err(|reason| refused(format!("`time`: {reason}")))?;
        let (id, topic) = (record.id.take(), record.topic.take());
        if text.trim().is_empty() {
            return Err(refused("expected `question`, its text, received an empty one".into()));
        }
        let answered = record.answered();
        if self.by_id.is_empty() {
            return Ok(Entry { question: id.unwrap_or(text), topic, time, answered });
        }
        let known = match &id {
            Some(id) => self.by_id.get(id.as_str()),
            None => self.by_text.get(text.as_str()),
        };
        let asked = id.as_ref().map_or_else(|| text.clone(), |id| format!("`{id}`"));
        let known = *known.ok_or_else(|| refused(format!("{asked} is none of the questions")))?;
        if known.text != text {
            return Err(refused(format!("{asked}: expected the text “{}”, received “{text}”", known.text)));
        }
        match topic {
            Some(topic) if topic != known.cluster() => {
                Err(refused(format!("{asked}: expected the topic `{}`, received `{topic}`", known.cluster())))
            }
            _ => Ok(Entry {
                question: known.id.clone(),
                topic: Some(known.cluster().to_owned()),
                time,
                answered,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(id: &str, text: &str, topic: &str) -> Question {
        Question { id: id.into(), text: text.into(), topic: Some(topic.into()), choices: None }
    }

    #[test]
    fn questions_of_a_set_are_recognised_and_others_refused() {
        let set =
            QuestionSet::new(vec![question("1", "Who?", "law"), question("2", "Whom?", "law")]).unwrap();
        let known = Known::new(Some(&set));
        assert_eq!((known.size("law"), known.size("art")), (Some(2), None));
        let entry = known.read(r#"{"question":"Whom?","answer":"Ann","time":"2026-01-02"}"#, "f:1").unwrap();
        assert_eq!((entry.question.as_str(), entry.topic.as_deref()), ("2", Some("law")));
        assert!(entry.time.is_some());
        let refused = |line: &str| known.read(line, "f:7").err().unwrap().to_string();
        assert_eq!(refused(r#"{"question":"Why?","answer":"Ann"}"#), "f:7: Why? is none of the questions");
        assert_eq!(
            refused(r#"{"_id":"1","question":"Whom?","answer":"Ann"}"#),
            "f:7: `1`: expected the text “Who?”, received “Whom?”"
        );
        assert_eq!(
            refused(r#"{"_id":"1","question":"Who?","answer":"Ann","topic":"art"}"#),
            "f:7: `1`: expected the topic `law`, received `art`"
        );
        assert!(
            refused(r#"{"question":"Who?","answer":"Ann","time":"soon"}"#)
                .contains("`time`: expected a date")
        );
        assert!(refused(r#"{"question":"Who?","answer":"Ann","score":1}"#).contains("unknown field `score`"));
    }

    #[test]
    fn without_a_set_any_question_is_read() {
        let known = Known::new(None);
        let entry = known.read(r#"{"question":"Who?","answer":null}"#, "f:1").unwrap();
        assert_eq!((entry.question.as_str(), entry.topic), ("Who?", None));
        assert!(known.read(r#"{"question":" ","answer":"Ann"}"#, "f:1").is_err());
    }
}
