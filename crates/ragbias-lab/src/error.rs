use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An experiment could not be read or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A stage of a system failed.
    #[error(transparent)]
    Ragbias(#[from] ragbias::Error),
    /// A component failed.
    #[error(transparent)]
    Core(#[from] ragbias::core::Error),
    /// Data could not be read or written.
    #[error(transparent)]
    Data(#[from] ragbias::data::Error),
    /// An embedder could not be tuned.
    #[error(transparent)]
    Tune(#[from] ragbias::tune::Error),
    /// An LLM could not be loaded or trained.
    #[error(transparent)]
    Generate(#[from] ragbias::generate::Error),
    /// A model could not be fitted to results.
    #[error(transparent)]
    Stats(#[from] ragbias::stats::Error),
    /// A base model could not be loaded.
    #[error(transparent)]
    Embed(#[from] ragbias::embed::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A page could not be rendered.
    #[error("the page of the report")]
    Page(#[from] minijinja::Error),
    /// A malformed experiment.
    #[error("{}{source}", place(path.as_deref()))]
    File {
        /// The file, if there is one.
        path: Option<PathBuf>,
        /// What is wrong, with its line.
        source: toml::de::Error,
    },
    /// An experiment without instruments.
    #[error("no instrument, expected a table [lab.NAME] with one of {expected}")]
    NoInstrument {
        /// All names.
        expected: String,
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
    /// A model of a run of which nothing is known.
    #[error(
        "nothing is known of {name}\nhint: describe it in the experiment: [lab.design.cards.{kind}.\"{name}\"] with {keys}"
    )]
    NoCard {
        /// `llms` or `embedders`.
        kind: &'static str,
        /// Its name in the run.
        name: String,
        /// What is needed.
        keys: &'static str,
    },
    /// A line of a file of pictures.
    #[error("{}, line {line}: {reason}", path.display())]
    Pictures {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Something in both splits, which would be judged on what it was trained on.
    #[error("{}: the {what} {which} is in both splits, train and test", path.display())]
    BothSplits {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// Which.
        which: String,
    },
    /// A picture that is said to show either pole.
    #[error("{}: the picture {picture} is of both poles", path.display())]
    BothPoles {
        /// The file.
        path: PathBuf,
        /// The picture, or one that is equal.
        picture: String,
    },
    /// Too little data for an instrument.
    #[error("{what}: {received}, expected at least {expected}\nhint: a larger `size`, or other data")]
    TooFew {
        /// What there is too little of.
        what: &'static str,
        /// The minimum.
        expected: usize,
        /// What there is.
        received: usize,
    },
    /// A result that was kept and cannot be read.
    #[error("{}: {reason}\nhint: remove it, and it is computed again", path.display())]
    Kept {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

fn place(path: Option<&std::path::Path>) -> String {
    path.map_or(String::new(), |path| format!("{}: ", path.display()))
}
