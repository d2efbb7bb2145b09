use ragbias_core::limits::OutOfLimits;
use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a model's file, a server or generation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read; the error names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A key that would be sent to a host that the user did not name.
    #[error("{sent} would go to {place}, {how}\nhint: {hint}")]
    KeyHost {
        /// What would be sent; not the key itself.
        sent: String,
        /// Host and port.
        place: String,
        /// Why it is not sent.
        how: &'static str,
        /// What to do.
        hint: String,
    },
    /// The file is not a GGUF file, or is damaged.
    #[error(
        "{}: not a whole GGUF file: {reason}\nhint: delete it and download the model again, or convert it again",
        path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is truncated.
    #[error(
        "{}: the file is truncated: expected at least {expected} bytes, received {received}\nhint: the download was cut \
         short; delete the file and download the model again", path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Expected size in bytes.
        expected: u64,
        /// Actual size in bytes.
        received: u64,
    },
    /// The file is a git-lfs pointer.
    #[error(
        "{}: this is a git-lfs pointer, not the model\nhint: run `git lfs pull` in its folder, or download the file",
        path.display()
    )]
    Pointer {
        /// The file.
        path: PathBuf,
    },
    /// A key or tensor that would change numbers and is not supported.
    #[error("{}: {place}: {reason}\nhint: {hint}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The key or the tensor.
        place: String,
        /// What was received, and what was expected.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// An unsupported architecture.
    #[error(
        "{}: the model is of architecture `{received}`, expected one of {expected}\nhint: take a model of one of these, or \
         a server that runs this one", path.display()
    )]
    Architecture {
        /// The file.
        path: PathBuf,
        /// The architecture named in the file.
        received: String,
        /// The supported architectures.
        expected: String,
    },
    /// The file's tokenizer cannot be used.
    #[error("{}: the tokenizer: {reason}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Non-finite weights.
    #[error("{}: tensor `{tensor}` holds a value that is not finite; the file is damaged", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// The chat template failed.
    #[error(
        "{}: tokenizer.chat_template: {reason}\nhint: take the model with another chat template, or a server that runs it",
        path.display()
    )]
    Template {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A prompt that does not fit the context.
    #[error(
        "a prompt of {received} tokens does not fit this model's {limit} tokens with {answer} left for the answer\n\
         hint: retrieve fewer or shorter documents"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        received: usize,
        /// Context length of the model.
        limit: usize,
        /// Tokens reserved for the answer.
        answer: usize,
    },
    /// A prompt too long for the context, whatever its tokenisation.
    #[error(
        "a prompt of {bytes} bytes does not fit this model's {limit} tokens\nhint: retrieve fewer or shorter documents"
    )]
    TextTooLong {
        /// Bytes of the prompt.
        bytes: usize,
        /// Context length of the model.
        limit: usize,
    },
    /// An answer whose first token is also the prompt's last one.
    #[error(
        "{}: its tokenizer joins the end of the prompt with the answer `{answer}`, which therefore has no tokens of its own\nhint: \
         `answers text` scores the answers that it writes", path.display()
    )]
    JoinedAnswer {
        /// The file.
        path: PathBuf,
        /// The answer.
        answer: String,
    },
    /// Non-finite logits.
    #[error(
        "{}: a logit is not finite: what it would answer means nothing\n\
         hint: its weights or settings are damaged; download or convert it again",
        path.display()
    )]
    NonFiniteLogits {
        /// The file.
        path: PathBuf,
    },
    /// An operation on tensors failed.
    #[error("the model failed")]
    Candle(#[from] candle_core::Error),
    /// 8-bit products where there are none.
    #[error(
        "the precision int8 is for embedding with a checkpoint on the CPU; expected f32 or bf16 for an LLM on a GPU"
    )]
    NotInInt8,
    /// A device without room for the model.
    #[error(
        "{}: on {place} the model needs {needed} bytes for weights, keys, values and intermediate results, \
         received {received}\nhint: in bf16 the weights take half (`--precision bf16`); otherwise take a smaller model, \
         a larger GPU, `--device cpu`, or a server that runs this one", path.display()
    )]
    DeviceMemory {
        /// The file.
        path: PathBuf,
        /// The device and the precision.
        place: String,
        /// The fewest bytes with which every prompt can be answered.
        needed: u64,
        /// Free bytes.
        received: String,
    },
    /// An error of the vocabulary.
    #[error(transparent)]
    Core(#[from] ragbias_core::Error),
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
    /// An invalid file of options for a server.
    #[error("{}: {reason}", path.display())]
    Options {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The server did not answer as expected after all attempts.
    #[error("{url}: {reason} (after {attempts} attempt{})\nhint: {hint}", if *attempts == 1 { "" } else { "s" })]
    Server {
        /// The endpoint.
        url: String,
        /// The last failure.
        reason: String,
        /// Number of attempts.
        attempts: u32,
        /// What to do.
        hint: &'static str,
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
        Self::Setting { setting, expected, received }
    }
}
