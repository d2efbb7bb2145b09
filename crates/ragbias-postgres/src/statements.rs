//! The statements, by what they do.

use crate::Search;
use crate::description::Description;
use crate::name::{TableName, literal};

/// The version of pgvector in this database, if it is in it; and whether the server has it.
pub(crate) const EXTENSION: &str = "SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector'), \
     EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')";

/// What a name is: its kind, its comment, and the type of its column of vectors.
pub(crate) const INSPECT: &str = "SELECT c.relkind::text, obj_description(c.oid, 'pg_class'), format_type(a.atttypid, a.atttypmod) \
     FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'embedding' AND NOT a.attisdropped \
     WHERE c.oid = to_regclass($1)";

/// The names of a table's valid, whole HNSW indexes with an operator class.
pub(crate) const INDEXES: &str = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
     JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am m ON m.oid = c.relam \
     JOIN pg_opclass o ON o.oid = i.indclass[0] WHERE i.indrelid = to_regclass($1) AND m.amname = 'hnsw' AND o.opcname = $2 \
     AND i.indisvalid AND i.indpred IS NULL";

/// How many rows an index being built by a process has.
pub(crate) const BUILT: &str = "SELECT tuples_done FROM pg_stat_progress_create_index WHERE pid = $1";

/// Creates a table with its comment.
pub(crate) fn create(table: &TableName, description: &Description, partitions: usize) -> String {
    let name = table.quoted();
    let spread = if partitions > 0 { " PARTITION BY HASH (id)" } else { "" };
    let mut statements = vec![format!(
        "CREATE TABLE {name} (id text COLLATE \"C\" PRIMARY KEY, title text, text text NOT NULL, metadata jsonb NOT NULL, \
         content bytea NOT NULL, embedding {} NOT NULL){spread}",
        description.column_type()
    )];
    if description.is_kept_in_row() {
        statements.push(format!("ALTER TABLE {name} ALTER COLUMN embedding SET STORAGE PLAIN"));
    }
    statements.extend((0..partitions).map(|part| {
        let table = table.beside(&format!("_p{part}"));
        format!("CREATE TABLE {table} PARTITION OF {name} FOR VALUES WITH (MODULUS {partitions}, REMAINDER {part})")
    }));
    statements.push(format!("COMMENT ON TABLE {name} IS {}", literal(&description.written())));
    statements.join(";")
}

/// Creates an HNSW index, with the parameters of this library's own.
pub(crate) fn create_index(table: &TableName, description: &Description) -> String {
    format!(
        "CREATE INDEX {} ON {} USING hnsw (embedding {}) WITH (m = 24, ef_construction = 128)",
        table.unqualified("_hnsw"),
        table.quoted(),
        description.operator_class()
    )
}

/// The hash of the content of some ids: `$1`.
pub(crate) fn contents(table: &TableName) -> String {
    format!("SELECT id, content FROM {} WHERE id = ANY ($1)", table.quoted())
}

/// Keeps other writers out until the transaction ends; readers go on.
pub(crate) fn lock(table: &TableName) -> String {
    format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", table.quoted())
}

/// Deletes ids: `$1`.
pub(crate) fn delete(table: &TableName) -> String {
    format!("DELETE FROM {} WHERE id = ANY ($1)", table.quoted())
}

/// Takes rows in PostgreSQL's binary format.
pub(crate) fn copy(table: &TableName) -> String {
    format!("COPY {} (id, title, text, metadata, content, embedding) FROM STDIN BINARY", table.quoted())
}

/// No rows, with the types of the columns that [`copy`] takes.
pub(crate) fn columns(table: &TableName) -> String {
    format!("SELECT id, title, text, metadata, content, embedding FROM {} LIMIT 0", table.quoted())
}

/// Number of rows.
pub(crate) fn count(table: &TableName) -> String {
    format!("SELECT count(*) FROM {}", table.quoted())
}

/// The next ids after one, in order: after `$1`, up to `$2` of them.
pub(crate) fn ids(table: &TableName) -> String {
    format!("SELECT id FROM {} WHERE id > $1 ORDER BY id LIMIT $2", table.quoted())
}

/// The fields of the documents' metadata.
pub(crate) fn fields(table: &TableName) -> String {
    format!("SELECT DISTINCT jsonb_object_keys(metadata) FROM {}", table.quoted())
}

/// The `$2` nearest rows to a vector, `$1`, with their distances, equal ones in the order of ids.
///
/// For every field of a filter there are two more parameters: its name, and the wanted values as JSON texts. The added 0 makes an
/// expression of the distance that no index has, so that every vector is compared.
pub(crate) fn nearest(
    table: &TableName,
    description: &Description,
    search: Search,
    fields: usize,
    columns: &str,
) -> String {
    let distance = format!("embedding {} $1", description.operator());
    let (selected, order) = match search {
        Search::Exact => (format!("({distance}) + 0 AS distance"), "distance, id"),
        Search::Hnsw => (format!("{distance} AS distance"), distance.as_str()),
    };
    let conditions: Vec<String> = (0..fields).map(|field| accepts(2 * field + 3)).collect();
    let condition =
        if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    format!(
        "SELECT {columns}, distance FROM (SELECT id, title, text, metadata, {selected} FROM {} {condition} \
         ORDER BY {order} LIMIT $2) AS nearest ORDER BY distance, id",
        table.quoted()
    )
}

/// Whether a row has one of the wanted values in a field, as [`Filter::accepts`](ragbias_core::Filter::accepts) has it.
fn accepts(first: usize) -> String {
    let (value, wanted) =
        (format!("(metadata -> ${first}::text)"), format!("ANY (${}::text[]::jsonb[])", first + 1));
    format!(
        "CASE jsonb_typeof({value}) WHEN 'array' THEN EXISTS (SELECT FROM jsonb_array_elements({value}) AS element \
         WHERE element = {wanted}) ELSE coalesce({value}, 'null') = {wanted} END"
    )
}
