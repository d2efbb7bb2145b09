use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use ragbias_core::{Progress, Unit};

use crate::address::Address;
use crate::connection::{Connection, Purpose};
use crate::{Result, statements};

/// Time between two looks at how far the server is.
const LOOK: Duration = Duration::from_millis(500);

/// Has the server build an index of so many rows, with progress.
///
/// It is whole or not there at all: if this process ends, the server gives up.
pub(crate) fn build(
    connection: &Connection,
    address: &Address,
    sql: &str,
    rows: usize,
    progress: &dyn Progress,
) -> Result<()> {
    let pid: i32 = connection.run(|session| Ok(session.query("SELECT pg_backend_pid()", &[])?[0].get(0)))?;
    let step = progress.begin("building the HNSW index", rows as u64, Unit::Items);
    let watching = Connection::new(address, connection.place().clone(), Purpose::Tending);
    let (working, done) = channel();
    thread::scope(|scope| {
        let (watching, step) = (&watching, &step);
        scope.spawn(move || watch(watching, pid, &done, &|rows| step.advance(rows)));
        let built = connection.run(|session| session.client().batch_execute(sql));
        drop(working);
        built
    })
}

/// Reports how many more rows are in the index, until `done` is closed. A look that fails is left out.
fn watch(connection: &Connection, pid: i32, done: &Receiver<()>, advance: &dyn Fn(u64)) {
    let mut seen = 0;
    while let Err(RecvTimeoutError::Timeout) = done.recv_timeout(LOOK) {
        let rows = connection.run(|session| session.query(statements::BUILT, &[&pid])).unwrap_or_default();
        let built: u64 = rows.first().map_or(seen, |row| row.get::<_, i64>(0).unsigned_abs());
        // The count begins again with every partition.
        advance(if built < seen { built } else { built - seen });
        seen = built;
    }
}
