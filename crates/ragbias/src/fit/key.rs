//! What a fit is of, and what has none.

use serde::{Deserialize, Serialize};

use crate::measured::PartResult;

/// What a line is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FitKey {
    /// The LLM.
    pub llm: String,
    /// The axis.
    pub axis: String,
    /// The corpus, if the table has the column.
    pub corpus: Option<String>,
    /// The split of the questions, if the table has the column.
    pub split: Option<String>,
}

/// An LLM and axis without a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its LLM, axis, corpus and split.
    #[serde(flatten)]
    pub of: FitKey,
    /// The reason.
    pub reason: String,
}

impl FitKey {
    /// Whether a measurement is one of those that it names; a table that does not name its corpus or split names all.
    pub(crate) fn covers(&self, result: &PartResult) -> bool {
        let is = |of: &Option<String>, value: &str| of.as_deref().is_none_or(|of| of == value);
        Some(&self.llm) == result.llm.as_ref()
            && self.axis == result.axis
            && is(&self.corpus, &result.data)
            && is(&self.split, &result.split)
    }
}

impl std::fmt::Display for FitKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with {}", self.axis, self.llm)?;
        self.split.as_ref().map_or(Ok(()), |split| write!(f, ", split {split}"))
    }
}
