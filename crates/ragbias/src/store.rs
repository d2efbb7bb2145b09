use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use etcetera::BaseStrategy;
use ragbias_core::{Choice, ContentHasher, ContentId, Role, Verdict};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use crate::{Error, Result};

/// What components answered before, by content hash, in one SQLite file.
///
/// Vectors are kept by embedder and text, answers and choices by LLM and prompt, verdicts by scorer and passage. An
/// entry is written when it is computed: a run that is killed at any moment loses at most the item in flight, and the
/// next one goes on from there. Several processes may share a store.
pub struct Store {
    connection: Mutex<Connection>,
    path: PathBuf,
    tallies: [Tally; 3],
}

/// What the store keeps.
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
}

/// How much of the work the store saved since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Work {
    /// Texts embedded.
    pub vectors: Saved,
    /// Prompts answered and choices made.
    pub answers: Saved,
    /// Passages scored.
    pub verdicts: Saved,
}

/// Items of one kind, by where they came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Saved {
    /// Taken from the store.
    pub remembered: usize,
    /// Computed, and put there.
    pub computed: usize,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS choices (
        key BLOB PRIMARY KEY, log_odds REAL NOT NULL, position_bias REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS verdicts (key BLOB PRIMARY KEY, positive INTEGER, negative INTEGER) WITHOUT ROWID;
";

impl Store {
    /// Opens a store, or makes an empty one.
    ///
    /// # Errors
    /// A file that is no SQLite file, or a folder that cannot be written to.
    pub fn open(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs_err::create_dir_all(folder)?;
        }
        let open = || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(std::time::Duration::from_secs(30))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.execute_batch(SCHEMA)?;
            Ok(connection)
        };
        let connection = open().map_err(|source| Error::Store { path: path.into(), source })?;
        Ok(Self { connection: Mutex::new(connection), path: path.into(), tallies: Default::default() })
    }

    /// The store named by `RAGBIAS_STORE`, or the one in the user's cache directory.
    ///
    /// # Errors
    /// Where the user has no home directory.
    pub fn default_path() -> Result<PathBuf> {
        if let Some(path) = std::env::var_os("RAGBIAS_STORE").filter(|path| !path.is_empty()) {
            return Ok(path.into());
        }
        let folders = etcetera::choose_base_strategy()
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::NotFound, error))?;
        Ok(folders.cache_dir().join("ragbias").join("store.sqlite"))
    }

    /// What was remembered and what was computed since this store was opened.
    pub fn work(&self) -> Work {
        let saved = |kind: Kind| {
            let tally = &self.tallies[kind as usize];
            Saved {
                remembered: tally.remembered.load(Ordering::Relaxed),
                computed: tally.computed.load(Ordering::Relaxed),
            }
        };
        Work { vectors: saved(Kind::Vectors), answers: saved(Kind::Answers), verdicts: saved(Kind::Verdicts) }
    }

    pub(crate) fn tally(&self, kind: Kind, remembered: usize, computed: usize) {
        let tally = &self.tallies[kind as usize];
        tally.remembered.fetch_add(remembered, Ordering::Relaxed);
        tally.computed.fetch_add(computed, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // Nothing panics while it holds the connection, and a statement is done or not done.
        self.connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> Error + '_ {
        |source| Error::Store { path: self.path.clone(), source }
    }

    pub(crate) fn vector(&self, embedder: ContentId, role: Role, text: &str) -> Result<Option<Vec<f32>>> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT vector FROM vectors WHERE key = ?").map_err(self.failed())?;
        let bytes: Option<Vec<u8>> = statement
            .query_row([vector_key(embedder, role, text).as_bytes()], |row| row.get(0))
            .optional()
            .map_err(self.failed())?;
        let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        Ok(bytes.map(|bytes| bytes.chunks_exact(4).map(number).collect()))
    }

    pub(crate) fn put_vectors<'a>(
        &self,
        embedder: ContentId,
        role: Role,
        vectors: impl Iterator<Item = (&'a str, Vec<f32>)>,
    ) -> Result<()> {
        let mut connection = self.lock();
        let put = || {
            let transaction = connection.transaction()?;
            for (text, vector) in vectors {
                let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO vectors VALUES (?, ?)")?
                    .execute(params![vector_key(embedder, role, text).as_bytes(), bytes])?;
            }
            transaction.commit()
        };
        put().map_err(self.failed())
    }

    pub(crate) fn answer(&self, key: ContentId) -> Result<Option<String>> {
        self.lock()
            .prepare_cached("SELECT answer FROM answers WHERE key = ?")
            .and_then(|mut statement| statement.query_row([key.as_bytes()], |row| row.get(0)).optional())
            .map_err(self.failed())
    }

    pub(crate) fn put_answer(&self, key: ContentId, answer: &str) -> Result<()> {
        self.lock()
            .prepare_cached("INSERT OR REPLACE INTO answers VALUES (?, ?)")
            .and_then(|mut statement| statement.execute(params![key.as_bytes(), answer]))
            .map_err(self.failed())?;
        Ok(())
    }

    pub(crate) fn choice(&self, key: ContentId) -> Result<Option<Choice>> {
        let choice =
            |row: &rusqlite::Row<'_>| Ok(Choice { log_odds: row.get(0)?, position_bias: row.get(1)? });
        self.lock()
            .prepare_cached("SELECT log_odds, position_bias FROM choices WHERE key = ?")
            .and_then(|mut statement| statement.query_row([key.as_bytes()], choice).optional())
            .map_err(self.failed())
    }

    pub(crate) fn put_choice(&self, key: ContentId, choice: Choice) -> Result<()> {
        self.lock()
            .prepare_cached("INSERT OR REPLACE INTO choices VALUES (?, ?, ?)")
            .and_then(|mut statement| {
                statement.execute(params![key.as_bytes(), choice.log_odds, choice.position_bias])
            })
            .map_err(self.failed())?;
        Ok(())
    }

    pub(crate) fn verdict(&self, key: ContentId) -> Result<Option<Verdict>> {
        let verdict = |row: &rusqlite::Row<'_>| {
            let poles: (Option<bool>, Option<bool>) = (row.get(0)?, row.get(1)?);
            Ok(match poles {
                (Some(positive), Some(negative)) => Verdict::scored(positive, negative),
                _ => Verdict::Unscored,
            })
        };
        self.lock()
            .prepare_cached("SELECT positive, negative FROM verdicts WHERE key = ?")
            .and_then(|mut statement| statement.query_row([key.as_bytes()], verdict).optional())
            .map_err(self.failed())
    }

    pub(crate) fn put_verdicts(&self, verdicts: &[(ContentId, Verdict)]) -> Result<()> {
        let mut connection = self.lock();
        let mut put = || {
            let transaction = connection.transaction()?;
            for (key, verdict) in verdicts {
                let (positive, negative) = match *verdict {
                    Verdict::Scored { positive, negative } => (Some(positive), Some(negative)),
                    Verdict::Unscored => (None, None),
                };
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?)")?
                    .execute(params![key.as_bytes(), positive, negative])?;
            }
            transaction.commit()
        };
        put().map_err(self.failed())
    }
}

fn vector_key(embedder: ContentId, role: Role, text: &str) -> ContentId {
    let role: &[u8] = match role {
        Role::Question => b"q",
        Role::Document => b"d",
    };
    ContentHasher::new("vector/1").field(embedder.as_bytes()).field(role).field(text).finish()
}
