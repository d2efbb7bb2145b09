use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error in a data file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written; the error names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A malformed line.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A malformed row of a Parquet file.
    #[error("{}: row {row}: {reason}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Row, from 1.
        row: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that is malformed as a whole.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Labels for another axis than the requested one.
    #[error(
        "{}: its labels are {labels}, and the axis `{axis}` is from {poles}\nhint: take the axis that the labels are \
         of, or a copy without labels", path.display()
    )]
    OtherAxis {
        /// The file.
        path: PathBuf,
        /// Description of the labels.
        labels: String,
        /// The requested axis.
        axis: String,
        /// Its poles.
        poles: String,
    },
    /// A table whose columns match no known layout.
    #[error(
        "{}: expected {expected}; its columns are {}", path.display(), received.join(", ")
    )]
    Columns {
        /// The file.
        path: PathBuf,
        /// The expected columns.
        expected: String,
        /// The columns present.
        received: Vec<String>,
    },
    /// A file with an unknown extension.
    #[error("{}: expected a file that ends in {expected}", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
        /// The known extensions.
        expected: &'static str,
    },
    /// A table could not be written.
    #[error("{}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: polars::error::PolarsError,
    },
    /// A TOML file is malformed.
    #[error("{}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Line and reason.
        source: Box<toml::de::Error>,
    },
    /// A name that is neither bundled nor a file.
    #[error(
        "`{name}` is neither a bundled {what} nor a file\nhint: bundled are {}; `ragbias data list` describes them",
        known.join(", ")
    )]
    Unknown {
        /// `corpus`, `question set`, `axis`.
        what: &'static str,
        /// The name.
        name: String,
        /// The bundled names.
        known: Vec<String>,
    },
    /// A split that the data set does not have.
    #[error("there is no split `{0}`\nhint: splits are train, validation, test and all")]
    Split(String),
    /// A value of the vocabulary was refused.
    #[error(transparent)]
    Core(#[from] ragbias_core::Error),
}
