//! `config.json` by key, where a missing key takes transformers' default.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::family::Family;
use crate::files::{Object, get};
use crate::{Error, Result};

/// The largest size of anything else.
pub(super) const MOST: usize = u32::MAX as usize;

/// The keys of a family's `config.json`, under BERT's names.
#[derive(Clone, Copy)]
pub(super) struct Keys<'f> {
    pub(super) path: &'f Path,
    pub(super) file: &'f Object,
    pub(super) family: Family,
}

impl Keys<'_> {
    /// A value, or the default.
    pub(super) fn or<T: DeserializeOwned>(&self, key: &'static str, default: T) -> Result<T> {
        Ok(self.get(key)?.unwrap_or(default))
    }

    /// A value, unless it is missing or null.
    pub(super) fn get<T: DeserializeOwned>(&self, key: &'static str) -> Result<Option<T>> {
        get(self.path, self.file, self.family.key(self.path, self.file, key)?)
    }

    /// A whole number from 1 to `most`.
    pub(super) fn count(&self, key: &'static str, default: usize, most: usize) -> Result<usize> {
        match self.or(key, default)? {
            count if (1..=most).contains(&count) => Ok(count),
            count => Err(self.refused(key, format!("1 to {most}"), count.to_string())),
        }
    }

    /// A finite number above 0.
    pub(super) fn positive(&self, key: &'static str, default: f64) -> Result<f64> {
        match self.or(key, default)? {
            number if number > 0.0 && number.is_finite() => Ok(number),
            number => Err(self.refused(key, "a number above 0", number.to_string())),
        }
    }

    /// Refuses every value of a key but this one, with which a missing key computes what is computed here.
    pub(super) fn only(&self, key: &'static str, expected: &Value) -> Result<()> {
        match self.file.get(key) {
            None | Some(Value::Null) => Ok(()),
            Some(value) if is_equal(value, expected) => Ok(()),
            Some(value) => Err(self.refused(key, expected.to_string(), value.to_string())),
        }
    }

    pub(super) fn refused(
        &self,
        key: &'static str,
        expected: impl Into<String>,
        received: impl Into<String>,
    ) -> Error {
        let key = self.family.key(self.path, self.file, key).unwrap_or(key);
        Error::unsupported(self.path, key, expected, received)
    }
}

/// Numbers are equal whether or not they are written as whole ones.
fn is_equal(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a.to_bits() == b.to_bits())
}
