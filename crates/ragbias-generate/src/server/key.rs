use std::fmt;

use super::secrets::Secrets;
use crate::{Error, Result};

/// A server's key, which no `Debug`, error or log shows.
#[derive(Clone)]
pub(super) struct Key {
    variable: &'static str,
    value: String,
}

/// The variables that may contain a key, in order of precedence.
const VARIABLES: [&str; 2] = ["RAGBIAS_API_KEY", "OPENAI_API_KEY"];

impl Key {
    /// The key from the environment, if set.
    pub(super) fn from_env() -> Result<Option<Self>> {
        for variable in VARIABLES {
            match std::env::var(variable) {
                Ok(value) if value.trim().is_empty() => {}
                Ok(value) => return Self::new(variable, &value).map(Some),
                Err(std::env::VarError::NotPresent) => {}
                Err(std::env::VarError::NotUnicode(_)) => return Err(unusable(variable)),
            }
        }
        Ok(None)
    }

    /// A key from a variable, without surrounding white space and line breaks.
    pub(super) fn new(variable: &'static str, value: &str) -> Result<Self> {
        let key = value.trim();
        if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self { variable, value: key.into() })
        } else {
            Err(unusable(variable))
        }
    }

    /// The variable it came from.
    pub(super) fn variable(&self) -> &'static str {
        self.variable
    }

    /// The header that carries it.
    pub(super) fn header(&self, azure: bool) -> (&'static str, String) {
        // An Azure directory token is a JWT, and is sent in the same header as for every other server.
        if azure && !self.value.starts_with("eyJ") {
            ("api-key", self.value.clone())
        } else {
            ("Authorization", format!("Bearer {}", self.value))
        }
    }

    /// The key, added to the secrets.
    pub(super) fn add_to(&self, secrets: &mut Secrets) {
        secrets.add(&self.value);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

fn unusable(variable: &'static str) -> Error {
    Error::Setting {
        setting: variable,
        expected: "a key of printable ASCII characters, without line breaks or spaces inside",
        received: "one that holds another character (it is not shown)".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_around_a_key_are_trimmed_and_one_inside_is_refused_unseen() {
        let key = Key::new("RAGBIAS_API_KEY", " sk-test\r\n").unwrap();
        assert_eq!(key.header(false), ("Authorization", "Bearer sk-test".into()));
        assert_eq!(key.header(true), ("api-key", "sk-test".into()));
        for bad in ["sk-a\nb", "sk-\u{7}", "sk a", "sk-é", "\n"] {
            let error = Key::new("RAGBIAS_API_KEY", bad).unwrap_err();
            assert!(error.to_string().starts_with("RAGBIAS_API_KEY is"), "{error}");
            assert!(!format!("{error} {error:?}").contains("sk"), "{error:?}");
        }
    }

    #[test]
    fn a_key_is_taken_out_of_texts_and_debug() {
        let key = Key::new("RAGBIAS_API_KEY", "sk-test").unwrap();
        let mut secrets = Secrets::default();
        key.add_to(&mut secrets);
        assert_eq!(secrets.remove("the key sk-test is wrong"), "the key (key) is wrong");
        assert_eq!(format!("{key:?}"), "Key(…)");
    }
}
