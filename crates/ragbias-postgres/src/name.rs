use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// Longest name: PostgreSQL's 63 bytes less those that are appended for indexes and partitions.
const LONGEST: usize = 48;

/// The name of a table, `NAME` or `SCHEMA.NAME`: lower-case letters, digits and `_`, so that it means the same with and without quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableName {
    schema: Option<String>,
    name: String,
}

impl TableName {
    /// In SQL.
    pub(crate) fn quoted(&self) -> String {
        self.beside("")
    }

    /// In SQL, the name of something that belongs to the table and is in its schema.
    pub(crate) fn beside(&self, suffix: &str) -> String {
        match &self.schema {
            Some(schema) => format!("\"{schema}\".\"{}{suffix}\"", self.name),
            None => format!("\"{}{suffix}\"", self.name),
        }
    }

    /// In SQL, the same without the schema, for statements that take it from the table.
    pub(crate) fn unqualified(&self, suffix: &str) -> String {
        format!("\"{}{suffix}\"", self.name)
    }

    /// The same name with more letters.
    pub(crate) fn with(&self, suffix: &str) -> Result<Self> {
        format!("{self}{suffix}").parse()
    }
}

impl FromStr for TableName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, text),
        };
        let is_name = |part: &str| {
            part.len() <= LONGEST
                && part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        if !is_name(name) || !schema.is_none_or(is_name) {
            return Err(Error::TableName { received: text.to_owned(), longest: LONGEST });
        }
        Ok(Self { schema: schema.map(str::to_owned), name: name.to_owned() })
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A text as a literal of SQL, for statements that take no parameters.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_needs_no_quotes() {
        let name: TableName = "rag.docs_2".parse().unwrap();
        assert_eq!(
            (name.quoted(), name.beside("_hnsw")),
            ("\"rag\".\"docs_2\"".into(), "\"rag\".\"docs_2_hnsw\"".into())
        );
        assert_eq!(name.to_string(), "rag.docs_2");
        let long = "a".repeat(LONGEST + 1);
        for wrong in
            ["", "Docs", "docs; drop table x", "a.b.c", "2docs", "dócs", "a\"b", ".docs", "docs.", &long]
        {
            let error = wrong.parse::<TableName>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
        }
    }

    #[test]
    fn a_literal_ends_where_it_should() {
        assert_eq!(literal("it's"), "'it''s'");
    }
}
