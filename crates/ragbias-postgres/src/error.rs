use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;

use postgres::error::SqlState;

use crate::place::Place;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A database that cannot be used, or a table that is not the expected one. No message contains a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something that is not the address of a database.
    #[error(
        "the address of the database: {0}, expected postgres://USER:PASSWORD@HOST:PORT/DATABASE\nhint: in a user or a password, \
         characters such as / ? # @ and : are written %2F %3F %23 %40 %3A"
    )]
    Address(&'static str),
    /// A file of certificates that cannot be used.
    #[error("{}: {reason}\nhint: `sslrootcert` names the certificates of the authorities that are trusted, in PEM format", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Something that is not the name of a table.
    #[error(
        "the table `{received}`: expected NAME or SCHEMA.NAME of lower-case letters, digits and _, each of up to {longest}, not \
         beginning with a digit"
    )]
    TableName {
        /// The text.
        received: String,
        /// Longest name, in bytes.
        longest: usize,
    },
    /// No connection can be made, or it was lost.
    #[error("{place}: the database cannot be reached\nhint: {}", .cause.hint())]
    Unreachable {
        /// Address and table.
        place: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// The database refuses a statement.
    #[error("{place}{}", .cause.advice())]
    Refused {
        /// Address and table.
        place: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// A database without pgvector, or with one that is too old.
    #[error("{place}: expected pgvector 0.8 or later, received {received}\nhint: {hint}")]
    Extension {
        /// The address.
        place: String,
        /// What is there.
        received: String,
        /// What to do.
        hint: &'static str,
    },
    /// There is no such table.
    #[error("{place}: there is no such table\nhint: `ragbias ingest` creates and fills it")]
    NoTable {
        /// Address and table.
        place: String,
    },
    /// A table that was made by something else.
    #[error(
        "{place}: expected a table that `ragbias ingest` made, which says so in its comment; received {received}\nhint: another name \
         makes a new table; a renamed one keeps its comment"
    )]
    Foreign {
        /// Address and table.
        place: String,
        /// What it is.
        received: String,
    },
    /// A table of other vectors.
    #[error("{place}: {what} is {received}, expected {expected}\nhint: {hint}")]
    Other {
        /// Address and table.
        place: String,
        /// What differs.
        what: &'static str,
        /// What was asked for.
        expected: String,
        /// What the table has.
        received: String,
        /// What to do.
        hint: &'static str,
    },
    /// A table without rows.
    #[error("{place}: the table is empty\nhint: `ragbias ingest` fills it")]
    Empty {
        /// Address and table.
        place: String,
    },
    /// A document that cannot be stored.
    #[error("document `{id}` {reason}")]
    Document {
        /// Its `_id`.
        id: String,
        /// Why not.
        reason: &'static str,
    },
    /// A row that cannot be read.
    #[error("{place}: the row `{id}` cannot be read: {reason}")]
    Row {
        /// Address and table.
        place: String,
        /// Its id.
        id: String,
        /// Why not.
        reason: String,
    },
    /// Vectors that pgvector cannot store.
    #[error("{what} is {received}, expected {expected}")]
    Setting {
        /// What cannot be stored.
        what: &'static str,
        /// Its range.
        expected: String,
        /// What it is.
        received: String,
    },
    /// Vectors that do not have unit length, where they are compared by cosine.
    #[error("the vectors do not have unit length; a table of cosines needs `Embeddings::normalised`")]
    NotNormalised,
    /// A value of the vocabulary was refused, or the embedder failed.
    #[error(transparent)]
    Core(#[from] ragbias_core::Error),
}

impl Error {
    /// The error of a statement, or of a connection.
    pub(crate) fn of(place: &Place, error: postgres::Error) -> Self {
        let (place, cause) = (place.to_string(), Cause(error));
        if cause.may_pass() { Self::Unreachable { place, cause } } else { Self::Refused { place, cause } }
    }

    /// Whether the same may succeed later.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unreachable { cause, .. } if cause.may_pass())
    }
}

impl From<Error> for ragbias_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Core(error) => error,
            error if error.is_unavailable() => Self::unavailable(error),
            other => Self::component(other),
        }
    }
}

/// What the database, or the connection to it, says: the message alone, without the values of rows that a detail may quote.
#[derive(Debug)]
pub struct Cause(postgres::Error);

impl Cause {
    /// Whether the connection is at fault, or a server that starts, ends, or is too busy, not what was asked.
    fn may_pass(&self) -> bool {
        let passing = [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::QUERY_CANCELED,
            SqlState::IDLE_SESSION_TIMEOUT,
        ];
        match self.0.code() {
            Some(code) => passing.contains(code) || code.code().starts_with("08"),
            None => !self.is_of_tls() && (self.0.is_closed() || self.of_io()),
        }
    }

    /// Whether no TLS could be agreed on, or the server is not the one that it should be.
    fn is_of_tls(&self) -> bool {
        self.0.to_string().contains("TLS")
    }

    fn of_io(&self) -> bool {
        self.0.source().is_some_and(<dyn StdError>::is::<std::io::Error>)
    }

    /// What to do where the database cannot be reached.
    fn hint(&self) -> &'static str {
        match self.0.code() {
            Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => {
                "other programs hold its connections; `max_connections` is the server's limit"
            }
            Some(code) if *code == SqlState::QUERY_CANCELED => {
                "the statement took longer than allowed, or was cancelled; an HNSW index makes searches shorter"
            }
            _ => {
                "is the server running, at this host and port? What was stored is kept, and the same can be done again"
            }
        }
    }

    /// What to do about a statement that is refused, as one more line.
    fn advice(&self) -> String {
        let hints = [
            (
                SqlState::INSUFFICIENT_PRIVILEGE,
                "the role needs to be allowed this: `GRANT CREATE ON SCHEMA public TO ROLE` to create a table, `GRANT SELECT ON TABLE` to \
                 search one; writing and indexing are its owner's",
            ),
            (
                SqlState::INVALID_PASSWORD,
                "is the password in the address, or in RAGBIAS_POSTGRES, that of this user?",
            ),
            (
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                "pg_hba.conf says who may connect from where, and how",
            ),
            (SqlState::INVALID_CATALOG_NAME, "`createdb NAME` creates a database"),
            (
                SqlState::READ_ONLY_SQL_TRANSACTION,
                "this server is a replica: tables are filled on the primary",
            ),
            (SqlState::DISK_FULL, "what was stored before is kept: make room, and do the same again"),
            (SqlState::UNDEFINED_TABLE, "was the table dropped in the meantime?"),
        ];
        let hint = match self.0.code() {
            Some(code) => hints.iter().find(|(known, _)| known == code).map(|(_, hint)| *hint),
            None if self.is_of_tls() => Some(
                "`sslmode` asks for TLS: the server must have it switched on, with a certificate of its name by an authority that browsers \
                 trust, or by one in the file of `sslrootcert=FILE`",
            ),
            None if self.0.to_string().contains("configuration") => {
                Some("the server wants a password: give one in the address, or in RAGBIAS_POSTGRES")
            }
            None => None,
        };
        hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_db_error(), self.0.source()) {
            (Some(said), _) => write!(f, "{} (SQLSTATE {})", said.message(), said.code().code()),
            (None, Some(source)) => write!(f, "{}: {source}", self.0),
            (None, None) => write!(f, "{}", self.0),
        }
    }
}

impl StdError for Cause {}
