//! The checksums of the first pull of a data set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ragbias_files::write_file;
use serde::{Deserialize, Serialize};

use super::set::PublishedSet;
use crate::{Error, Result};

/// The checksums of the files that the first pull of a data set received, stored beside its folder.
///
/// Where the registry has no checksum, later pulls must agree with these. It outlasts the folder, and is replaced only if the
/// registry names another address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    address: String,
    /// Size and SHA-256 by path; an archive's by its address.
    files: BTreeMap<String, Sum>,
}

/// Size and SHA-256 of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sum {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Record {
    /// An empty record for this set.
    pub(super) fn new(set: &PublishedSet) -> Self {
        Self { address: set.address(), files: BTreeMap::new() }
    }

    /// The name of the file that records a set.
    pub(super) fn name(set: &str) -> String {
        format!(".{set}.received.json")
    }

    fn path(root: &Path, set: &PublishedSet) -> PathBuf {
        root.join(Self::name(&set.name))
    }

    /// The record of a set, if it was pulled from the address that the registry has.
    ///
    /// # Errors
    /// [`Error::Record`] for one that cannot be read: it is not taken for none, as anything would be trusted then.
    pub(super) fn read(root: &Path, set: &PublishedSet) -> Result<Option<Self>> {
        let path = Self::path(root, set);
        let bytes = match fs_err::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let record: Self = serde_json::from_slice(&bytes).map_err(|error| Error::Record {
            path,
            reason: format!(
                "expected the checksums of the first pull, received what is no such record: {error}"
            ),
        })?;
        Ok(Some(record).filter(|record| record.address == set.address()))
    }

    pub(super) fn write(&self, root: &Path, set: &PublishedSet) -> Result<()> {
        let json = serde_json::to_vec_pretty(self).expect("texts and numbers alone; this is a bug");
        Ok(write_file(&Self::path(root, set), json)?)
    }

    pub(super) fn get(&self, file: &str) -> Option<&Sum> {
        self.files.get(file)
    }

    pub(super) fn add(&mut self, file: &str, sum: Sum) {
        self.files.insert(file.into(), sum);
    }
}
