use serde::{Deserialize, Serialize};

use crate::{ContentHasher, ContentId, Error, Judging, Result};

/// One end of an axis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Pole {
    /// Name of a text at this end: `female`, `left`.
    pub name: String,
    /// The prefix that directs a question towards this pole when training examples are mined.
    pub instruction: String,
    /// Words and phrases that indicate this pole, for the scorer `words`.
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

/// The wording of prompts, as Jinja templates; [`Axis::wording`] has the default of each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Prompts {
    /// The system message, sent before every prompt; none if it is empty. Variable: `request`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Variables: `question`, `request`, and the retrieved texts: `context`, all texts separated by an empty line, or
    /// `documents`, a list of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_context: Option<String>,
    /// Variables: `question` and `request`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_context: Option<String>,
    /// The request, available as `request` in the templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

/// The complete wording of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wording<'a> {
    /// Template of the system message; may be empty.
    pub system: &'a str,
    /// Template of a prompt with documents.
    pub with_context: &'a str,
    /// Template of a prompt without documents.
    pub without_context: &'a str,
    /// The request, available as `request` in the templates; may be empty.
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
    /// Name of the axis: `gender`, `politics`.
    pub name: String,
    /// The pole of lean −1.
    pub negative: Pole,
    /// The pole of lean +1.
    pub positive: Pole,
    /// How the LLM is asked.
    pub answering: Answering,
    /// Name of the default scorer, for documents and for answers that are not choices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scorer: Option<String>,
    /// The wording of its prompts.
    #[serde(default)]
    pub prompts: Prompts,
    /// What the scorer `judge` asks about a text; without it the axis has no such scorer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Judging>,
}

impl Axis {
    /// An axis with the default wording and without a default scorer; [`Axis::checked`] checks it.
    pub fn new(name: impl Into<String>, negative: Pole, positive: Pole, answering: Answering) -> Self {
        let (name, prompts) = (name.into(), Prompts::default());
        Self { name, negative, positive, answering, scorer: None, prompts, judge: None }
    }

    /// The wording of prompts: the axis's own, with the default `Context: …`, `Question: …`, and, if the answer is a name,
    /// a request for it; without a system message.
    pub fn wording(&self) -> Wording<'_> {
        let Prompts { system, with_context, without_context, request } = &self.prompts;
        let usual = if self.answering == Answering::Name { ONE_NAME } else { "" };
        Wording {
            system: system.as_deref().unwrap_or_default(),
            with_context: with_context.as_deref().unwrap_or(WITH_CONTEXT),
            without_context: without_context.as_deref().unwrap_or(WITHOUT_CONTEXT),
            request: request.as_deref().unwrap_or(usual),
        }
    }

    /// The same axis with another wording; parts missing in `prompts` are unchanged.
    #[must_use]
    pub fn asking(mut self, prompts: Prompts) -> Self {
        let Prompts { system, with_context, without_context, request } = prompts;
        let mine = &mut self.prompts;
        mine.system = system.or(mine.system.take());
        mine.with_context = with_context.or(mine.with_context.take());
        mine.without_context = without_context.or(mine.without_context.take());
        mine.request = request.or(mine.request.take());
        self
    }

    /// The same axis with other questions for the scorer `judge`.
    #[must_use]
    pub fn judged_by(self, judging: Judging) -> Self {
        Self { judge: Some(judging), ..self }
    }

    /// Hash of the whole definition of the axis.
    ///
    /// # Panics
    /// Never: an axis can always be serialised.
    pub fn content_id(&self) -> ContentId {
        let json = serde_json::to_vec(self).expect("strings alone; this is a bug");
        ContentHasher::new("axis/1").field(json).finish()
    }

    /// Checks what types cannot: that names are present and differ, and so the questions of a judge.
    ///
    /// # Errors
    /// [`Error::Axis`] with the reason.
    pub fn checked(self) -> Result<Self> {
        let names = [&self.name, &self.negative.name, &self.positive.name];
        let reason = if names.iter().any(|name| name.trim().is_empty()) {
            "the axis and both of its poles need a name"
        } else if self.negative.name == self.positive.name {
            "its two poles have the same name"
        } else if let Some(fault) = self.judge.as_ref().and_then(Judging::fault) {
            fault
        } else {
            return Ok(self);
        };
        Err(Error::Axis { axis: self.name, reason: reason.into() })
    }
}
