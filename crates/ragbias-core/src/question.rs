use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{ContentHasher, ContentId, Error, Result};

/// The two claims of a question from which an LLM chooses, one for each pole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choices {
    /// The claim of the negative pole.
    pub negative: String,
    /// The claim of the positive pole.
    pub positive: String,
}

/// One question of a measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Unique within its set.
    #[serde(rename = "_id")]
    pub id: String,
    /// The text of the question.
    pub text: String,
    /// Its cluster: intervals resample topics, and splits never divide them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The two claims, if the answer is a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choices: Option<Choices>,
}

impl Question {
    /// The topic, or the question's own id if it has none: then it is its own cluster.
    pub fn cluster(&self) -> &str {
        self.topic.as_deref().unwrap_or(&self.id)
    }
}

/// Questions in a fixed order, each with a text and a unique id. A clone shares them.
#[derive(Debug, Clone)]
pub struct QuestionSet(Arc<[Question]>);

impl QuestionSet {
    /// A set of these questions, in this order.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::EmptyText`] (for a question or one of its choices) or [`Error::DuplicateId`].
    pub fn new(questions: Vec<Question>) -> Result<Self> {
        if questions.is_empty() {
            return Err(Error::Empty("question set"));
        }
        let mut seen = HashSet::new();
        for (position, question) in questions.iter().enumerate() {
            let choices = question.choices.iter().flat_map(|c| [c.negative.as_str(), c.positive.as_str()]);
            if choices.chain([question.text.as_str()]).any(|text| text.trim().is_empty()) {
                return Err(Error::EmptyText { what: "question", id: question.id.clone() });
            }
            if !seen.insert(question.id.as_str()) {
                let first = questions.iter().position(|q| q.id == question.id).unwrap_or_default() + 1;
                let (id, second) = (question.id.clone(), position + 1);
                return Err(Error::DuplicateId { what: "question", id, first, second });
            }
        }
        Ok(Self(questions.into()))
    }

    /// All questions, in order.
    pub fn questions(&self) -> &[Question] {
        &self.0
    }

    /// Number of questions, at least one.
    #[expect(clippy::len_without_is_empty, reason = "a question set is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The hash of all questions, in order.
    pub fn content_id(&self) -> ContentId {
        let mut hasher = ContentHasher::new("questions/1");
        for question in self.questions() {
            hasher = hasher.field(&question.id).field(&question.text).field(question.cluster());
            if let Some(choices) = &question.choices {
                hasher = hasher.field(&choices.negative).field(&choices.positive);
            }
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(id: &str, text: &str) -> Question {
        Question { id: id.into(), text: text.into(), topic: None, choices: None }
    }

    #[test]
    fn questions_without_text_or_with_a_used_id_are_refused() {
        assert!(QuestionSet::new(vec![question("a", "  ")]).is_err());
        let error = QuestionSet::new(vec![question("a", "x"), question("a", "y")]).unwrap_err().to_string();
        assert_eq!(error, "question `a` occurs twice (number 1 and number 2); every _id must be unique");
    }

    #[test]
    fn an_empty_claim_is_an_empty_text() {
        let mut asked = question("a", "x");
        asked.choices = Some(Choices { negative: "yes".into(), positive: String::new() });
        assert!(QuestionSet::new(vec![asked]).is_err());
    }
}
