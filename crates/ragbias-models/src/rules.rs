//! The rules that the entries of both registries obey.

use std::collections::BTreeSet;

/// Why an entry is refused: its place within the entry, what was expected, and what was received.
pub(crate) type Refusal = String;

/// Names that must differ.
#[derive(Default)]
pub(crate) struct Names(BTreeSet<String>);

impl Names {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    pub(crate) fn add(&mut self, what: &str, name: &str) -> Result<(), Refusal> {
        if self.0.insert(name.to_owned()) { Ok(()) } else { Err(format!("{what} `{name}`: received twice")) }
    }
}

pub(crate) fn size_and_sum(place: &str, bytes: u64, sha256: &str) -> Result<(), Refusal> {
    size(place, bytes)?;
    hexadecimal(place, "sha256", sha256, 64)
}

pub(crate) fn size(place: &str, bytes: u64) -> Result<(), Refusal> {
    if bytes == 0 {
        return Err(format!("{place}: expected `bytes` of at least 1, received 0"));
    }
    Ok(())
}

/// Refuses anything but this number of hexadecimal digits.
pub(crate) fn hexadecimal(place: &str, key: &str, text: &str, digits: usize) -> Result<(), Refusal> {
    let is_digit = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != digits || !text.bytes().all(is_digit) {
        return Err(format!(
            "{place}: expected a `{key}` of {digits} hexadecimal digits in lower case, received `{text}`"
        ));
    }
    Ok(())
}

/// Refuses a path that could leave its folder, be read as another one on some system, or meet a hidden scratch folder.
pub(crate) fn plain_path(place: &str, path: &str, most_names: usize) -> Result<(), Refusal> {
    let is_plain = |name: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=+".contains(&byte);
        !name.is_empty() && !name.starts_with('.') && !name.ends_with('.') && name.bytes().all(plain)
    };
    if path.split('/').all(is_plain) && path.split('/').count() <= most_names {
        return Ok(());
    }
    let what = if most_names == 1 { "a name" } else { "names between `/`" };
    Err(format!(
        "{place}: expected {what} of letters, digits and `-_.=+`, none with `.` at an end, received `{path}`"
    ))
}
