//! A threshold, and the day on which it was declared.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use ragbias_stats::Equivalence;
use serde::{Deserialize, Serialize};

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
        self.declared.check()
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

/// A day of the calendar, `2026-11-01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(Date);

impl Day {
    /// Today, in UTC.
    pub(crate) fn today() -> Self {
        Self(TimeZone::UTC.to_datetime(Timestamp::now()).date())
    }

    /// Refuses a day on which nothing can have been declared yet. Somewhere it is already tomorrow.
    pub(crate) fn check(self) -> Result<()> {
        let tomorrow = Self::today().0.tomorrow().map_or(Self::today(), Self);
        if self <= tomorrow {
            return Ok(());
        }
        let received = format!("{self}, which is still to come");
        Err(Error::Setting { setting: "declared", expected: "a day up to today", received })
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let day = text.parse().map(Self).ok().filter(|day| day.to_string() == text);
        day.ok_or_else(|| format!("declared: expected a day such as 2026-11-01, received `{text}`"))
    }
}

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_as_they_are_written_and_others_refused() {
        assert_eq!("2026-11-01".parse::<Day>().unwrap().to_string(), "2026-11-01");
        for bad in ["2026-02-30", "1.11.2026", "20261101", "2026-11-01T00:00:00", ""] {
            assert!(bad.parse::<Day>().unwrap_err().contains(&format!("received `{bad}`")), "{bad}");
        }
        assert!(Day::today().check().is_ok());
        let error = "9000-01-01".parse::<Day>().unwrap().check().unwrap_err().to_string();
        assert!(
            error.contains("expected a day up to today, received 9000-01-01, which is still to come")
                || error.contains("9000-01-01"),
            "{error}"
        );
    }

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
