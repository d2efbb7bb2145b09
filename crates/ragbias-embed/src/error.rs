use std::path::{Path, PathBuf};

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a checkpoint and a vector.
///
/// A message includes its reason if that is a field, and leaves it to `source` otherwise, so that no error printed with its
/// chain repeats itself.
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
    /// A git-lfs pointer instead of the file.
    #[error(
        "{}: a git-lfs pointer, not the file itself\nhint: run `git lfs pull` in its repository", path.display()
    )]
    Pointer {
        /// The file.
        path: PathBuf,
    },
    /// An empty file.
    #[error("{}: the file is empty\nhint: copy or pull it again", path.display())]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// A malformed JSON file of a checkpoint.
    #[error("{}: {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line and reason.
        reason: serde_json::Error,
    },
    /// A setting in a file that would change vectors and is not supported.
    #[error("{}: {what} is `{received}`, expected {expected}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The setting.
        what: &'static str,
        /// The supported values.
        expected: String,
        /// The value in the file.
        received: String,
    },
    /// A text within the checkpoint's text length, but with more tokens than the encoder has positions.
    #[error(
        "text {row} of the batch has {tokens} tokens, and the encoder has embeddings for {positions} positions: the \
         max_seq_length of sentence_bert_config.json is {limit}\nhint: set it to {positions}"
    )]
    TooLong {
        /// Position in the batch, from 0.
        row: usize,
        /// Tokens of the text.
        tokens: usize,
        /// Number of positions.
        positions: usize,
        /// The checkpoint's text length.
        limit: usize,
    },
    /// A text with no tokens left after its prompt.
    #[error(
        "text {row} of the batch has no token left without its prompt, which the checkpoint leaves out of pooling"
    )]
    OnlyPrompt {
        /// Position in the batch, from 0.
        row: usize,
    },
    /// Gradients from an encoder that has none.
    #[error("the encoder was loaded for inference alone, without the weights that gradients need")]
    ForInference,
    /// 8-bit products where there are none.
    #[error(
        "the precision int8 is for embedding with a checkpoint on the CPU; expected f32, or on a GPU bf16, for training, for the \
         members of a family, and for other devices"
    )]
    NotInInt8,
    /// A pooling that cannot be trained.
    #[error("expected pooling that is trained through, mean or cls, received {received}")]
    NotTrained {
        /// The pooling modes.
        received: String,
    },
    /// An invalid batch.
    #[error("expected {what} {expected}, received {received}")]
    Input {
        /// The quantity.
        what: &'static str,
        /// The expected value or range.
        expected: usize,
        /// The received value.
        received: usize,
    },
    /// A malformed safetensors file.
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
    /// A PyTorch file that is truncated, damaged, or contains more than weights.
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
    /// A picture that could not be read.
    #[error("{}: {reason}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A missing tensor.
    #[error("{}: no tensor `{name}`; expected the weights of {of}", path.display())]
    MissingTensor {
        /// The file, or the first of several.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The module it belongs to.
        of: &'static str,
    },
    /// An unused tensor.
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
    /// A tensor whose shape contradicts `config.json`.
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
    /// Non-finite weights.
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
    /// A missing parameter, or one that no encoder of this shape has.
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
    /// A long text with too few words to be truncated safely.
    #[error(
        "text {row} of the batch has {bytes} bytes, of which {} MiB hold fewer words than are embedded\nhint: see whether \
         this is text, with white space between its words", of >> 20
    )]
    NoWords {
        /// Position in the batch, from 0.
        row: usize,
        /// Bytes of the text.
        bytes: usize,
        /// Number of bytes that were read.
        of: usize,
    },
    /// An operation on tensors failed.
    #[error("the encoder failed")]
    Candle(#[from] candle_core::Error),
    /// A value of the vocabulary was refused.
    #[error(transparent)]
    Core(#[from] ragbias_core::Error),
    /// A file of a tuned checkpoint that changed since it was saved.
    #[error(
        "{}: damaged since the checkpoint was saved: expected {expected}, received {received}\nhint: `ragbias tune` makes a \
         member again; to use a checkpoint that was changed on purpose, remove its ragbias.json", path.display()
    )]
    DamagedCheckpoint {
        /// The file.
        path: PathBuf,
        /// Its state according to `ragbias.json`.
        expected: String,
        /// Its actual state.
        received: String,
    },
}

/// Maximum number of characters of a file's value shown in a message.
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
        // A value in a file may be of any length.
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
