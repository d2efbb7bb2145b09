use std::collections::HashSet;

use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;
use ragbias_core::{ContentId, Progress};

use crate::address::Address;
use crate::connection::{Connection, Purpose};
use crate::description::Description;
use crate::name::TableName;
use crate::place::Place;
use crate::row::Row;
use crate::{Error, Result, Search, TableConfig, VectorType, hnsw, statements};

/// Ids that are read or deleted at once.
const IDS: u16 = 10_000;
/// The first version of pgvector that goes on with an index until enough rows pass a filter.
const PGVECTOR: (u32, u32) = (0, 8);

/// A table of documents with their vectors: `id`, `title`, `text`, `metadata`, a hash of these, and `embedding`.
///
/// Its comment says which embedder the vectors are of. Rows are added by an [`Ingestion`](crate::Ingestion); whatever else is done
/// with a table, SQL does.
pub struct Table {
    connection: Connection,
    address: Address,
    name: TableName,
    description: Description,
}

impl Table {
    /// A table that exists.
    ///
    /// # Errors
    /// A database that cannot be reached, or has no pgvector 0.8; no such table, or one that was made by something else.
    pub fn open(address: &Address, name: &str) -> Result<Self> {
        let (connection, name) = connected(address, name)?;
        match inspect(&connection, &name)? {
            Some(description) => Ok(Self { connection, address: address.clone(), name, description }),
            None => Err(Error::NoTable { place: connection.place().to_string() }),
        }
    }

    /// A new table, or one that exists and is of the same vectors.
    ///
    /// # Errors
    /// Those of [`Table::open`]; settings out of range; a table of other vectors; a role that may not create one.
    pub fn create(address: &Address, name: &str, config: &TableConfig) -> Result<Self> {
        config.check()?;
        let (connection, name) = connected(address, name)?;
        if let Some(description) = inspect(&connection, &name)? {
            if let Some((what, expected, received)) = description.difference(config) {
                let hint = "another name makes another table; `DROP TABLE` removes this one";
                let place = connection.place().to_string();
                return Err(Error::Other { place, what, expected, received, hint });
            }
            return Ok(Self { connection, address: address.clone(), name, description });
        }
        let description = config.description();
        let sql = statements::create(&name, &description, config.partitions);
        connection.run(|session| session.transaction(|transaction| transaction.batch_execute(&sql)))?;
        Ok(Self { connection, address: address.clone(), name, description })
    }

