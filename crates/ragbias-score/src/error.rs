use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong when a scorer is made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written; the error names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A scorer that does not exist, or not for this axis.
    #[error("axis `{axis}` has no scorer `{scorer}`\nhint: it has {}", known.join(", "))]
    Unknown {
        /// The axis.
        axis: String,
        /// The scorer asked for.
        scorer: String,
        /// The scorers of the axis.
        known: Vec<String>,
    },
    /// A pole without a word to look for.
    #[error(
        "the pole `{pole}` of the axis `{axis}` has no words, or an entry without a letter\nhint: `words = [\"…\"]` of both poles, in \
         the axis's file, is what this scorer looks for"
    )]
    NoWords {
        /// The axis.
        axis: String,
        /// The pole.
        pole: String,
    },
    /// A word of both poles.
    #[error("both poles of the axis `{axis}` have the word `{word}`")]
    SharedWord {
        /// The axis.
        axis: String,
        /// The word.
        word: String,
    },
    /// An axis whose file has no questions for a judge.
    #[error(
        "the axis `{axis}` has no `[judge]`\nhint: its file, or a file of its own, gives the yes/no questions that the scorer `judge` \
         asks (docs/scorers.md)"
    )]
    NoJudging {
        /// The axis.
        axis: String,
    },
    /// Questions for a judge that cannot be asked.
    #[error("the axis `{axis}`: {fault}")]
    Judging {
        /// The axis.
        axis: String,
        /// Why not.
        fault: &'static str,
    },
    /// A lexicon file is malformed.
    #[error("the lexicon of `{axis}`")]
    Lexicon {
        /// The axis.
        axis: String,
        /// Line and reason.
        source: toml::de::Error,
    },
    /// A classifier file is malformed.
    #[error("{}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line and reason.
        source: serde_json::Error,
    },
    /// A classifier was given another embedder than the one it was trained with.
    #[error(
        "this classifier reads vectors of embedder {expected}, received embedder {received}\nhint: a scorer keeps its \
         own frozen embedder; train a classifier for another one"
    )]
    Embedder {
        /// The embedder it was trained with.
        expected: String,
        /// The embedder received.
        received: String,
    },
    /// Training texts of only one pole.
    #[error(
        "a classifier needs texts of both poles; received {negative} negative and {positive} positive ones"
    )]
    OnePole {
        /// Texts of lean −1.
        negative: usize,
        /// Texts of lean +1.
        positive: usize,
    },
    /// The optimiser failed.
    #[error("the logistic regression failed")]
    Fit(#[from] linfa_logistic::error::Error),
    /// A value of the vocabulary was refused, or the embedder failed.
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
