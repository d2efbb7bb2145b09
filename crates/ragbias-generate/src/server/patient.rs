//! Requests that are sent again while a server is busy, and their answers in JSON.

use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::address::Address;
use super::failure::{self, Failure, Then, plain};
use super::transport::Response;
use crate::Error;

/// Attempts of a request.
const ATTEMPTS: u32 = 5;
/// The delay after the first; it doubles.
const BACKOFF: Duration = Duration::from_millis(500);

const BUSY: &str = "see whether the server is up and not overloaded, then run again";

/// The JSON of a successful response in the form that is expected, which `expected` describes.
pub(super) fn answered<T: DeserializeOwned>(
    response: &Response,
    expected: &str,
    hint: &'static str,
) -> Result<T, Failure> {
    if !(200..300).contains(&response.status) {
        return Err(failure::of(response.status, &response.text, response.after));
    }
    let wrong = |reason: String| Failure::new(reason, hint, Then::Stop);
    let value: Value = serde_json::from_str(&response.text)
        .map_err(|_| wrong(format!("expected JSON, received `{}`", plain(&response.text))))?;
    serde_json::from_value(value).map_err(|error| wrong(format!("expected {expected}: {error}")))
}

/// What a request to this path gives, sent again while the server is overloaded or breaks off.
///
/// # Errors
/// [`Error::Server`] after the last attempt, with `hint` where the server is not only busy.
pub(super) fn patiently<T>(
    address: &Address,
    path: &str,
    hint: &'static str,
    once: impl Fn() -> Result<T, Failure>,
) -> crate::Result<T> {
    let mut delay = BACKOFF;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let failure = match once() {
            Ok(given) => return Ok(given),
            Err(failure) => failure,
        };
        let wait = match &failure.then {
            Then::Again(after) | Then::Slower(after) if attempts < ATTEMPTS => after.unwrap_or(delay),
            _ => {
                let is_busy = matches!(failure.then, Then::Again(_) | Then::Slower(_) | Then::Late);
                let hint = if is_busy { BUSY } else { hint };
                return Err(Error::Server {
                    url: address.without_key(path),
                    reason: failure.reason,
                    attempts,
                    hint,
                });
            }
        };
        thread::sleep(wait);
        delay *= 2;
    }
}

/// An address without this last part of its path, which is before its query and the model's name.
pub(super) fn before(path: &str, address: &str) -> String {
    let end = address.find(['?', '#']).unwrap_or(address.len());
    let (url, rest) = address.split_at(end);
    let url = url.trim_end_matches('/');
    format!("{}{rest}", url.strip_suffix(path).unwrap_or(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_end_in_the_path() {
        for (given, expected) in [
            ("http://h/v1", "http://h/v1"),
            ("http://h/v1/embeddings/#m", "http://h/v1#m"),
            ("https://h/v1/embeddings?api-version=2#a/embeddings", "https://h/v1?api-version=2#a/embeddings"),
        ] {
            assert_eq!(before("/embeddings", given), expected);
        }
    }
}
