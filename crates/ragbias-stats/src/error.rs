/// The result of fitting a line.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value outside the range of a bias.
    #[error("{place}: expected a number in [-1, 1], received {received}")]
    Range {
        /// `L_b`, or `E_b` or `R_b` of an embedder.
        place: String,
        /// The value.
        received: f64,
    },
    /// Lists that should have an entry per embedder.
    #[error("expected an R_b for each of {expected} embedders, received {received}")]
    Lengths {
        /// Embedders.
        expected: usize,
        /// Values of R_b.
        received: usize,
    },
    /// Too little data for a line or its interval.
    #[error("{what}: expected at least {expected}, received {received}")]
    TooFew {
        /// What there is too little of.
        what: &'static str,
        /// The minimum.
        expected: usize,
        /// The number received.
        received: usize,
    },
    /// All embedders have the same E_b.
    #[error(
        "all {embedders} embedders have the same E_b, {value}: there is no line\nhint: `ragbias tune` makes embedders that differ"
    )]
    SameBias {
        /// How many.
        embedders: usize,
        /// Their E_b.
        value: f64,
    },
    /// Pairs of a corpus and an embedder that determine no surface.
    #[error(
        "{pairs} pairs of a corpus and an embedder determine no surface: it takes corpora of different C_b, and embedders of different \
         E_b in them"
    )]
    NoSurface {
        /// How many.
        pairs: usize,
    },
    /// Ranks whose leans determine one another, so that their sensitivities cannot be told apart.
    #[error(
        "the leans at {ranks} ranks determine one another, or are always the same: how strongly answers follow each rank cannot be told\n\
         hint: embedders that differ more (`ragbias tune`), or another `--top-k`"
    )]
    UndeterminedRanks {
        /// How many.
        ranks: usize,
    },
    /// An answer given another number of documents.
    #[error("question `{question}`: expected {expected} documents as for the first, received {received}")]
    Documents {
        /// The question.
        question: String,
        /// Documents of the first answer.
        expected: usize,
        /// Documents of this one.
        received: usize,
    },
    /// Embedders that were asked different questions.
    #[error(
        "topic `{topic}`: expected {expected} questions for each embedder, received {received} for `{embedder}`"
    )]
    Questions {
        /// The topic.
        topic: String,
        /// The embedder.
        embedder: String,
        /// Questions of the first embedder.
        expected: usize,
        /// Questions of this one.
        received: usize,
    },
    /// An embedder without a scored document, answer, or answer without context.
    #[error("embedder `{embedder}`: none of its {what} is scored")]
    NothingScored {
        /// The embedder.
        embedder: String,
        /// `documents`, `answers` or `answers without context`.
        what: &'static str,
    },
    /// Most draws have no line.
    #[error(
        "only {received} of {draws} draws of topics and embedders have a line; too few questions are scored, or too few embedders differ"
    )]
    NoLine {
        /// Draws.
        draws: usize,
        /// Those with a line.
        received: usize,
    },
    /// A scorer whose errors cannot be inverted.
    #[error(
        "the scorer's verdicts do not follow the labels of its calibration, or on too few texts to tell: its errors cannot be \
         corrected\nhint: a better scorer, or more labelled texts"
    )]
    Uninformative,
    /// Vectors from which no eraser can be fitted.
    #[error("erasure: {received}, expected {expected}")]
    Erasure {
        /// What is needed.
        expected: &'static str,
        /// What there is.
        received: String,
    },
    /// A probe that cannot be fitted.
    #[error("probe: {received}, expected {expected}")]
    Probe {
        /// What is needed.
        expected: &'static str,
        /// What there is.
        received: String,
    },
    /// A predictor that cannot be fitted.
    #[error("predictor: {received}, expected {expected}")]
    Predictor {
        /// What is needed.
        expected: &'static str,
        /// What there is.
        received: String,
    },
    /// The eigenvalues of a covariance were not found.
    #[error("the eigenvalues of the covariance were not found")]
    Eigenvalues(#[from] linfa_linalg::LinalgError),
    /// A setting outside its range.
    #[error("{setting} is {received}, expected {expected}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// Its range.
        expected: &'static str,
        /// The value.
        received: f64,
    },
    /// The regression failed.
    #[error("the regression failed")]
    Regression(#[from] linfa_linear::LinearError<f64>),
}
