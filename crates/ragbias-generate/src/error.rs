use ragbias_core::limits::OutOfLimits;
use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a model's file, or a server's address, and an answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read; the error names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A key that would go where the user did not send it.
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
    /// The file is no GGUF file, or a damaged one.
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
    /// The file ends too early.
    #[error(
        "{}: the file is truncated: expected at least {expected} bytes, received {received}\nhint: the download was cut \
         short; delete the file and download the model again", path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that it has.
        received: u64,
    },
    /// The file stands for one that git-lfs has not fetched.
    #[error(
        "{}: this is a git-lfs pointer, not the model\nhint: run `git lfs pull` in its folder, or download the file",
        path.display()
    )]
    Pointer {
        /// The file.
        path: PathBuf,
    },
    /// Something in the file that would change numbers, and that is not computed here.
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
    /// A model of a family that is not run here.
    #[error(
        "{}: the model is of architecture `{received}`, expected one of {expected}\nhint: take a model of one of these, or \
         a server that runs this one", path.display()
    )]
    Architecture {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        received: String,
        /// The families that are run.
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
    /// A NaN or an infinity in the weights.
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
    /// A prompt that does not fit.
    #[error(
        "a prompt of {received} tokens does not fit this model's {limit} tokens with {answer} left for the answer\n\
         hint: retrieve fewer or shorter documents"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        received: usize,
        /// Tokens that the model can see.
        limit: usize,
        /// Tokens kept for the answer.
        answer: usize,
    },
    /// A prompt that does not fit, whatever its tokens are.
    #[error(
        "a prompt of {bytes} bytes does not fit this model's {limit} tokens\nhint: retrieve fewer or shorter documents"
    )]
    TextTooLong {
        /// Bytes of the prompt.
        bytes: usize,
        /// Tokens that the model can see.
        limit: usize,
    },
    /// A model that computes infinities or no numbers at all.
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
    /// A file of options for a server that cannot be used.
    #[error("{}: {reason}", path.display())]
    Options {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The server did not answer as it should, however often it was asked.
    #[error("{url}: {reason} (after {attempts} attempt{})\nhint: {hint}", if *attempts == 1 { "" } else { "s" })]
    Server {
        /// The endpoint.
        url: String,
        /// The last failure.
        reason: String,
        /// How often it was asked.
        attempts: u32,
        /// What to do.
        hint: &'static str,
    },
}

impl From<Error> for ragbias_core::Error {
    fn from(error: Error) -> Self {
        Self::component(error)
    }
}

impl From<OutOfLimits> for Error {
    fn from(OutOfLimits { setting, expected, received }: OutOfLimits) -> Self {
        Self::Setting { setting, expected, received }
    }
}
