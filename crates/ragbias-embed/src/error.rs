use std::path::{Path, PathBuf};

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a checkpoint and a vector.
///
/// A message says its reason where it has one as a field, and leaves it to `source` elsewhere: printed with its chain, no error
/// says it twice.
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
    /// What git-lfs leaves in the place of a file that it did not fetch.
    #[error(
        "{}: a git-lfs pointer, not the file itself\nhint: run `git lfs pull` in its repository", path.display()
    )]
    Pointer {
        /// The file.
        path: PathBuf,
    },
    /// A file without content.
    #[error("{}: the file is empty\nhint: copy or pull it again", path.display())]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// A JSON file of a checkpoint does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line and reason.
        reason: serde_json::Error,
    },
    /// Something in a file that would change vectors and that this crate does not compute.
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
    /// A text that the checkpoint's own length lets through, and the encoder has no positions for.
    #[error(
        "text {row} of the batch has {tokens} tokens, and the encoder has embeddings for {positions} positions: the \
         max_seq_length of sentence_bert_config.json is {limit}\nhint: set it to {positions}"
    )]
    TooLong {
        /// Position in the batch, from 0.
        row: usize,
        /// Tokens of the text.
        tokens: usize,
        /// Positions that the encoder has.
        positions: usize,
        /// What the checkpoint cuts at.
        limit: usize,
    },
    /// Nowhere to run.
    #[error("processor `{name}`: {reason}")]
    Processor {
        /// What was asked for.
        name: String,
        /// Why it cannot be.
        reason: String,
    },
    /// A text of which no token is left without its prompt.
    #[error(
        "text {row} of the batch has no token left without its prompt, which the checkpoint leaves out of pooling"
    )]
    OnlyPrompt {
        /// Position in the batch, from 0.
        row: usize,
    },
    /// A batch that the encoder cannot train on.
    #[error("expected pooling that is trained through, mean or cls, received {received}")]
    NotTrained {
        /// The ways of pooling.
        received: String,
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
        "{}: not a whole safetensors file: {reason}\nhint: a truncated download looks like this; copy or pull the \
         file again", path.display()
    )]
    Weights {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: safetensors::SafeTensorError,
    },
    /// A file of PyTorch that is cut, damaged, or more than weights.
    #[error(
        "{}: {reason}\nhint: with Python, `AutoModel.from_pretrained(FOLDER).save_pretrained(FOLDER)` makes a \
         model.safetensors of a file that you trust", path.display()
    )]
    Pickle {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The weights lack a tensor.
    #[error("{}: no tensor `{name}`; expected the weights of {of}", path.display())]
    MissingTensor {
        /// The file, or the first of several.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What it belongs to.
        of: &'static str,
    },
    /// The weights have a tensor that nothing computes with.
    #[error(
        "{}: tensor `{name}` belongs neither to {of} nor to a head of its training; it would be left out in silence",
        path.display()
    )]
    UnknownTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What was expected.
        of: &'static str,
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
    #[error("{}: {reason}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: tokenizers::Error,
    },
    /// A text could not be tokenised.
    #[error("text {row} of the batch could not be tokenised: {reason}")]
    Tokenise {
        /// Position in the batch, from 0.
        row: usize,
        /// The reason.
        reason: tokenizers::Error,
    },
    /// A long text of hardly any words.
    #[error(
        "text {row} of the batch has {bytes} bytes, of which {} MiB hold fewer words than are embedded\nhint: see whether \
         this is text, with white space between its words", of >> 20
    )]
    NoWords {
        /// Position in the batch, from 0.
        row: usize,
        /// Bytes of the text.
        bytes: usize,
        /// Bytes that were read.
        of: usize,
    },
    /// An operation on tensors failed.
    #[error("the encoder failed")]
    Candle(#[from] candle_core::Error),
    /// A value of the vocabulary was refused.
    #[error(transparent)]
    Core(#[from] ragbias_core::Error),
    /// A file of a tuned checkpoint that is another than was saved.
    #[error(
        "{}: damaged since the checkpoint was saved: expected {expected}, received {received}\nhint: `ragbias tune` makes a \
         member again; to use a checkpoint that was changed on purpose, remove its ragbias.json", path.display()
    )]
    DamagedCheckpoint {
        /// The file.
        path: PathBuf,
        /// What `ragbias.json` says of it.
        expected: String,
        /// What it is.
        received: String,
    },
}

/// Characters of what a file says that a message shows.
const MOST_SHOWN: usize = 200;

impl Error {
    /// [`Error::Unsupported`].
    pub(crate) fn unsupported(
        path: &Path,
        what: &'static str,
        expected: impl Into<String>,
        received: impl Into<String>,
    ) -> Self {
        let (expected, mut received) = (expected.into(), received.into());
        // A file may say anything at any length.
        if let Some((end, _)) = received.char_indices().nth(MOST_SHOWN) {
            received.truncate(end);
            received.push('…');
        }
        Self::Unsupported { path: path.into(), what, expected, received }
    }
}

impl From<Error> for ragbias_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Core(error) => error,
            other => Self::component(other),
        }
    }
}
