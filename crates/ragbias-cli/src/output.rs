//! Standard output: data for programs and people, and errors in writing it.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use ragbias::data::is_hidden;

/// Standard output could not be written.
#[derive(Debug)]
pub(crate) enum OutputError {
    /// The reader has closed the pipe, as `head` does: not an error.
    Closed,
    /// For example, a full disk.
    Failed(io::Error),
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("standard output was closed"),
            Self::Failed(error) => write!(f, "standard output: {error}"),
        }
    }
}

impl std::error::Error for OutputError {}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> Self {
        if error.kind() == ErrorKind::BrokenPipe { Self::Closed } else { Self::Failed(error) }
    }
}

/// Prints lines, each with a line end.
pub(crate) fn print(lines: impl IntoIterator<Item = impl fmt::Display>) -> Result<(), OutputError> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}

/// Text of several lines, in which characters that a terminal acts on are escaped.
pub(crate) fn visible(text: &str) -> String {
    escaped(
        text,
        |character| character != '\n',
        |escapes, character| {
            escapes.extend(character.escape_unicode());
        },
    )
}

/// The same for JSON, whose escapes represent the same characters.
pub(crate) fn visible_json(json: &str) -> String {
    escaped(
        json,
        |_| true,
        |escapes, character| {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = fmt::Write::write_fmt(escapes, format_args!("\\u{unit:04x}"));
            }
        },
    )
}

fn escaped(text: &str, escape: impl Fn(char) -> bool, write: impl Fn(&mut String, char)) -> String {
    if !text.contains(|character| is_hidden(character) && escape(character)) {
        return text.into();
    }
    let mut escapes = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) && escape(character) {
            write(&mut escapes, character);
        } else {
            escapes.push(character);
        }
    }
    escapes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_is_printed() {
        assert_eq!(visible("a\u{1b}[2J\u{9b}\u{202e}b\nc\r"), "a\\u{1b}[2J\\u{9b}\\u{202e}b\nc\\u{d}");
        let json = serde_json::to_string("é\u{9b}\u{202e}\u{e0001}\u{7f}\n").unwrap();
        let shown = visible_json(&json);
        assert_eq!(shown, "\"é\\u009b\\u202e\\udb40\\udc01\\u007f\\n\"");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), "é\u{9b}\u{202e}\u{e0001}\u{7f}\n");
    }
}
