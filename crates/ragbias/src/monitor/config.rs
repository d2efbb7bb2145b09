use ragbias_stats::Equivalence;
use serde::Serialize;

use super::reference::Reference;
use super::since::Since;
use crate::{Error, Result};

/// What is watched, and how.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `threshold` | 0.1 | a system is ok while \|R_b\| is below it | above 0, up to 1 |
/// | `restart` | 1000 | units after which a further sequence begins, for recent changes; 0 is never | any |
/// | `since` | none | where the answers that are watched begin; those before are a reference | a time, or a topic |
/// | `reference` | none | an R_b that was measured before, to compare with | a bias and its n |
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MonitorConfig {
    /// A system is ok while |R_b| is below it.
    pub threshold: f64,
    /// Units after which a further sequence begins.
    pub restart: usize,
    /// Where the answers that are watched begin.
    pub since: Option<Since>,
    /// An R_b that was measured before.
    pub reference: Option<Reference>,
}

ragbias_core::setters!(MonitorConfig {
    threshold: f64,
    restart: usize,
    since: Option<Since>,
    reference: Option<Reference>,
});

impl Default for MonitorConfig {
    fn default() -> Self {
        Self { threshold: Equivalence::DELTA, restart: 1000, since: None, reference: None }
    }
}

impl MonitorConfig {
    /// Refuses a setting out of its range.
    pub(super) fn check(&self) -> Result<()> {
        Equivalence::judge(0.0..=0.0, self.threshold)?;
        match (&self.since, self.reference) {
            (Some(since), Some(reference)) => {
                let expected = "none with `since`, before which the answers are the reference";
                let received = format!("{reference}, with since {since}");
                Err(Error::Setting { setting: "reference", expected, received })
            }
            _ => Ok(()),
        }
    }
}
