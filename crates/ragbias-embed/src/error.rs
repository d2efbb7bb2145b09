use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a model's name and a vector.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or a folder could not be read or written; the error names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A checkpoint lacks a file.
    #[error(
        "{}: no {file} in this folder\nhint: a checkpoint is a folder with config.json, model.safetensors and \
         tokenizer.json, as sentence-transformers saves it", folder.display()
    )]
    MissingFile {
        /// The checkpoint.
        folder: PathBuf,
        /// The file.
        file: &'static str,
    },
    /// A JSON file of a checkpoint does not hold what it should.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line and reason.
        source: serde_json::Error,
    },
    /// A model of a family that this crate cannot run.
    #[error("{}: {what} is `{received}`, expected {expected}", path.display())]
    Unsupported {
        /// The file that says so.
        path: PathBuf,
        /// Which setting.
        what: &'static str,
        /// What this crate runs.
        expected: String,
        /// What the file says.
        received: String,
    },
    /// Nowhere to run.
    #[error("processor `{name}`: {reason}")]
    Processor {
        /// What was asked for.
        name: String,
        /// Why it cannot be.
        reason: String,
    },
    /// A batch that the encoder cannot take.
    #[error("expected {what} {expected}, received {received}")]
    Input {
        /// What was counted.
        what: &'static str,
        /// What it should be, or be within.
        expected: usize,
        /// What it is.
        received: usize,
    },
    /// The weights file is no whole safetensors file.
    #[error(
        "{}: not a whole safetensors file: {source}\nhint: a truncated download looks like this; delete the folder \
         and pull the model again", path.display()
    )]
    Weights {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: safetensors::SafeTensorError,
    },
    /// The weights file lacks a tensor.
    #[error("{}: no tensor `{name}`; expected the weights of a BERT encoder", path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A tensor has another shape than `config.json` asks for.
    #[error("{}: tensor `{name}` has shape {received:?}, config.json asks for {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// From `config.json`.
        expected: Vec<usize>,
        /// In the file.
        received: Vec<usize>,
    },
    /// A NaN or an infinity in the weights.
    #[error("{}: tensor `{name}` holds {value} at position {position}; the file is damaged", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Position in the flattened tensor.
        position: usize,
        /// The value.
        value: f32,
    },
    /// An encoder without one of its weights, or a weight that no encoder of this shape has.
    #[error("the encoder has no parameter `{name}`")]
    NoParameter {
        /// The parameter.
        name: String,
    },
    /// The tokenizer file could not be read.
    #[error("{}: {source}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: tokenizers::Error,
    },
    /// A text could not be tokenised.
    #[error("text {row} of the batch could not be tokenised: {source}")]
    Tokenise {
        /// Position in the batch, from 0.
        row: usize,
        /// The reason.
        source: tokenizers::Error,
    },
    /// An operation on tensors failed.
    #[error("the encoder failed: {0}")]
    Candle(#[from] candle_core::Error),
    /// A value of the vocabulary was refused.
    #[error(transparent)]
    Core(#[from] ragbias_core::Error),
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
    /// A model that is known, but not for this use.
    #[error("`{name}` is an {received}, expected an {expected}")]
    WrongKind {
        /// The name.
        name: String,
        /// The kind asked for.
        expected: &'static str,
        /// Its kind.
        received: &'static str,
    },
    /// The registry file is wrong.
    #[error("the registry of models: {0}")]
    Registry(#[from] toml::de::Error),
    /// No source had the model.
    #[error(
        "model `{name}` could not be had:{}\nhint: on a machine without network, copy the model's folder from \
         another one and name its parent with --model-dir (or RAGBIAS_MODEL_DIR)",
        indented(failures)
    )]
    Unavailable {
        /// The model.
        name: String,
        /// Each source that was asked, and why it failed.
        failures: Vec<(String, String)>,
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

fn indented(failures: &[(String, String)]) -> String {
    failures.iter().fold(String::new(), |text, (source, reason)| text + "\n  " + source + ": " + reason)
}