    /// Number of rows.
    ///
    /// # Errors
    /// Those of the database, as for every other method.
    pub fn count(&self) -> Result<usize> {
        let rows = self.connection.run(|session| session.query(&statements::count(&self.name), &[]))?;
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs() as usize))
    }

    /// How its documents are searched unless otherwise asked for: approximately if it has an HNSW index.
    pub fn search(&self) -> Result<Search> {
        Ok(if self.indexes()?.is_empty() { Search::Exact } else { Search::Hnsw })
    }

    /// Creates an HNSW index, or drops it, if that is not already so; with progress.
    ///
    /// # Errors
    /// More dimensions than such an index can have.
    pub fn set_search(&self, search: Search, progress: &dyn Progress) -> Result<()> {
        let indexes = self.indexes()?;
        match search {
            Search::Hnsw if indexes.is_empty() => {
                self.check_search(search)?;
                let sql = statements::create_index(&self.name, &self.description);
                hnsw::build(&self.connection, &self.address, &sql, self.count()?, progress)
            }
            Search::Exact if !indexes.is_empty() => {
                let sql = format!("DROP INDEX {}", indexes.join(", "));
                self.connection.run(|session| session.client().batch_execute(&sql))
            }
            Search::Hnsw | Search::Exact => Ok(()),
        }
    }

    /// Refuses an index that these vectors cannot have, before any work.
    ///
    /// # Errors
    /// More dimensions than an HNSW index can have: 2000 in f32, 4000 in f16.
    pub fn check_search(&self, search: Search) -> Result<()> {
        let (dim, most) = (self.description.dim, self.description.vector_type.most_indexed());
        if search == Search::Exact || dim <= most {
            return Ok(());
        }
        Err(Error::Setting {
            what: "the number of dimensions of an HNSW index",
            expected: format!("up to {most} of the type {}", self.description.vector_type.name()),
            received: dim.to_string(),
        })
    }

    fn indexes(&self) -> Result<Vec<String>> {
        let (name, class) = (self.name.quoted(), self.description.operator_class());
        let rows = self.connection.run(|session| session.query(statements::INDEXES, &[&name, &class]))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Deletes the rows of these ids; the number of those that there were.
    pub fn delete(&self, ids: &[&str]) -> Result<usize> {
        let sql = statements::delete(&self.name);
        let deleted = ids.chunks(IDS.into()).map(|ids| {
            self.connection.run_patiently(|session| {
                let statement = session.prepared(&sql)?;
                session.client().execute(&statement, &[&ids])
            })
        });
        Ok(deleted.sum::<Result<u64>>()? as usize)
    }

    /// Deletes all rows but those of these ids; the number of deleted ones.
    pub fn retain(&self, ids: &HashSet<String>) -> Result<usize> {
        let sql = statements::ids(&self.name);
        let (mut last, mut deleted) = (String::new(), 0);
        loop {
            let rows =
                self.connection.run_patiently(|session| session.query(&sql, &[&last, &i64::from(IDS)]))?;
            let present: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
            let Some(end) = present.last() else { return Ok(deleted) };
            let others: Vec<&str> = present.iter().copied().filter(|id| !ids.contains(*id)).collect();
            deleted += self.delete(&others)?;
            (*end).clone_into(&mut last);
        }
    }

    /// Those of some ids that have a row, each with the hash of its content.
    pub(crate) fn contents(&self, ids: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
        let sql = statements::contents(&self.name);
        let rows = self.connection.run_patiently(|session| session.query(&sql, &[&ids]))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Stores rows in place of those of the same ids: all of them, or none.
    pub(crate) fn put(&self, rows: &[Row<'_>]) -> Result<()> {
        let ids: Vec<&str> = rows.iter().map(|row| row.id).collect();
        let [columns, lock, delete, copy] =
            [statements::columns, statements::lock, statements::delete, statements::copy]
                .map(|sql| sql(&self.name));
        self.connection.run_patiently(|session| {
            let types: Vec<Type> =
                session.prepared(&columns)?.columns().iter().map(|column| column.type_().clone()).collect();
            let delete = session.prepared(&delete)?;
            session.transaction(|transaction| {
                transaction.batch_execute(&lock)?;
                transaction.execute(&delete, &[&ids])?;
                let mut writer = BinaryCopyInWriter::new(transaction.copy_in(&copy)?, &types);
                for row in rows {
                    let content = row.content.as_bytes().as_slice();
                    writer.write(&[&row.id, &row.title, &row.text, &row.metadata, &content, &row.vector])?;
                }
                writer.finish()
            })
        })?;
        Ok(())
    }

    /// The name under which the embedder of its vectors was loaded.
    pub fn embedder(&self) -> &str {
        &self.description.embedder
    }

    /// The [`id`](ragbias_core::Embedder::id) of that embedder.
    pub fn embedder_id(&self) -> ContentId {
        self.description.id
    }

    /// Dimensions of its vectors.
    pub fn dim(&self) -> usize {
        self.description.dim
    }

    /// How its vectors are stored.
    pub fn vector_type(&self) -> VectorType {
        self.description.vector_type
    }

    pub(crate) fn description(&self) -> &Description {
        &self.description
    }

    pub(crate) fn name(&self) -> &TableName {
        &self.name
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn place(&self) -> &Place {
        self.connection.place()
    }

    /// The rows of a query without parameters, which may take long.
    pub(crate) fn texts(&self, sql: &str) -> Result<Vec<String>> {
        let rows = self.connection.run(|session| session.query(sql, &[]))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("place", self.place())
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

/// A connection to a database with pgvector.
fn connected(address: &Address, name: &str) -> Result<(Connection, TableName)> {
    let name: TableName = name.parse()?;
    let connection = Connection::new(address, Place::table(address, &name), Purpose::Tending);
    let rows = connection.run(|session| session.query(statements::EXTENSION, &[]))?;
    let version: Option<String> = rows.first().and_then(|row| row.get(0));
    let is_available = rows.first().is_some_and(|row| row.get(1));
    let (received, hint) = match version.as_deref() {
        Some(version) if is_enough(version) => return Ok((connection, name)),
        Some(version) => {
            (version.to_owned(), "`ALTER EXTENSION vector UPDATE` takes the version that the server has")
        }
        None if is_available => {
            ("a database without it".to_owned(), "its owner runs `CREATE EXTENSION vector`")
        }
        None => (
            "a server without it".to_owned(),
            "install pgvector on the server, such as Debian's postgresql-17-pgvector, then run `CREATE EXTENSION vector`",
        ),
    };
    Err(Error::Extension { place: Place::database(address).to_string(), received, hint })
}

fn is_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= PGVECTOR
}

/// What a table's comment says, if there is such a table.
fn inspect(connection: &Connection, name: &TableName) -> Result<Option<Description>> {
    let name = name.quoted();
    let rows = connection.run(|session| session.query(statements::INSPECT, &[&name]))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (kind, comment, stored): (String, Option<String>, Option<String>) =
        (row.get(0), row.get(1), row.get(2));
    let foreign = |received: String| Error::Foreign { place: connection.place().to_string(), received };
    if !matches!(kind.as_str(), "r" | "p") {
        return Err(foreign("a view, an index or another relation".into()));
    }
    let Some(comment) = comment else { return Err(foreign("a table without a comment".into())) };
    let description = Description::read(&comment)
        .ok_or_else(|| foreign("a table with a comment of another kind, or of another version".into()))?;
    // The type may be written with its schema.
    let stored = stored.unwrap_or_else(|| "no column `embedding`".into());
    if stored.rsplit('.').next() != Some(&description.column_type()) {
        return Err(foreign(format!("{stored}, where the comment says {}", description.column_type())));
    }
    Ok(Some(description))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for enough in ["0.8.0", "0.10", "1.0.0"] {
            assert!(is_enough(enough), "{enough}");
        }
        for old in ["0.7.4", "0.1.8", ""] {
            assert!(!is_enough(old), "{old}");
        }
    }
}
