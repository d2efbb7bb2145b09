//! Displays text from files.

use std::fmt::{self, Write};

/// A text in which every character that would move a cursor, or hide or reorder other text, is escaped.
///
/// ```
/// use ragbias_data::shown;
///
/// assert_eq!(shown("a\tb\u{1b}[31m\u{202e}").to_string(), r"a\tb\u{1b}[31m\u{202e}");
/// assert_eq!(shown("Zoë 王").to_string(), "Zoë 王");
/// ```
pub fn shown(text: &str) -> Shown<'_> {
    Shown(text)
}

/// See [`shown`].
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\t' => f.write_str("\\t")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                _ if is_hidden(character) => write!(f, "{}", character.escape_unicode())?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Whether a character is a control or format character that a terminal acts on, or that hides or reorders text.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
