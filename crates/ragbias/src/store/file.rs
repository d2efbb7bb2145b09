//! Which files are stores, and how one is made and opened.

use std::fmt::Write;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::{Error, Result};

/// `ragb`: what an SQLite file says it is of.
const APPLICATION: u32 = u32::from_be_bytes(*b"ragb");

/// The format of the tables, which rises where a program of this version could not use them rightly.
const FORMAT: u32 = 1;

/// The number in a name rises where columns change, so that programs of several versions can share a file.
///
/// A table of rows by number with an index on short keys, not by key: a row by key has to fit a quarter of a page, and a vector of
/// 384 values spilt over two more pages, so that 1,536 bytes took 4,689 on disk; now they take 1,667. Rows are appended
/// in the order in which they come, where keys, which are hashes, would split pages everywhere.
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

/// The tables of versions before [`APPLICATION`] was written.
///
/// Their rows carry no checksum, so that damage in them would go unseen. They are not used and not removed: vectors and verdicts
/// are soon computed again, and an answer that costs a request is worth less than one that is known to be what was
/// answered.
const EARLIER: [&str; 7] =
    ["vectors", "answers", "answers_2", "choices", "choices_2", "fingerprints", "verdicts"];

/// Five vectors of 768 values fill a page, or ten of 384. A file that is there keeps the size that it has.
const PAGE: u32 = 16 * 1024;

/// Pages of the log after which it is written into the file: 4 MB.
const CHECKPOINT: u32 = 256;

/// How long a process waits for another one.
const PATIENCE: Duration = Duration::from_secs(30);

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

/// Tells what a file is without SQLite writing to it, or leaving a file beside it.
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
    let another = "`store FILE` names another file, and a store is made where none is";
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

/// The tables of a file, each with its columns; only what is in the file itself, whatever logs lie beside it.
fn tables(path: &Path) -> rusqlite::Result<Vec<(String, String)>> {
    // As immutable, SQLite takes no lock, and makes no files beside it.
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

/// Opens a store or makes one; says whether there are rows of an earlier version that are not used.
pub(super) fn open(path: &Path, found: Found) -> rusqlite::Result<(Connection, bool)> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    let mut unchecked_rows = false;
    if found != Found::Store {
        // Of a file without tables; others keep the size that they have.
        connection.pragma_update(None, "page_size", PAGE)?;
        // Whole or not at all, and before the log is opened: whoever looks into the file sees what it is.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let application: u32 = transaction.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        // Another process may have been first.
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
    // An answer that was reported is there after a power cut. It costs a tenth of the time in which vectors are stored.
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

/// Writes by way of a log, with which others can read meanwhile. Where two processes open a new store, SQLite lets neither wait.
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
