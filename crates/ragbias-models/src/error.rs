use std::path::{Path, PathBuf};

use crate::FileCheck;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a model's name and its files.
///
/// A message includes its reason if that is a field, and leaves it to `source` otherwise, so that no error printed with its
/// chain repeats itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or a folder could not be read or written; the error names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A folder of the hub's cache that does not say which checkpoint is meant.
    #[error("{}: {what} is `{received}`, expected {expected}", path.display())]
    Cache {
        /// The file or folder that says so.
        path: PathBuf,
        /// Which part of it.
        what: &'static str,
        /// What would be understood.
        expected: &'static str,
        /// What is there.
        received: String,
    },
    /// A name that is neither in the registry nor a file.
    #[error(
        "`{name}` is neither a known model nor a file or folder\nhint: known models are {}; \
         `ragbias models list` describes them", known.join(", ")
    )]
    UnknownModel {
        /// The name.
        name: String,
        /// The names of the registry.
        known: Vec<String>,
    },
    /// A known model of the wrong kind.
    #[error("`{name}` is an {received}, expected an {expected}")]
    WrongKind {
        /// The name.
        name: String,
        /// The requested kind.
        expected: &'static str,
        /// Its kind.
        received: &'static str,
    },
    /// A model file that differs from the registry's.
    #[error(
        "{}: the file of the model `{name}` is damaged: expected the SHA-256 {}, received {}\n\
         hint: `ragbias models pull {name}` fetches it again",
        path.display(), check.expected, check.received.as_deref().unwrap_or("no such file")
    )]
    DamagedModel {
        /// The model.
        name: String,
        /// The file.
        path: PathBuf,
        /// Its checksum, and the registry's.
        check: Box<FileCheck>,
    },
    /// A malformed registry file.
    #[error("the registry of models is malformed")]
    Registry(#[from] toml::de::Error),
    /// A malformed registry of published data sets.
    #[error("the registry of published data sets is malformed")]
    Sets(#[source] toml::de::Error),
    /// A name that no published data set has.
    #[error(
        "`{name}` is no published data set\nhint: they are {}; `ragbias data list` describes them", known.join(", ")
    )]
    UnknownSet {
        /// The name.
        name: String,
        /// The names of the registry.
        known: Vec<String>,
    },
    /// A file of a data set that differs from the one that was pulled.
    #[error(
        "{}: the file of the data set `{name}` is damaged: expected the SHA-256 {}, received {}\n\
         hint: `ragbias data pull {name}` fetches it again",
        path.display(), check.expected, check.received.as_deref().unwrap_or("no such file")
    )]
    DamagedSet {
        /// The data set.
        name: String,
        /// The file.
        path: PathBuf,
        /// Its checksum, and the expected one.
        check: Box<FileCheck>,
    },
    /// The record of the checksums of a data set's first pull cannot be read, or contradicts the registry.
    #[error("{}: {reason}\nhint: if you remove it, the next pull trusts what it receives", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A mirror that is no address.
    #[error("RAGBIAS_DATA_MIRROR is `{received}`, expected an address that begins with http:// or https://")]
    Mirror {
        /// What is set.
        received: String,
    },
    /// A data set could not be downloaded.
    #[error(
        "data set `{name}` could not be had from {address}: {reason}\nhint: through another host: RAGBIAS_DATA_MIRROR names an \
         address below which the original host and path are found; on a machine without network, copy {} from another one",
        folder.display()
    )]
    SetUnavailable {
        /// The data set.
        name: String,
        /// Where it was looked for.
        address: String,
        /// Why it failed.
        reason: String,
        /// The folder that the data set would have.
        folder: PathBuf,
    },
    /// No source has the model.
    #[error(
        "model `{name}` could not be had:{}\nhint: on a machine without network, copy the model's folder from \
         another one, and give its path, or its parent's with `model-dir` (or RAGBIAS_MODEL_DIR)",
        indented(failures)
    )]
    Unavailable {
        /// The model.
        name: String,
        /// The sources that were tried, each with its failure.
        failures: Vec<(String, String)>,
    },
}

/// Maximum number of characters of a file's value shown in a message.
const MOST_SHOWN: usize = 200;

impl Error {
    /// [`Error::Cache`].
    pub(crate) fn cache(path: &Path, what: &'static str, expected: &'static str, received: &str) -> Self {
        // A value in a file may be of any length.
        let received = match received.char_indices().nth(MOST_SHOWN) {
            Some((end, _)) => format!("{}…", &received[..end]),
            None => received.to_owned(),
        };
        Self::Cache { path: path.into(), what, expected, received }
    }
}

impl From<Error> for ragbias_core::Error {
    fn from(error: Error) -> Self {
        Self::component(error)
    }
}

fn indented(failures: &[(String, String)]) -> String {
    failures.iter().fold(String::new(), |text, (source, reason)| text + "\n  " + source + ": " + reason)
}
