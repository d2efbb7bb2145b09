//! The delay that a server requests.

use std::time::{Duration, SystemTime};

use ureq::http::HeaderMap;

/// The delay in the headers of a response: milliseconds, seconds with or without a fraction, or a date.
///
/// A date is compared with the server's own clock, if it sends its time.
pub(super) fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    // `NaN` is not a valid number of seconds, although `f64::max` would accept it.
    let seconds = |seconds: f64| Duration::try_from_secs_f64(if seconds < 0.0 { 0.0 } else { seconds }).ok();
    if let Some(wait) =
        text("retry-after-ms").and_then(|ms| ms.parse().ok()).and_then(|ms: f64| seconds(ms / 1000.0))
    {
        return Some(wait);
    }
    let after = text("retry-after")?;
    if let Ok(number) = after.parse::<f64>() {
        return seconds(number);
    }
    let until = httpdate::parse_http_date(after).ok()?;
    let now =
        text("date").and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or_else(SystemTime::now);
    Some(until.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(fields: &[(&'static str, &'static str)]) -> Option<Duration> {
        asked(&fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect())
    }

    #[test]
    fn seconds_fractions_milliseconds_and_dates_are_read() {
        assert_eq!(wait(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(wait(&[("retry-after", " 0.25 ")]), Some(Duration::from_millis(250)));
        assert_eq!(
            wait(&[("retry-after-ms", "125"), ("retry-after", "1")]),
            Some(Duration::from_millis(125))
        );
        let (date, later) = ("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:09 GMT");
        assert_eq!(wait(&[("date", date), ("retry-after", later)]), Some(Duration::from_secs(9)));
        assert_eq!(wait(&[("date", later), ("retry-after", date)]), Some(Duration::ZERO));
        assert_eq!(wait(&[("retry-after", date)]), Some(Duration::ZERO), "past by our clock");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for odd in ["soon", "", "NaN", "inf", "1e300"] {
            assert_eq!(wait(&[("retry-after", odd)]), None, "{odd}");
        }
        assert_eq!(wait(&[("retry-after", "-3")]), Some(Duration::ZERO));
        assert_eq!(wait(&[]), None);
    }
}
