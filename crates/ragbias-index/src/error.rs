use ragbias_core::limits::OutOfLimits;
use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error in building, saving, loading or searching an index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written; the error names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Vectors that do not have unit length.
    #[error("the vectors do not have unit length; an index of cosines needs `Embeddings::normalised`")]
    NotNormalised,
    /// There are no vectors.
    #[error("there are no vectors to index")]
    Empty,
    /// Questions whose dimension differs from the index's.
    #[error("questions of {received} dimensions for an index of {expected}")]
    Dimension {
        /// Dimensions of the index.
        expected: usize,
        /// Dimensions of the questions.
        received: usize,
    },
    /// A setting outside its range.
    #[error("{setting} is {received}, expected {expected}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// Its range.
        expected: &'static str,
        /// The value.
        received: String,
    },
    /// A saved index that is damaged or of another version.
    #[error("{}: {reason}\nhint: delete it and build the index again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A value of the vocabulary was refused.
    #[error(transparent)]
    Core(#[from] ragbias_core::Error),
}

impl From<Error> for ragbias_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Core(error) => error,
            other => Self::component(other),
        }
    }
}

impl From<OutOfLimits> for Error {
    fn from(OutOfLimits { setting, expected, received }: OutOfLimits) -> Self {
        Self::Setting { setting, expected, received }
    }
}
