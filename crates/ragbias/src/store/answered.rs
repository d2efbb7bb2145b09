//! Which answers are from this process.

use std::collections::{BTreeSet, HashMap, HashSet};

use ragbias_core::ContentId;

/// Where the answers of this process came from.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// Keys of answers given by an LLM since the store was opened.
    pub(super) here: HashSet<ContentId>,
    /// Keys of earlier answers, by the LLM's id.
    pub(super) before: HashMap<ContentId, HashSet<ContentId>>,
    /// Fingerprints of an LLM's answers before the store was opened, by its id.
    pub(super) fingerprints: HashMap<ContentId, BTreeSet<String>>,
}
