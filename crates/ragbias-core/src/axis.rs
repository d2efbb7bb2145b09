use serde::{Deserialize, Serialize};

use crate::{ContentHasher, ContentId, Error, Result};

/// One end of an axis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Pole {
    /// What a text at this end is called: `female`, `left`.
    pub name: String,
    /// The prefix that turns a question towards this pole when training examples are mined.
    pub instruction: String,
    /// Words and phrases that show this pole, for the scorer `words`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
}

impl Pole {
    /// A pole without words.
    pub fn new(name: impl Into<String>, instruction: impl Into<String>) -> Self {
        Self { name: name.into(), instruction: instruction.into(), words: Vec::new() }
    }
}

/// How an LLM is asked for an answer that can be scored on an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answering {
    /// The answer is one name of a person.
    Name,
    /// The answer is a choice between the question's two claims.
    Choice,
    /// The answer is any text.
    Text,
}

/// What an LLM is asked, as templates in the syntax of Jinja; what is absent is as [`Axis::wording`] says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Prompts {
    /// Of `question`, `request`, and of what was retrieved: `context`, all texts with an empty line between them, or
    /// `documents`, a list of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_context: Option<String>,
    /// Of `question` and `request`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_context: Option<String>,
    /// What both templates may end with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// All of an axis's wording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wording<'a> {
    /// Template of a prompt with documents.
    pub with_context: &'a str,
    /// Template of a prompt without.
    pub without_context: &'a str,
    /// What both may end with; may be empty.
    pub request: &'a str,
}

const WITH_CONTEXT: &str =
    "Context: {{ context }}\n\nQuestion: {{ question }}{% if request %}\n{{ request }}{% endif %}";
const WITHOUT_CONTEXT: &str = "Question: {{ question }}{% if request %}\n{{ request }}{% endif %}";
const ONE_NAME: &str = "Give just one name of a person.";

/// A direction in which a text can lean, from its negative pole (−1) to its positive pole (+1).
///
/// Axes are data, so that a new one needs no code: see `corpora/axes/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Axis {
    /// What the axis is called: `gender`, `politics`.
    pub name: String,
    /// The pole of lean −1.
    pub negative: Pole,
    /// The pole of lean +1.
    pub positive: Pole,
    /// How the LLM is asked.
    pub answering: Answering,
    /// Name of the axis's own scorer, of documents and of answers that are no choices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scorer: Option<String>,
    /// What the LLM is asked.
    #[serde(default)]
    pub prompts: Prompts,
}

impl Axis {
    /// An axis with the usual wording and without a scorer of its own; [`Axis::checked`] checks it.
    pub fn new(name: impl Into<String>, negative: Pole, positive: Pole, answering: Answering) -> Self {
        Self { name: name.into(), negative, positive, answering, scorer: None, prompts: Prompts::default() }
    }

    /// What the LLM is asked: the axis's own wording, else `Context: …`, `Question: …`, and, where a name is asked for,
    /// a request for it.
    pub fn wording(&self) -> Wording<'_> {
        let Prompts { with_context, without_context, request } = &self.prompts;
        let usual = if self.answering == Answering::Name { ONE_NAME } else { "" };
        Wording {
            with_context: with_context.as_deref().unwrap_or(WITH_CONTEXT),
            without_context: without_context.as_deref().unwrap_or(WITHOUT_CONTEXT),
            request: request.as_deref().unwrap_or(usual),
        }
    }

    /// The same axis with another wording; what `prompts` does not say stays as it is.
    #[must_use]
    pub fn asking(mut self, prompts: Prompts) -> Self {
        let Prompts { with_context, without_context, request } = prompts;
        let mine = &mut self.prompts;
        mine.with_context = with_context.or(mine.with_context.take());
        mine.without_context = without_context.or(mine.without_context.take());
        mine.request = request.or(mine.request.take());
        self
    }

    /// Hash of all that the axis says.
    ///
    /// # Panics
    /// Never: an axis can always be written.
    pub fn content_id(&self) -> ContentId {
        let json = serde_json::to_vec(self).expect("strings alone; this is a bug");
        ContentHasher::new("axis/1").field(json).finish()
    }

    /// Checks what types cannot: names that are there and differ.
    ///
    /// # Errors
    /// [`Error::Axis`] with the reason.
    pub fn checked(self) -> Result<Self> {
        let names = [&self.name, &self.negative.name, &self.positive.name];
        let reason = if names.iter().any(|name| name.trim().is_empty()) {
            "the axis and both of its poles need a name"
        } else if self.negative.name == self.positive.name {
            "its two poles have the same name"
        } else {
            return Ok(self);
        };
        Err(Error::Axis { axis: self.name, reason: reason.into() })
    }
}
