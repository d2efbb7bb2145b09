use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use etcetera::BaseStrategy;
use ragbias_core::{Answer, Choice, Chosen, ContentHasher, ContentId, Finish, Role, Verdict};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use crate::{Error, Result};

/// What components answered before, by content hash, in one SQLite file.
///
/// Vectors are kept by embedder and text, answers and choices by LLM and prompt, verdicts by scorer and passage. An answer
/// is kept when it has ended, whatever becomes of those beside it: a run that is killed at any moment, or of which a prompt
/// fails, loses at most what was being answered, and the next one goes on from there. Several processes may share a store;
/// the answer that is kept first is every process's.
pub struct Store {
    connection: Mutex<Connection>,
    path: PathBuf,
    tallies: [Tally; 3],
    /// Whether answers of earlier processes are asked again.
    fresh: bool,
    answered: Mutex<Answered>,
}

/// Where the answers of this process came from.
#[derive(Debug, Default)]
struct Answered {
    /// Keys of answers that an LLM gave since the store was opened.
    here: HashSet<ContentId>,
    /// Keys of answers from before, by the LLM's id.
    before: HashMap<ContentId, HashSet<ContentId>>,
    /// Fingerprints that an LLM's answers carried before the store was opened, by its id.
    fingerprints: HashMap<ContentId, BTreeSet<String>>,
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

// The number in a name rises where columns change, so that programs of both versions can share a file.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS answers_2 (
        key BLOB PRIMARY KEY, answer TEXT NOT NULL, finish TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS choices_2 (
        key BLOB PRIMARY KEY, finish TEXT NOT NULL, log_odds REAL, position_bias REAL, coverage REAL
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS fingerprints (
        llm BLOB, fingerprint TEXT, PRIMARY KEY (llm, fingerprint)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS verdicts (key BLOB PRIMARY KEY, positive INTEGER, negative INTEGER) WITHOUT ROWID;
";

impl Store {
    /// Opens a store, or makes an empty one.
    ///
    /// # Errors
    /// A file that is no SQLite file or cannot be written to, a folder, or a folder that cannot be written to: with the store's name
    /// and what to do.
    pub fn open(path: &Path) -> Result<Self> {
        let place = |reason| Error::StorePlace { path: Some(path.into()), reason };
        if path.is_dir() {
            return Err(place(std::io::Error::other("this is a folder, expected a file")));
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs_err::create_dir_all(folder).map_err(place)?;
        }
        let open = || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(std::time::Duration::from_secs(30))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.execute_batch(SCHEMA)?;
            Ok(connection)
        };
        let connection = open().map_err(|reason| Error::Store { path: path.into(), reason })?;
        Ok(Self {
            connection: Mutex::new(connection),
            path: path.into(),
            tallies: Default::default(),
            fresh: false,
            answered: Mutex::default(),
        })
    }

    /// The store named by `RAGBIAS_STORE`, or the one in the user's cache directory.
    ///
    /// # Errors
    /// Where the user has no home directory.
    pub fn default_path() -> Result<PathBuf> {
        if let Some(path) = std::env::var_os("RAGBIAS_STORE").filter(|path| !path.is_empty()) {
            return Ok(path.into());
        }
        let folders = etcetera::choose_base_strategy().map_err(|error| {
            let reason = std::io::Error::new(std::io::ErrorKind::NotFound, error);
            Error::StorePlace { path: None, reason }
        })?;
        Ok(folders.cache_dir().join("ragbias").join("store.sqlite"))
    }

    /// The store, whose answers and choices of earlier processes are asked again and replaced; vectors and verdicts, which
    /// do not change, are remembered.
    #[must_use]
    pub fn fresh(self) -> Self {
        Self { fresh: true, ..self }
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
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> Error + '_ {
        |reason| Error::Store { path: self.path.clone(), reason }
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

    pub(crate) fn answer(&self, llm: ContentId, key: ContentId) -> Result<Option<Answer>> {
        self.recall(llm, key, "SELECT answer, finish FROM answers_2 WHERE key = ?", |row| {
            Ok(Answer { text: row.get(0)?, finish: finish(row, 1)? })
        })
    }

    /// Keeps an answer, and gives the one that is kept.
    pub(crate) fn put_answer(&self, llm: ContentId, key: ContentId, answer: Answer) -> Result<Answer> {
        let row = params![key.as_bytes(), answer.text, finish_name(answer.finish)];
        let put = self.put(key, "INTO answers_2 VALUES (?, ?, ?)", row)?;
        Ok(if put { answer } else { self.answer(llm, key)?.unwrap_or(answer) })
    }

    pub(crate) fn choice(&self, llm: ContentId, key: ContentId) -> Result<Option<Chosen>> {
        let sql = "SELECT finish, log_odds, position_bias, coverage FROM choices_2 WHERE key = ?";
        self.recall(llm, key, sql, |row| {
            Ok(match finish(row, 0)? {
                Finish::Stop => Chosen::Choice(Choice {
                    log_odds: row.get(1)?,
                    position_bias: row.get(2)?,
                    coverage: row.get(3)?,
                }),
                Finish::Cut => Chosen::Cut,
                Finish::Refused => Chosen::Refused,
            })
        })
    }

    /// Keeps a choice, and gives the one that is kept.
    pub(crate) fn put_choice(&self, llm: ContentId, key: ContentId, chosen: Chosen) -> Result<Chosen> {
        let finish = match chosen {
            Chosen::Choice(_) => Finish::Stop,
            Chosen::Cut => Finish::Cut,
            Chosen::Refused => Finish::Refused,
        };
        let number = |of: fn(&Choice) -> f64| chosen.choice().map(of);
        let row = params![
            key.as_bytes(),
            finish_name(finish),
            number(|choice| choice.log_odds),
            number(|choice| choice.position_bias),
            number(|choice| choice.coverage)
        ];
        let put = self.put(key, "INTO choices_2 VALUES (?, ?, ?, ?, ?)", row)?;
        Ok(if put { chosen } else { self.choice(llm, key)?.unwrap_or(chosen) })
    }

    /// What is kept under a key; nothing where it is from before and asked again.
    fn recall<A>(
        &self,
        llm: ContentId,
        key: ContentId,
        sql: &str,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<A>,
    ) -> Result<Option<A>> {
        let here = self.answered().here.contains(&key);
        if self.fresh && !here {
            return Ok(None);
        }
        let kept = (self.lock().prepare_cached(sql))
            .and_then(|mut statement| statement.query_row([key.as_bytes()], read).optional())
            .map_err(self.failed())?;
        if kept.is_some() && !here {
            self.answered().before.entry(llm).or_default().insert(key);
        }
        Ok(kept)
    }

    /// Whether a row was put in its place: another process's stays, unless everything is asked again.
    fn put(&self, key: ContentId, into: &str, row: &[&dyn rusqlite::ToSql]) -> Result<bool> {
        let how = if self.fresh { "REPLACE" } else { "IGNORE" };
        let rows = (self.lock().prepare_cached(&format!("INSERT OR {how} {into}")))
            .and_then(|mut statement| statement.execute(row))
            .map_err(self.failed())?;
        self.answered().here.insert(key);
        Ok(rows > 0)
    }

    fn answered(&self) -> MutexGuard<'_, Answered> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many answers and choices of this LLM came from the store, and not from the LLM since the store was opened.
    pub(crate) fn earlier(&self, llm: ContentId) -> usize {
        self.answered().before.get(&llm).map_or(0, HashSet::len)
    }

    /// Keeps which fingerprints an LLM's answers carry.
    pub(crate) fn put_fingerprints<'f>(
        &self,
        llm: ContentId,
        fingerprints: impl Iterator<Item = &'f String>,
    ) -> Result<()> {
        let connection = self.lock();
        let put = || {
            let mut answered = self.answered();
            if let Entry::Vacant(before) = answered.fingerprints.entry(llm) {
                let sql = "SELECT fingerprint FROM fingerprints WHERE llm = ?";
                let mut statement = connection.prepare_cached(sql)?;
                let rows = statement.query_map([llm.as_bytes()], |row| row.get(0))?;
                before.insert(rows.collect::<rusqlite::Result<_>>()?);
            }
            let sql = "INSERT OR IGNORE INTO fingerprints VALUES (?, ?)";
            for fingerprint in fingerprints {
                connection.prepare_cached(sql)?.execute(params![llm.as_bytes(), fingerprint])?;
            }
            Ok(())
        };
        put().map_err(self.failed())
    }

    /// The fingerprints that an LLM's answers carried before the store was opened.
    pub(crate) fn earlier_fingerprints(&self, llm: ContentId) -> BTreeSet<String> {
        self.answered().fingerprints.get(&llm).cloned().unwrap_or_default()
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
                    // A scorer says neither of the last two.
                    Verdict::Unscored | Verdict::Refused | Verdict::Cut => (None, None),
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

fn finish_name(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Cut => "cut",
        Finish::Refused => "refused",
    }
}

fn finish(row: &Row<'_>, column: usize) -> rusqlite::Result<Finish> {
    let name: String = row.get(column)?;
    let known = [Finish::Stop, Finish::Cut, Finish::Refused].into_iter().find(|of| finish_name(*of) == name);
    known.ok_or_else(|| {
        let reason = format!("expected stop, cut or refused, received {name}");
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, reason.into())
    })
}

fn vector_key(embedder: ContentId, role: Role, text: &str) -> ContentId {
    let role: &[u8] = match role {
        Role::Question => b"q",
        Role::Document => b"d",
    };
    ContentHasher::new("vector/1").field(embedder.as_bytes()).field(role).field(text).finish()
}
