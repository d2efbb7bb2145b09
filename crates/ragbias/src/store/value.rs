//! A value with its checksum: writing, reading and checking.

use ragbias_core::{ContentHasher, ContentId};
use rusqlite::types::Value;
use rusqlite::{Connection, Error, OptionalExtension, params_from_iter};

/// A kind of value. Its table has the columns `key`, `checksum`, and the fields of the value.
pub(super) trait Kept: Sized {
    /// The name of the table.
    const TABLE: &'static str;

    /// A value, field by field.
    fn fields(&self) -> Vec<Value>;

    /// The value with these fields; none if they are invalid.
    fn of(fields: Vec<Value>) -> Option<Self>;
}

/// The result of a look-up.
pub(super) enum Found<T> {
    Nothing,
    /// The checksum is wrong, or the value is invalid.
    Damaged,
    Value(T),
}

/// Bytes of a key in a table: the probability that any two of 2^50 keys share them is 2^-28. The checksum covers the whole key.
const KEY: usize = 16;

pub(super) fn get<T: Kept>(connection: &Connection, key: ContentId) -> Result<Found<T>, Error> {
    let sql = format!("SELECT * FROM {} WHERE key = ?", T::TABLE);
    let mut statement = connection.prepare_cached(&sql)?;
    let columns = statement.column_count();
    let row = statement.query_row([&key.as_bytes()[..KEY]], |row| {
        let fields = (2..columns).map(|column| row.get(column)).collect::<Result<Vec<Value>, _>>()?;
        Ok((row.get::<_, i64>(1)?, fields))
    });
    Ok(match row.optional() {
        Ok(None) => Found::Nothing,
        Ok(Some((kept, fields))) if kept == checksum(T::TABLE, key.as_bytes(), &fields) => {
            T::of(fields).map_or(Found::Damaged, Found::Value)
        }
        Ok(Some(_)) => Found::Damaged,
        Err(error) if is_damage(&error) => Found::Damaged,
        Err(error) => return Err(error),
    })
}

/// Stores a value, replacing any other.
pub(super) fn put<T: Kept>(connection: &Connection, key: ContentId, value: &T) -> Result<(), Error> {
    let fields = value.fields();
    let places = vec!["?"; fields.len()].join(", ");
    let sql = format!("INSERT OR REPLACE INTO {} VALUES (?, ?, {places})", T::TABLE);
    let checksum = Value::Integer(checksum(T::TABLE, key.as_bytes(), &fields));
    let row = [Value::Blob(key.as_bytes()[..KEY].to_vec()), checksum];
    connection.prepare_cached(&sql)?.execute(params_from_iter(row.into_iter().chain(fields)))?;
    Ok(())
}

/// 64 bits of blake3 over table, key and fields, each with its type.
pub(super) fn checksum(table: &str, key: &[u8], fields: &[Value]) -> i64 {
    let hasher = ContentHasher::new("stored/1").field(table).field(key);
    let hash = fields
        .iter()
        .fold(hasher, |hasher, field| match field {
            Value::Null => hasher.field("null"),
            Value::Integer(value) => hasher.field("integer").field(value.to_le_bytes()),
            Value::Real(value) => hasher.field("real").field(value.to_le_bytes()),
            Value::Text(text) => hasher.field("text").field(text),
            Value::Blob(bytes) => hasher.field("blob").field(bytes),
        })
        .finish();
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    i64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Whether a row has values of unexpected types, such as text that is not UTF-8.
pub(super) fn is_damage(error: &Error) -> bool {
    matches!(
        error,
        Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::Utf8Error(..)
    )
}
