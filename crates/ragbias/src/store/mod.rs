//! Memoises the answers of components in one SQLite file.
//!
//! [`file`] recognises store files, [`value`] stores a value with its checksum; [`vectors`], [`answers`] and
//! [`verdicts`] are the kinds of values; [`merge`] takes over those of another file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use etcetera::BaseStrategy;
use rusqlite::Connection;
use serde::Serialize;

use crate::{Error, Result};

mod answered;
mod answers;
mod file;
mod merge;
mod value;
mod vectors;
mod verdicts;

use answered::Answered;
pub use merge::Merged;

/// Answers of components by content hash, in one SQLite file.
///
/// Vectors are stored by embedder and text, answers and choices by LLM and prompt, verdicts by scorer and passage. An answer
/// is stored when it has ended, independently of others in progress: a run that is killed at any moment, or in which a prompt
/// fails, loses at most the answers in progress, and the next run resumes from there. Stored values survive a power cut, if
/// the disk is reliable. Several processes may share a store; all of them use the answer stored first.
///
/// Every value has a checksum over its key and itself, which is checked at every read. A value with a wrong checksum
/// is set aside: it is computed again and replaced, and counted in [`Work`].
///
/// A clone is another handle of the same store.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    /// Whether answers of earlier processes are asked again.
    fresh: bool,
}

struct Shared {
    connection: Mutex<Connection>,
    path: PathBuf,
    tallies: [Tally; 3],
    answered: Mutex<Answered>,
    /// Whether there are rows of an earlier version, which carry no checksum.
    unchecked_rows: bool,
}

/// The kinds of values in the store.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Vectors,
    Answers,
    Verdicts,
}

#[derive(Debug, Default)]
struct Tally {
    remembered: AtomicUsize,
    computed: AtomicUsize,
    set_aside: AtomicUsize,
}

/// The work saved by the store since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Work {
    /// Texts embedded.
    pub vectors: Saved,
    /// Prompts answered and choices made.
    pub answers: Saved,
    /// Passages scored.
    pub verdicts: Saved,
}

/// Items of one kind, by origin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Saved {
    /// Taken from the store.
    pub remembered: usize,
    /// Computed and stored.
    pub computed: usize,
    /// Damaged in the store, and not used; those that were needed are also counted as computed. For answers, this includes the
    /// fingerprints stored with them.
    pub set_aside: usize,
}

impl Store {
    /// Opens a store, or creates an empty one.
    ///
    /// # Errors
    /// A file that is not a store of this version, which is left unchanged; a file or folder that cannot be written to, or a folder
    /// in the place of the file: with the store's name and what to do.
    pub fn open(path: &Path) -> Result<Self> {
        let place = |source| Error::StorePlace { path: Some(path.into()), source };
        if path.is_dir() {
            return Err(place(std::io::Error::other("this is a folder, expected a file")));
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs_err::create_dir_all(folder).map_err(place)?;
        }
        let found = file::inspect(path)?;
        let opened = file::open(path, found);
        let (connection, unchecked_rows) =
            opened.map_err(|source| Error::Store { path: path.into(), source })?;
        let shared = Shared {
            connection: Mutex::new(connection),
            path: path.into(),
            tallies: Default::default(),
            answered: Mutex::default(),
            unchecked_rows,
        };
        Ok(Self { shared: Arc::new(shared), fresh: false })
    }

    /// The store named by `RAGBIAS_STORE`, or the one in the user's cache directory.
    ///
    /// # Errors
    /// The user has no home directory.
    pub fn default_path() -> Result<PathBuf> {
        if let Some(path) = std::env::var_os("RAGBIAS_STORE").filter(|path| !path.is_empty()) {
            return Ok(path.into());
        }
        let folders = etcetera::choose_base_strategy().map_err(|error| {
            let source = std::io::Error::new(std::io::ErrorKind::NotFound, error);
            Error::StorePlace { path: None, source }
        })?;
        Ok(folders.cache_dir().join("ragbias").join("store.sqlite"))
    }

    /// The store, with answers and choices of earlier processes asked again and replaced; vectors and verdicts, which
    /// do not change, are still used.
    #[must_use]
    pub fn fresh(self) -> Self {
        Self { fresh: true, ..self }
    }

    /// Items taken from the store and items computed since it was opened.
    pub fn work(&self) -> Work {
        let saved = |kind: Kind| {
            let tally = &self.shared.tallies[kind as usize];
            Saved {
                remembered: tally.remembered.load(Ordering::Relaxed),
                computed: tally.computed.load(Ordering::Relaxed),
                set_aside: tally.set_aside.load(Ordering::Relaxed),
            }
        };
        Work { vectors: saved(Kind::Vectors), answers: saved(Kind::Answers), verdicts: saved(Kind::Verdicts) }
    }

    /// Notes on the store when work is done: what was damaged in it, and what was not used.
    pub fn notes(&self) -> Vec<String> {
        let (work, place) = (self.work(), self.shared.path.display());
        let counted = |saved: Saved, one: &str| {
            let count = saved.set_aside;
            (count > 0).then(|| format!("{count} {one}{}", if count == 1 { "" } else { "s" }))
        };
        let damaged: Vec<String> =
            [(work.vectors, "vector"), (work.answers, "answer"), (work.verdicts, "verdict")]
                .into_iter()
                .filter_map(|(saved, one)| counted(saved, one))
                .collect();
        let mut notes = Vec::new();
        if !damaged.is_empty() {
            notes.push(format!(
                "the store {place}: damaged, not used and replaced: {}\nhint: where this comes again, the disk may be failing",
                damaged.join(", ")
            ));
        }
        if self.shared.unchecked_rows {
            notes.push(format!(
                "the store {place}: what an earlier version kept in it carries no checksums; it stays in the file and is not \
                 used: what is needed of it is computed again"
            ));
        }
        notes
    }

    pub(crate) fn tally(&self, kind: Kind, remembered: usize, computed: usize) {
        let tally = &self.shared.tallies[kind as usize];
        tally.remembered.fetch_add(remembered, Ordering::Relaxed);
        tally.computed.fetch_add(computed, Ordering::Relaxed);
    }

    fn set_aside(&self, kind: Kind) {
        self.shared.tallies[kind as usize].set_aside.fetch_add(1, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // Nothing panics while holding the connection, and statements are atomic.
        self.shared.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> Error + '_ {
        |source| Error::Store { path: self.shared.path.clone(), source }
    }
}

#[cfg(test)]
mod tests;
