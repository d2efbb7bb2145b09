//! A threshold, and the day on which it was declared.

use ragbias_stats::Equivalence;
use serde::{Deserialize, Serialize};

use crate::day::Day;
use crate::{Error, Result};

/// A threshold that was set before anything was measured: the manifest of a run, its report and its choices hold to it.
///
/// A threshold chosen after the figures are known can turn any verdict; one that lies in a repository with its day cannot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredThreshold {
    /// δ: a |bias| below it counts as none. Above 0, up to 1.
    pub delta: f64,
    /// The day on which it was set, such as `2026-11-01`; not after today.
    pub declared: Day,
    /// Why this threshold.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl DeclaredThreshold {
    /// Refuses a threshold out of range, and a day that is still to come.
    ///
    /// # Errors
    /// Either.
    pub(crate) fn check(&self) -> Result<()> {
        Equivalence::judge(0.0..=0.0, self.delta)?;
        check_day(self.declared)
    }

    /// The threshold to judge by: that which was declared, else the one that is asked for, else 0.1.
    ///
    /// # Errors
    /// Another one is asked for than was declared.
    pub(crate) fn or(declared: Option<&Self>, asked: Option<f64>) -> Result<f64> {
        match (declared, asked) {
            (Some(Self { delta, declared, .. }), Some(asked)) if asked != *delta => {
                Err(Error::OtherThreshold { declared: *delta, on: *declared, asked })
            }
            (Some(Self { delta, .. }), _) => Ok(*delta),
            (None, asked) => Ok(asked.unwrap_or(Equivalence::DELTA)),
        }
    }
}

/// Refuses a day on which nothing can have been declared yet.
///
/// # Errors
/// A day that is still to come.
pub(crate) fn check_day(day: Day) -> Result<()> {
    if day.is_to_come() {
        let received = format!("{day}, which is still to come");
        return Err(Error::Setting { setting: "declared", expected: "a day up to today", received });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_threshold_than_was_declared_is_refused() {
        let declared =
            DeclaredThreshold { delta: 0.2, declared: "2026-11-01".parse().unwrap(), reason: String::new() };
        assert_eq!(DeclaredThreshold::or(Some(&declared), None).unwrap(), 0.2);
        assert_eq!(DeclaredThreshold::or(Some(&declared), Some(0.2)).unwrap(), 0.2);
        assert_eq!(DeclaredThreshold::or(None, None).unwrap(), Equivalence::DELTA);
        let error = DeclaredThreshold::or(Some(&declared), Some(0.3)).unwrap_err().to_string();
        assert!(error.contains("0.2") && error.contains("2026-11-01") && error.contains("0.3"), "{error}");
    }
}
