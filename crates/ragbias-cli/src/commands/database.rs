use anyhow::{Context, Result};
use ragbias::core::Progress;
use ragbias_postgres::Address;

use crate::args;

/// The variable that holds the address; a flag would show its password to everyone who lists processes.
const ADDRESS: &str = "RAGBIAS_POSTGRES";

/// The address of the database, from the command line or the environment.
pub(super) fn address(command: &args::Database, progress: &dyn Progress) -> Result<Address> {
    if let Some(given) = &command.postgres {
        let address: Address = given.parse()?;
        if address.has_password() {
            progress.note(&format!(
                "the password of --postgres is shown to everyone who lists processes\nhint: {ADDRESS} holds the address instead"
            ));
        }
        return Ok(address);
    }
    let given = std::env::var(ADDRESS).ok().filter(|given| !given.trim().is_empty());
    let given = given.with_context(|| {
        format!("--table is of a database, expected its address\nhint: `postgres URL`, or {ADDRESS}, has it")
    })?;
    Ok(given.parse()?)
}
