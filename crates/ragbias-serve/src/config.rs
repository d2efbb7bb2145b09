use std::time::Duration;

use ragbias::core::limits::OutOfLimits;

use crate::Result;

/// The limits of a service.
///
/// | setting | default | purpose | range |
/// | --- | ---: | --- | --- |
/// | `batch` | 32 | texts that are embedded together | 1 to 1024 |
/// | `queue` | 4096 | texts that may wait; more are refused with 503 and Retry-After | 1 to 10⁶ |
/// | `texts` | 2048 | texts of one request | 1 to `queue` |
/// | `text_bytes` | 1 MiB | bytes of one text | 1 to 64 MiB |
/// | `body_bytes` | 8 MiB | bytes of one request | 1 KiB to 1 GiB |
/// | `top_k` | 1000 | documents of one search | 1 to 10⁵ |
/// | `connections` | 1024 | open connections; more wait to be accepted | 1 to 10⁵ |
/// | `timeout` | 30 s | time for a request, from its headers to its answer | 10 ms to 1 h |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServeConfig {
    /// Texts that are embedded together.
    pub batch: usize,
    /// Texts that may wait.
    pub queue: usize,
    /// Texts of one request.
    pub texts: usize,
    /// Bytes of one text.
    pub text_bytes: usize,
    /// Bytes of one request.
    pub body_bytes: usize,
    /// Documents of one search.
    pub top_k: usize,
    /// Open connections.
    pub connections: usize,
    /// Time for a request.
    pub timeout: Duration,
}

ragbias::core::setters!(ServeConfig {
    batch: usize,
    queue: usize,
    texts: usize,
    text_bytes: usize,
    body_bytes: usize,
    top_k: usize,
    connections: usize,
    timeout: Duration,
});

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            batch: 32,
            queue: 4096,
            texts: 2048,
            text_bytes: 1 << 20,
            body_bytes: 8 << 20,
            top_k: 1000,
            connections: 1024,
            timeout: Duration::from_secs(30),
        }
    }
}

impl ServeConfig {
    /// Checks the range of every setting.
    ///
    /// # Errors
    /// [`Error::Limits`](crate::Error::Limits) for the first value outside its range.
    pub fn check(&self) -> Result<()> {
        let ranges = [
            ("batch", self.batch, 1, 1024, "1 to 1024 texts"),
            ("queue", self.queue, 1, 1_000_000, "1 to 1000000 texts"),
            ("texts", self.texts, 1, self.queue, "1 text to as many as may wait"),
            ("text-bytes", self.text_bytes, 1, 64 << 20, "1 byte to 64 MiB"),
            ("body-bytes", self.body_bytes, 1 << 10, 1 << 30, "1 KiB to 1 GiB"),
            ("top-k", self.top_k, 1, 100_000, "1 to 100000 documents"),
            ("connections", self.connections, 1, 100_000, "1 to 100000 connections"),
        ];
        for (setting, value, least, most, expected) in ranges {
            if !(least..=most).contains(&value) {
                return Err(OutOfLimits { setting, expected, received: value.to_string() }.into());
            }
        }
        if !(Duration::from_millis(10)..=Duration::from_hours(1)).contains(&self.timeout) {
            let expected = "0.01 to 3600 seconds";
            let received = format!("{} seconds", self.timeout.as_secs_f64());
            return Err(OutOfLimits { setting: "timeout", expected, received }.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_outside_its_range_is_refused_by_name() {
        assert!(ServeConfig::default().check().is_ok());
        let many = ServeConfig::default().queue(100).texts(200);
        assert_eq!(
            many.check().unwrap_err().to_string(),
            "texts is 200, expected 1 text to as many as may wait"
        );
        let never = ServeConfig::default().timeout(Duration::ZERO);
        assert_eq!(
            never.check().unwrap_err().to_string(),
            "timeout is 0 seconds, expected 0.01 to 3600 seconds"
        );
    }
}
