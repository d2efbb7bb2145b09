use std::path::Path;

use ragbias_core::ContentId;
use serde::{Deserialize, Serialize};

use super::since::Since;
use super::watch::Watch;
use crate::{Error, Result};

/// The version of the format.
const VERSION: u32 = 1;

/// What changes the sequences, apart from the logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Basis {
    pub(super) axis: String,
    pub(super) scorer: ContentId,
    pub(super) questions: Option<ContentId>,
    pub(super) since: Option<Since>,
    pub(super) restart: usize,
}

/// What one monitor leaves for the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    version: u32,
    basis: Basis,
    pub(super) log: Watch,
    pub(super) closed_book: Option<Watch>,
}

impl State {
    /// That of nothing read.
    pub(super) fn new(basis: Basis) -> Self {
        let log = Watch::new(basis.since.as_ref(), basis.restart);
        Self { version: VERSION, basis, log, closed_book: None }
    }

    /// The state that a monitor left; a new one if there is none.
    ///
    /// # Errors
    /// A file that is no state, or one of other settings.
    pub(super) fn open(path: &Path, basis: Basis) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::new(basis));
        }
        let text = fs_err::read_to_string(path)?;
        let refused = |reason: String| Error::Answers { place: path.display().to_string(), reason };
        let state: Self = serde_json::from_str(&text)
            .map_err(|error| refused(format!("expected a state of `ragbias monitor`: {error}")))?;
        if state.version != VERSION {
            return Err(refused(format!(
                "expected version {VERSION} of a state, received {}",
                state.version
            )));
        }
        let (made, asked) = (shown(&state.basis)?, shown(&basis)?);
        if let Some((name, received)) = asked.iter().find(|(name, value)| made.get(*name) != Some(value)) {
            let expected = &made[name.as_str()];
            return Err(refused(format!(
                "{name}: expected {expected}, as the state has it, received {received}\nhint: with another `state FILE`, or a new one, the log is \
                 read again from its beginning"
            )));
        }
        Ok(state)
    }

    /// Writes it, whole.
    ///
    /// # Errors
    /// Failures of the file system.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_string(self).map_err(std::io::Error::other)?;
        Ok(ragbias_data::write_file(path, json + "\n")?)
    }
}

fn shown(basis: &Basis) -> Result<serde_json::Map<String, serde_json::Value>> {
    match serde_json::to_value(basis).map_err(std::io::Error::other)? {
        serde_json::Value::Object(fields) => Ok(fields),
        _ => Ok(serde_json::Map::new()),
    }
}
