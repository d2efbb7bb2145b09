use postgres::Row;
use postgres::types::ToSql;
use ragbias_core::{Embeddings, Filter};

use crate::connection::{Connection, Purpose};
use crate::ingestion::check_vectors;
use crate::wire::Vector;
use crate::{Result, Search, Table, statements};

/// Searches a table.
pub(crate) struct Nearest {
    connection: Connection,
    table: Table,
    search: Search,
    columns: &'static str,
}

/// A filter as parameters: for every field its name, and the wanted values as JSON texts.
type Wanted<'a> = Vec<(&'a str, Vec<String>)>;

impl Nearest {
    /// Searches for these columns.
    pub(crate) fn new(table: Table, search: Search, columns: &'static str) -> Self {
        let connection = Connection::new(table.address(), table.place().clone(), Purpose::Searching);
        Self { connection, table, search, columns }
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn search(&self) -> Search {
        self.search
    }

    /// The rows nearest to each question, best first, each with its score in the last column, negated.
    pub(crate) fn rows(&self, questions: &Embeddings, k: usize, filter: &Filter) -> Result<Vec<Vec<Row>>> {
        if questions.is_empty() || k == 0 {
            return Ok((0..questions.len()).map(|_| Vec::new()).collect());
        }
        check_vectors(&self.table, questions)?;
        let wanted: Wanted<'_> = filter
            .fields()
            .map(|(field, values)| (field, values.iter().map(ToString::to_string).collect()))
            .collect();
        questions
            .as_slice()
            .chunks_exact(questions.dim())
            .map(|question| self.of_one(question, k, &wanted))
            .collect()
    }

    /// An index may find fewer rows than there are, as when few pass a filter: then every row is compared.
    fn of_one(&self, question: &[f32], k: usize, wanted: &Wanted<'_>) -> Result<Vec<Row>> {
        let rows = self.by(self.search, question, k, wanted)?;
        if self.search == Search::Exact || rows.len() == k {
            return Ok(rows);
        }
        self.by(Search::Exact, question, k, wanted)
    }

    fn by(&self, search: Search, question: &[f32], k: usize, wanted: &Wanted<'_>) -> Result<Vec<Row>> {
        let (name, description) = (self.table.name(), self.table.description());
        let sql = statements::nearest(name, description, search, wanted.len(), self.columns);
        let (question, limit) = (Vector(question), i64::try_from(k).unwrap_or(i64::MAX));
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&question, &limit];
        for (field, texts) in wanted {
            values.extend([field as &(dyn ToSql + Sync), texts]);
        }
        self.connection.run(|session| session.query(&sql, &values))
    }
}
