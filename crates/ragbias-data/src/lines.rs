use std::io::BufRead;
use std::path::{Path, PathBuf};

use crate::findings::{Findings, Place};
use crate::open::open;
use crate::{Error, Result};

/// Maximum size of a line, or of a record over several lines: bounds memory, however well a file is compressed.
pub(crate) const LONGEST: usize = 64 << 20;

/// The lines of a text, one at a time. A line ends with a line feed, a carriage return, or both.
pub(crate) struct Lines<'a> {
    path: PathBuf,
    reader: Box<dyn BufRead + 'a>,
    number: usize,
    buffer: Vec<u8>,
    note: Option<&'static str>,
    /// The first line with a replacement character, U+FFFD.
    replaced: Option<usize>,
}

/// One line.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    /// Its number, from 1.
    pub(crate) number: usize,
    /// The text without its line end.
    pub(crate) text: &'a str,
    /// Its line end: "\n", "\r\n", "\r", or empty at the end of the file.
    pub(crate) end: &'static str,
}

impl<'a> Lines<'a> {
    /// The lines of a file, decompressed and decoded.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let opened = open(path)?;
        Ok(Self { note: opened.note, ..Self::new(path, opened.reader) })
    }

    /// The lines of a text in memory, as if from a file of this name.
    pub(crate) fn of_text(path: &Path, text: &'a str) -> Self {
        Self::new(path, Box::new(text.strip_prefix('\u{feff}').unwrap_or(text).as_bytes()))
    }

    fn new(path: &Path, reader: Box<dyn BufRead + 'a>) -> Self {
        Self { path: path.into(), reader, number: 0, buffer: Vec::new(), note: None, replaced: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes on the encoding of the text; complete once all lines are read.
    pub(crate) fn say(&self, findings: &mut Findings) {
        if let Some(note) = self.note {
            findings.note_of_file(note);
        }
        if let Some(line) = self.replaced {
            let text = "replacement characters (U+FFFD): this text was damaged before it came here";
            findings.note_at(Place::Line(line), text);
        }
    }

    /// The next line; none at the end.
    ///
    /// # Errors
    /// Failures of the file system, damaged compression, invalid UTF-8, NUL, and lines beyond 64 MiB: each with its line.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>> {
        self.buffer.clear();
        let Some(end) = self.fill()? else { return Ok(None) };
        self.number += 1;
        let text = match str::from_utf8(&self.buffer) {
            Ok(text) => text,
            Err(error) => return Err(self.no_utf8(error)),
        };
        if self.buffer.contains(&0) {
            let column = text.chars().position(|c| c == '\0').unwrap_or_default() + 1;
            let reason = format!(
                "a NUL byte at column {column}, which no text has\nhint: text in UTF-16 without a byte order mark is converted \
                 by `iconv -f UTF-16LE -t UTF-8 FILE > NEW`"
            );
            return Err(wrong(&self.path, self.number, reason));
        }
        if self.number > 1 && text.starts_with('\u{feff}') {
            let reason = "a byte order mark within the file, as where files were joined\nhint: take it off";
            return Err(wrong(&self.path, self.number, reason));
        }
        if self.replaced.is_none() && text.contains('\u{fffd}') {
            self.replaced = Some(self.number);
        }
        Ok(Some(Line { number: self.number, text, end }))
    }

    /// The bytes of the next line, and its end.
    fn fill(&mut self) -> Result<Option<&'static str>> {
        loop {
            let failed = |error: std::io::Error| {
                wrong(&self.path, self.number + 1, format!("cannot be read: {error}"))
            };
            let available = self.reader.fill_buf().map_err(failed)?;
            if available.is_empty() {
                return Ok((!self.buffer.is_empty()).then_some(""));
            }
            let end = available.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let taken = end.unwrap_or(available.len());
            self.buffer.extend_from_slice(&available[..taken]);
            let carriage_return = end.is_some_and(|end| available[end] == b'\r');
            self.reader.consume(taken + usize::from(end.is_some()));
            if self.buffer.len() > LONGEST {
                let reason = format!("a line of more than {} MiB; expected a record per line", LONGEST >> 20);
                return Err(wrong(&self.path, self.number + 1, reason));
            }
            match end {
                Some(_) if carriage_return => {
                    let failed = |error: std::io::Error| {
                        wrong(&self.path, self.number + 1, format!("cannot be read: {error}"))
                    };
                    if self.reader.fill_buf().map_err(failed)?.first() == Some(&b'\n') {
                        self.reader.consume(1);
                        return Ok(Some("\r\n"));
                    }
                    return Ok(Some("\r"));
                }
                Some(_) => return Ok(Some("\n")),
                None => {}
            }
        }
    }

    fn no_utf8(&self, error: std::str::Utf8Error) -> Error {
        let (before, rest) = self.buffer.split_at(error.valid_up_to());
        let column = String::from_utf8_lossy(before).chars().count() + 1;
        let byte = rest.first().copied().unwrap_or_default();
        let reason = format!(
            "byte 0x{byte:02X} at column {column} is no UTF-8\nhint: text in Windows-1252 (Latin-1) is converted by `iconv -f \
             WINDOWS-1252 -t UTF-8 FILE > NEW`"
        );
        wrong(&self.path, self.number, reason)
    }
}

fn wrong(path: &Path, line: usize, reason: impl Into<String>) -> Error {
    Error::Line { path: path.into(), line, reason: reason.into() }
}

/// A whole text file in UTF-8, such as settings: decompressed and decoded, with unchanged line ends.
///
/// # Errors
/// As for every text file: invalid UTF-8 and NUL, with their line; more than 64 MiB.
pub fn read_text(path: &Path) -> Result<String> {
    let mut lines = Lines::open(path)?;
    let mut text = String::new();
    while let Some(line) = lines.next()? {
        text.push_str(line.text);
        text.push_str(line.end);
        if text.len() > LONGEST {
            let reason = format!("more than {} MiB", LONGEST >> 20);
            return Err(Error::File { path: path.into(), reason });
        }
    }
    Ok(text)
}
