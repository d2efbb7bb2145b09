//! Recognises, creates and opens store files.

use std::fmt::Write;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::{Error, Result};

/// `ragb`: the application id in the SQLite header.
const APPLICATION: u32 = u32::from_be_bytes(*b"ragb");

/// The format version, increased when a program of the previous version could not use the tables correctly.
const FORMAT: u32 = 1;

/// The number in a table's name is increased when its columns change, so that programs of several versions can share a file.
///
/// Tables have numbered rows and an index on short keys, rather than the key as primary key: a row in a key-ordered table must fit
/// a quarter of a page, and a vector of 384 values overflowed to two more pages, so that 1,536 bytes took 4,689 on disk; now they
/// take 1,667. Rows are appended in order of arrival, whereas keys, which are hashes, would split pages everywhere.
const TABLES: &str = "
    CREATE TABLE vectors_2 (key BLOB PRIMARY KEY, checksum INTEGER NOT NULL, vector BLOB NOT NULL);
    CREATE TABLE answers_3 (
        key BLOB PRIMARY KEY, checksum INTEGER NOT NULL, answer TEXT NOT NULL, finish TEXT NOT NULL
    );
    CREATE TABLE choices_3 (
        key BLOB PRIMARY KEY, checksum INTEGER NOT NULL, finish TEXT NOT NULL, log_odds REAL, position_bias REAL,
        coverage REAL
    );
    CREATE TABLE fingerprints_2 (
        llm BLOB NOT NULL, fingerprint TEXT NOT NULL, checksum INTEGER NOT NULL, PRIMARY KEY (llm, fingerprint)
    );
    CREATE TABLE verdicts_2 (key BLOB PRIMARY KEY, checksum INTEGER NOT NULL, positive INTEGER, negative INTEGER);
";

/// Tables that stores of earlier versions lack; programs of these versions ignore them.
const ADDED: &str = "
    CREATE TABLE IF NOT EXISTS likelihoods_1 (
        key BLOB PRIMARY KEY, checksum INTEGER NOT NULL, log_probability REAL NOT NULL, tokens INTEGER NOT NULL
    );
";

/// The tables of versions before [`APPLICATION`] was written.
///
/// Their rows carry no checksum, so damage in them would not be detected. They are neither used nor removed: vectors and verdicts
/// are quickly computed again, and an answer that costs a request is worth less than one known to be
/// correct.
const EARLIER: [&str; 7] =
    ["vectors", "answers", "answers_2", "choices", "choices_2", "fingerprints", "verdicts"];

/// Five vectors of 768 values fill a page, or ten of 384. An existing file keeps its page size.
const PAGE: u32 = 16 * 1024;

/// Pages in the write-ahead log after which it is checkpointed: 4 MB.
const CHECKPOINT: u32 = 256;

/// How long a process waits for another one's lock.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A file that may be a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// There is no file, or an empty one.
    Nothing,
    /// A store.
    Store,
    /// A store of a version without [`APPLICATION`].
    Earlier,
}

/// Determines the kind of a file without SQLite writing to it or creating a file beside it.
pub(super) fn inspect(path: &Path) -> Result<Found> {
    let place = |source| Error::StorePlace { path: Some(path.into()), source };
    if !path.exists() {
        return Ok(Found::Nothing);
    }
    let mut header = Vec::new();
    fs_err::File::open(path).and_then(|file| file.take(100).read_to_end(&mut header)).map_err(place)?;
    if header.is_empty() {
        return Ok(Found::Nothing);
    }
    let refused = |found: String, hint| Err(Error::StoreRefused { path: path.into(), found, hint });
    let another = "`store FILE` names another file; a new store is created where there is none";
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        return refused("not an SQLite file, or its beginning is damaged".into(), another);
    }
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    match (number(68), number(60)) {
        (APPLICATION, FORMAT) => Ok(Found::Store),
        (APPLICATION, format) => refused(
            format!("a store of format {format}, expected {FORMAT}"),
            "a newer ragbias wrote it, unless its beginning is damaged; `store FILE` names another file",
        ),
        (0, _) => {
            let tables = tables(path).map_err(|source| Error::Store { path: path.into(), source })?;
            let empty = tables.is_empty() && !beside(path, "-wal").exists();
            let known = tables.iter().all(|(name, _)| EARLIER.contains(&name.as_str()));
            let ours = tables.iter().any(|(name, columns)| name == "vectors" && columns == "key,vector");
            if empty {
                Ok(Found::Nothing)
            } else if known && ours {
                Ok(Found::Earlier)
            } else if tables.is_empty() {
                refused(
                    "an SQLite file whose tables are in the `-wal` beside it, and not known".into(),
                    another,
                )
            } else {
                let names: Vec<_> = tables.iter().take(5).map(|(name, _)| format!("`{name}`")).collect();
                refused(
                    format!("another program's SQLite file, with tables such as {}", names.join(", ")),
                    another,
                )
            }
        }
        (application, _) => {
            refused(format!("another program's SQLite file, of application_id {application:#x}"), another)
        }
    }
}

/// The tables of a file with their columns, ignoring any logs beside it.
fn tables(path: &Path) -> rusqlite::Result<Vec<(String, String)>> {
    // Opened as immutable, SQLite takes no lock and creates no files.
    let mut address = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => address.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => address.push(char::from(*byte)),
            byte => write!(address, "%{byte:02x}").expect("text grows; this is a bug"),
        }
    }
    address.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(address, flags)?;
    let mut statement = connection.prepare(
        "SELECT name, (SELECT group_concat(name) FROM pragma_table_info(tables.name)) FROM sqlite_schema AS tables
         WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'",
    )?;
    let rows =
        statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, Option<_>>(1)?.unwrap_or_default())))?;
    rows.collect()
}

fn beside(path: &Path, ending: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Opens or creates a store; returns whether it has unused rows of an earlier version.
pub(super) fn open(path: &Path, found: Found) -> rusqlite::Result<(Connection, bool)> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    let mut unchecked_rows = false;
    if found != Found::Store {
        // Only for a file without tables; others keep their page size.
        connection.pragma_update(None, "page_size", PAGE)?;
        // In one transaction, and before the log is opened: any reader of the file sees what it is.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let application: u32 = transaction.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        // Another process may have been faster.
        if application != APPLICATION {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", FORMAT)?;
            if found == Found::Earlier {
                unchecked_rows = has_rows(&transaction)?;
            }
        }
        transaction.commit()?;
    }
    log(&connection)?;
    connection.execute_batch(ADDED)?;
    // A reported answer survives a power cut. This costs a tenth of the time for storing vectors.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
    connection.pragma_update(None, "cache_size", -32 * 1024)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok((connection, unchecked_rows))
}

/// Whether a table of an earlier version has rows.
fn has_rows(connection: &Connection) -> rusqlite::Result<bool> {
    for table in EARLIER {
        if connection.table_exists(None, table)? {
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {table})");
            if connection.query_row(&sql, [], |row| row.get(0))? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Enables the write-ahead log, so that others can read during writes. SQLite does not wait if two processes open a new store.
fn log(connection: &Connection) -> rusqlite::Result<()> {
    let begun = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && begun.elapsed() < PATIENCE =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            done => return done,
        }
    }
}
