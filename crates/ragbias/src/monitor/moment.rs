use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Seconds of a day.
const DAY: i64 = 86_400;

/// A point in time, to the second, as `2026-03-31` (its beginning, in UTC) or as RFC 3339 writes it: `2026-03-31T14:05:09Z`, with an offset such as `+02:00`,
/// or fractions of a second, which are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(i64);

impl Moment {
    /// Its day, in UTC: days since 1970.
    pub(super) fn day(self) -> i64 {
        self.0.div_euclid(DAY)
    }

    /// Days from this one to a later one.
    pub(super) fn days_until(self, later: Self) -> f64 {
        (later.0 - self.0) as f64 / DAY as f64
    }

    fn parse(text: &str) -> Option<i64> {
        let (date, rest) = text.split_at_checked(10)?;
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let days = days(year, month, day)?;
        if rest.is_empty() {
            return Some(days * DAY);
        }
        let (time, zone) = rest.strip_prefix(['T', 't', ' '])?.split_at_checked(8)?;
        let [hours, minutes, seconds] = numbers(time, ':', [2, 2, 2])?;
        // A leap second is the last but one of its minute.
        if hours > 23 || minutes > 59 || seconds > 60 {
            return None;
        }
        let fraction =
            zone.strip_prefix('.').map(|digits| digits.trim_start_matches(|c: char| c.is_ascii_digit()));
        if fraction.is_some_and(|rest| rest.len() + 1 == zone.len()) {
            return None;
        }
        let offset = match fraction.unwrap_or(zone) {
            "Z" | "z" => 0,
            zone => {
                let east = if zone.starts_with('+') { 1 } else { -1 };
                let [hours, minutes] = numbers(zone.strip_prefix(['+', '-'])?, ':', [2, 2])?;
                if hours > 23 || minutes > 59 {
                    return None;
                }
                east * (60 * hours + minutes) * 60
            }
        };
        Some(days * DAY + 3600 * hours + 60 * minutes + seconds.min(59) - offset)
    }
}

/// Numbers of so many digits each, between separators.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let parts: Vec<&str> = text.split(separator).collect();
    let parts: [&str; N] = parts.try_into().ok()?;
    let mut found = [0; N];
    for ((part, digits), number) in parts.iter().zip(digits).zip(&mut found) {
        if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    Some(found)
}

/// Days since 1970 of a date of the Gregorian calendar; none if there is no such date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month - 1).ok().filter(|before| *before < 12)?;
    if !(1..=lengths[before]).contains(&day) {
        return None;
    }
    let whole = year - 1;
    let of_years = 365 * whole + whole.div_euclid(4) - whole.div_euclid(100) + whole.div_euclid(400);
    // 1970 began 719,162 days after the year 1.
    Some(of_years - 719_162 + lengths[..before].iter().sum::<i64>() + day - 1)
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected a date or a time as 2026-03-31 or 2026-03-31T14:05:09Z";
        Self::parse(text).map(Self).ok_or_else(|| format!("{expected}, received `{text}`"))
    }
}

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

/// In UTC, to the second.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, second) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        // The year is at most one less than this.
        let mut year = 1970 + day.div_euclid(365);
        while days(year, 1, 1).is_some_and(|first| first > day) {
            year -= 1;
        }
        let begins = |month: i64| days(year, month, 1).unwrap_or(i64::MAX);
        let month = (1..=12).rev().find(|month| begins(*month) <= day).unwrap_or(1);
        let of_month = day - begins(month) + 1;
        let [hours, minutes, seconds] = [second / 3600, second / 60 % 60, second % 60];
        write!(f, "{year:04}-{month:02}-{of_month:02}T{hours:02}:{minutes:02}:{seconds:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Python: `datetime.fromisoformat(text).timestamp()`.
    #[test]
    fn times_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2026-03-31T14:05:09Z", 1_774_965_909),
            ("2026-03-31T14:05:09.25+02:00", 1_774_958_709),
            ("2026-12-31 23:59:59-05:30", 1_798_781_399),
            ("1969-12-31T23:59:58Z", -2),
            ("2100-03-01", 4_107_542_400),
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!(moment.0, seconds, "{text}");
            assert_eq!(moment.to_string().parse::<Moment>().unwrap(), moment, "{moment}");
        }
        assert_eq!(Moment(1_774_965_909).to_string(), "2026-03-31T14:05:09Z");
        assert_eq!(Moment(-2).to_string(), "1969-12-31T23:59:58Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-02-29",
            "2100-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-3-1",
            "2026-03-31T14:05",
            "2026-03-31T14:05:09",
            "2026-03-31T24:00:00Z",
            "2026-03-31T14:05:09.Z",
            "2026-03-31T14:05:09+2",
            "31.03.2026",
            "2026-03-31x",
            "+026-03-31",
            "law",
        ] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
