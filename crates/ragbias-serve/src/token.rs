use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use crate::{Error, Result};

/// Characters that a token must have at least.
const SHORTEST: usize = 16;

/// The bearer token that requests must send. It is kept as a hash, and is never shown.
#[derive(Clone, Copy)]
pub struct Token(blake3::Hash);

impl Token {
    /// This token, without white space around it.
    ///
    /// # Errors
    /// A token that is shorter than 16 characters, or that a header cannot hold.
    pub fn new(token: &str) -> Result<Self> {
        let token = token.trim();
        if token.len() < SHORTEST {
            return Err(Error::Token("the token is shorter than 16 characters"));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Token("the token has characters other than printable ASCII"));
        }
        Ok(Self(blake3::hash(token.as_bytes())))
    }

    /// Whether a request sends it. Hashes are compared, in a time that does not depend on where they differ.
    pub(crate) fn is_in(self, headers: &HeaderMap) -> bool {
        let mut sent = headers.get_all(AUTHORIZATION).iter();
        let (Some(sent), None) = (sent.next(), sent.next()) else { return false };
        let Some((scheme, token)) = sent.as_bytes().split_at_checked("Bearer ".len()) else { return false };
        scheme.eq_ignore_ascii_case(b"Bearer ") && blake3::hash(token.trim_ascii()) == self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sends(value: &str) -> bool {
        let token = Token::new("0123456789abcdef\n").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        token.is_in(&headers)
    }

    #[test]
    fn only_the_same_token_is_accepted() {
        assert!(sends("Bearer 0123456789abcdef") && sends("bearer  0123456789abcdef"));
        for other in ["", "Bearer", "Bearer ", "Basic 0123456789abcdef", "Bearer 0123456789abcdeF"] {
            assert!(!sends(other), "{other}");
        }
        assert!(!Token::new("0123456789abcdef").unwrap().is_in(&HeaderMap::new()));
    }

    #[test]
    fn a_token_that_is_short_or_unsendable_is_refused_and_not_shown() {
        for wrong in ["tiny", "0123456789 abcdef", "0123456789abcdefé"] {
            let error = Token::new(wrong).unwrap_err().to_string();
            assert!(!error.contains(wrong), "{error}");
        }
        assert_eq!(format!("{:?}", Token::new("0123456789abcdef").unwrap()), "Token(…)");
    }
}
