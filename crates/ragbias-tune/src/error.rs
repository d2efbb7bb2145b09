use ragbias_core::limits::OutOfLimits;
use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of mining or training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written; the error names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// An operation on tensors failed.
    #[error("training failed")]
    Candle(#[from] candle_core::Error),
    /// The encoder failed.
    #[error(transparent)]
    Embed(#[from] ragbias_embed::Error),
    /// A component failed, or a value of the vocabulary was refused.
    #[error(transparent)]
    Core(#[from] ragbias_core::Error),
    /// A setting outside its range.
    #[error("{setting} is {received}, expected {expected}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// Its range.
        expected: String,
        /// The value.
        received: String,
    },
    /// A base with a module that a member could not have, or that training does not support.
    #[error(
        "{}: the base has {what}, expected {expected}\nhint: such an embedder can be measured, not tuned",
        folder.display()
    )]
    Base {
        /// The base.
        folder: PathBuf,
        /// Its unsupported property.
        what: String,
        /// The supported values.
        expected: &'static str,
    },
    /// No question has training examples.
    #[error(
        "none of the {questions} questions has both a document that leans to `{towards}` and one that does not among \
         its mined documents\nhint: are the poles the right way round, and does the corpus hold documents of both?"
    )]
    NoExamples {
        /// Questions that were mined.
        questions: usize,
        /// The requested pole.
        towards: String,
    },
    /// A state file of another training.
    #[error(
        "{}: {reason}\nhint: delete the file to train this member from its beginning", path.display()
    )]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
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
        Self::Setting { setting, expected: expected.into(), received }
    }
}
