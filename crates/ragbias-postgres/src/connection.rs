use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use postgres::types::ToSql;
use postgres::{Client, NoTls, Row, Statement, Transaction};

use crate::address::Address;
use crate::place::Place;
use crate::{Error, Result};

/// Waits between attempts of work that is not to be given up lightly, 31 s together: a server restarts within them.
const PATIENCE: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Short searches. The parameters of an HNSW search are those of this library's own index; the scan goes on until enough rows
    /// pass a filter. A plan is made for the values of every search, as the number of rows decides whether the index is used.
    Searching,
    /// Filling and indexing, which may take hours, but not after the client has gone.
    Tending,
}

impl Purpose {
    fn settings(self) -> &'static str {
        match self {
            Self::Searching => {
                "SET statement_timeout = '30s'; SET plan_cache_mode = force_custom_plan; SET jit = off; SET hnsw.ef_search = 128; \
                 SET hnsw.iterative_scan = strict_order;"
            }
            Self::Tending => {
                "SET statement_timeout = 0; SET standard_conforming_strings = on; \
                 SELECT set_config(name, '2s', false) FROM pg_settings WHERE name = 'client_connection_check_interval';"
            }
        }
    }
}

/// A connection to a database, which is made again after it was lost.
pub(crate) struct Connection {
    address: Address,
    place: Place,
    purpose: Purpose,
    session: Mutex<Option<Session>>,
}

impl Connection {
    /// A connection, made when it is first used; errors say `place`.
    pub(crate) fn new(address: &Address, place: Place, purpose: Purpose) -> Self {
        Self { address: address.clone(), place, purpose, session: Mutex::new(None) }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Does some work, once more at once if it was done on a connection that turned out to be lost: it must be such that it can be
    /// repeated.
    pub(crate) fn run<T>(
        &self,
        mut work: impl FnMut(&mut Session) -> Result<T, postgres::Error>,
    ) -> Result<T> {
        let was_connected = self.session.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        match self.attempt(&mut work) {
            Err(error) if was_connected && error.is_unavailable() => self.attempt(&mut work),
            done => done,
        }
    }

    /// The same with more attempts, over half a minute.
    pub(crate) fn run_patiently<T>(
        &self,
        mut work: impl FnMut(&mut Session) -> Result<T, postgres::Error>,
    ) -> Result<T> {
        for wait in PATIENCE {
            match self.attempt(&mut work) {
                Err(error) if error.is_unavailable() => thread::sleep(wait),
                done => return done,
            }
        }
        self.attempt(&mut work)
    }

    fn attempt<T>(&self, work: &mut impl FnMut(&mut Session) -> Result<T, postgres::Error>) -> Result<T> {
        let mut held = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let fail = |error| Error::of(&self.place, error);
        let mut session = match held.take() {
            Some(session) => session,
            None => Session::begin(&self.address, self.purpose).map_err(fail)?,
        };
        let done = work(&mut session).map_err(fail)?;
        // After an error the next attempt is made on a new connection, without statements that were prepared for another table.
        *held = Some(session);
        Ok(done)
    }
}

/// A connection that was made, with the statements that were prepared on it.
pub(crate) struct Session {
    /// None after it was dropped.
    client: Option<Client>,
    statements: HashMap<String, Statement>,
}

impl Session {
    fn begin(address: &Address, purpose: Purpose) -> Result<Self, postgres::Error> {
        let mut config = postgres::Config::clone(address.config());
        // What a server notes would be printed by the client.
        config.notice_callback(|_| {});
        let mut client = match address.tls() {
            Some(tls) => config.connect(tls.clone())?,
            None => config.connect(NoTls)?,
        };
        client.batch_execute(purpose.settings())?;
        Ok(Self { client: Some(client), statements: HashMap::new() })
    }

    pub(crate) fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("a session has a client until it is dropped; this is a bug")
    }

    /// A statement, prepared once.
    pub(crate) fn prepared(&mut self, sql: &str) -> Result<Statement, postgres::Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client().prepare(sql)?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// The rows of a query, which is prepared once.
    pub(crate) fn query(
        &mut self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, postgres::Error> {
        let statement = self.prepared(sql)?;
        self.client().query(&statement, values)
    }

    /// Work that is done completely, or not at all.
    pub(crate) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, postgres::Error>,
    ) -> Result<T, postgres::Error> {
        let mut transaction = self.client().transaction()?;
        let done = work(&mut transaction)?;
        transaction.commit()?;
        Ok(done)
    }
}

impl Drop for Session {
    /// The client waits for its connection to end, which must not be done in an asynchronous task, where what is served may be dropped.
    fn drop(&mut self) {
        let client = self.client.take();
        let _ = thread::Builder::new().spawn(move || drop(client));
    }
}
