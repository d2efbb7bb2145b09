//! Requests that are sent again while a server is busy.

use std::thread;
use std::time::Duration;

use super::address::Address;
use super::failure::{Failure, Then};
use crate::Error;

/// Attempts of a request.
const ATTEMPTS: u32 = 5;
/// The delay after the first; it doubles.
const BACKOFF: Duration = Duration::from_millis(500);

const BUSY: &str = "see whether the server is up and not overloaded, then run again";

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
