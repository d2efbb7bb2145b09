use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// One end of an axis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pole {
    /// What a text at this end is called: `female`, `left`.
    pub name: String,
    /// The prefix that turns a question towards this pole when training examples are mined.
    pub instruction: String,
}

/// How an LLM is asked for an answer that can be scored on an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answering {
    /// The answer is one name of a person.
    Name,
    /// The answer is a choice between the question's two claims.
    Choice,
}

/// A direction in which a text can lean, from its negative pole (−1) to its positive pole (+1).
///
/// Axes are data, so that a new one needs no code: see `corpora/axes/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// What the axis is called: `gender`, `politics`.
    pub name: String,
    /// The pole of lean −1.
    pub negative: Pole,
    /// The pole of lean +1.
    pub positive: Pole,
    /// How the LLM is asked.
    pub answering: Answering,
}

impl Axis {
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
