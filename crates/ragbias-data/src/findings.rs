use std::fmt;
use std::path::{Path, PathBuf};

use ragbias_core::Progress;

use crate::{Error, Result};

/// A position in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A line of text, from 1.
    Line(usize),
    /// A row of a Parquet file, from 1.
    Row(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "{line}"),
            Self::Row(row) => write!(f, " row {row}"),
        }
    }
}

/// Number of problems after which a check stops.
const MOST_PROBLEMS: usize = 100;

/// Maximum number of different notes per file.
const MOST_NOTES: usize = 20;

/// A reader's findings about a file: problems, and notes on how it was read.
///
/// When reading for use, the first problem is an error; a check continues and collects them.
#[derive(Debug)]
pub(crate) struct Findings {
    path: PathBuf,
    collecting: bool,
    problems: Vec<String>,
    notes: Vec<Note>,
    /// Fields or columns with values that are not read, in the order of first occurrence.
    unread: Vec<String>,
    more_unread: bool,
}

#[derive(Debug)]
struct Note {
    text: String,
    first: Option<Place>,
    times: usize,
}

impl Findings {
    /// Findings for reading, which stops at the first problem.
    pub(crate) fn reading(path: &Path) -> Self {
        Self {
            path: path.into(),
            collecting: false,
            problems: Vec::new(),
            notes: Vec::new(),
            unread: Vec::new(),
            more_unread: false,
        }
    }

    /// Findings for a check, which lists a hundred problems.
    pub(crate) fn collecting(path: &Path) -> Self {
        Self { collecting: true, ..Self::reading(path) }
    }

    /// Records a problem.
    ///
    /// # Errors
    /// The problem, if reading stops at the first.
    pub(crate) fn wrong(&mut self, place: Place, reason: impl Into<String>) -> Result<()> {
        let reason = reason.into();
        if self.collecting && self.problems.len() < MOST_PROBLEMS {
            self.problems.push(format!("{place}: {reason}"));
            return Ok(());
        }
        let path = self.path.clone();
        Err(match place {
            Place::Line(line) => Error::Line { path, line, reason },
            Place::Row(row) => Error::Row { path, row, reason },
        })
    }

    /// Whether there was a problem after which a check continues.
    pub(crate) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Adds a note for the user about one position.
    pub(crate) fn note_at(&mut self, place: Place, text: impl Into<String>) {
        self.note(text.into(), Some(place));
    }

    /// Adds a note for the user about the whole file.
    pub(crate) fn note_of_file(&mut self, text: impl Into<String>) {
        self.note(text.into(), None);
    }

    fn note(&mut self, text: String, first: Option<Place>) {
        if let Some(note) = self.notes.iter_mut().find(|note| note.text == text) {
            note.times += 1;
        } else if self.notes.len() < MOST_NOTES {
            self.notes.push(Note { text, first, times: 1 });
        }
    }

    /// Records a field or a column that has a value and is not read.
    pub(crate) fn unread(&mut self, name: &str) {
        if self.unread.iter().any(|unread| unread == name) {
            return;
        }
        if self.unread.len() < MOST_NOTES { self.unread.push(name.into()) } else { self.more_unread = true }
    }

    /// All notes, with the position but without the file's name: `3: …`, or ` …` for the whole file.
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = (self.notes.iter())
            .map(|note| match (note.first, note.times) {
                (Some(place), 1) => format!("{place}: {}", note.text),
                (Some(place), times) => format!("{place}: {} ({times} times)", note.text),
                (None, _) => format!(" {}", note.text),
            })
            .collect();
        if !self.unread.is_empty() {
            let more = if self.more_unread { " and more" } else { "" };
            lines.push(format!(" not read: {}{more}", self.unread.join(", ")));
        }
        lines
    }

    /// Reports the notes.
    pub(crate) fn say(&self, progress: &dyn Progress) {
        for line in self.lines() {
            progress.note(&format!("{}:{line}", self.path.display()));
        }
    }

    /// Problems and notes, each `LINE: …`, or ` …` for the whole file.
    pub(crate) fn into_parts(self) -> (Vec<String>, Vec<String>) {
        let notes = self.lines();
        (self.problems, notes)
    }
}
