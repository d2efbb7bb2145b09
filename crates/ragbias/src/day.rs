use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// A day of the calendar, `2026-11-01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(Date);

impl Day {
    /// Today, in UTC.
    fn today() -> Self {
        Self(TimeZone::UTC.to_datetime(Timestamp::now()).date())
    }

    /// Whether nothing can have been declared on it yet. Somewhere it is already tomorrow.
    pub(crate) fn is_to_come(self) -> bool {
        let tomorrow = Self::today().0.tomorrow().map_or(Self::today(), Self);
        self > tomorrow
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
        assert!(!Day::today().is_to_come());
        assert!("9000-01-01".parse::<Day>().unwrap().is_to_come());
    }
}
