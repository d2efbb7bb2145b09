use std::fmt;

/// Where something went wrong: a database, or a table in it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    address: String,
    table: Option<String>,
}

impl Place {
    /// The database at an address.
    pub(crate) fn database(address: &impl fmt::Display) -> Self {
        Self { address: address.to_string(), table: None }
    }

    /// A table in it.
    pub(crate) fn table(address: &impl fmt::Display, table: &impl fmt::Display) -> Self {
        Self { table: Some(table.to_string()), ..Self::database(address) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.table {
            Some(table) => write!(f, "{}, table `{table}`", self.address),
            None => f.write_str(&self.address),
        }
    }
}
