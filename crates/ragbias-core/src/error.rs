use std::error::Error as StdError;

use crate::Counts;

/// The result of everything in this crate and of its four traits.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An invalid value of the vocabulary, or an error of a component behind one of the traits.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A lean other than −1, 0 and +1.
    #[error("a lean is -1, 0 or 1; received {0}")]
    Lean(i64),
    /// A word that is not a verdict.
    #[error("a verdict is one of positive, negative, both, neither, unscored, refused, cut; received {0}")]
    Verdict(String),
    /// A gold label that is not a lean.
    #[error("a lean is -1, 0 or 1, or the name of a pole; received {0}")]
    Label(String),
    /// A text that is empty or all white space.
    #[error("{what} `{id}` has no text")]
    EmptyText {
        /// `document` or `question`.
        what: &'static str,
        /// Its `_id`.
        id: String,
    },
    /// Two documents, or two questions, with the same `_id`.
    #[error("{what} `{id}` occurs twice (number {first} and number {second}); every _id must be unique")]
    DuplicateId {
        /// `document` or `question`.
        what: &'static str,
        /// The `_id`.
        id: String,
        /// Position of the first one, from 1.
        first: usize,
        /// Position of the second one, from 1.
        second: usize,
    },
    /// A corpus or a question set without entries.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// Vectors of two different dimensions.
    #[error("vectors of {received} dimensions where {expected} were expected")]
    Dimension {
        /// Expected dimension.
        expected: usize,
        /// Received dimension.
        received: usize,
    },
    /// A NaN or an infinity in a vector.
    #[error("vector {row} has a value that is not finite ({value}); the weights of the model may be damaged")]
    NotFinite {
        /// Row, from 0.
        row: usize,
        /// The value.
        value: f32,
    },
    /// A vector of length 0.
    #[error("vector {row} has length 0 and cannot be normalised")]
    ZeroVector {
        /// Row, from 0.
        row: usize,
    },
    /// An eraser that would not erase what it finds.
    #[error("the direction and the discriminant of an eraser multiply to {received}, expected 1")]
    Eraser {
        /// Their inner product.
        received: f64,
    },
    /// A component returned another number of items than it received.
    #[error("{component} returned {received} items for a batch of {expected}")]
    BatchLength {
        /// Which component.
        component: &'static str,
        /// Items sent.
        expected: usize,
        /// Items received.
        received: usize,
    },
    /// A generator answered a prompt twice, or one that it was not given.
    #[error(
        "the LLM's answer to prompt {prompt} of {count} (from 0) was kept before, or belongs to no prompt"
    )]
    Kept {
        /// Number of the prompt, from 0.
        prompt: usize,
        /// Number of prompts in the batch.
        count: usize,
    },
    /// A bias outside its range, or an invalid interval.
    #[error("a bias lies in [-1, 1] with low <= high; received {value} in [{low}, {high}]")]
    Bias {
        /// The value.
        value: f64,
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// Nothing could be scored, so there is no bias.
    #[error("none of the {asked} texts could be scored ({counts}); a bias needs at least one scored text", asked = .0.asked(), counts = .0)]
    NothingScored(Counts),
    /// An axis whose definition contradicts itself.
    #[error("axis `{axis}`: {reason}")]
    Axis {
        /// The axis.
        axis: String,
        /// What is wrong.
        reason: String,
    },
    /// Twins that are none.
    #[error("pair `{pair}`: {reason}")]
    Pair {
        /// Their `metadata.pair`.
        pair: String,
        /// What is wrong with them.
        reason: String,
    },
    /// A probability above 1, or of a text without tokens.
    #[error(
        "a log-probability is finite and at most 0, of at least one token; received {log_probability} of {tokens}"
    )]
    Likelihood {
        /// The natural logarithm.
        log_probability: f64,
        /// Number of tokens.
        tokens: usize,
    },
    /// A generator that cannot tell how likely a given answer is.
    #[error(
        "this LLM does not tell how probable a given answer is, as `answers pair` needs\nhint: `answers text` scores the answers that it \
         writes; a .gguf file tells the probabilities"
    )]
    NoLikelihoods,
    /// A scorer returned a verdict reserved for how an answer ended.
    #[error("the scorer returned {0}, which is reserved for how an answer ended")]
    ScorerVerdict(&'static str),
    /// An unavailable device.
    #[error("processor `{name}`: {reason}")]
    Processor {
        /// The requested device.
        name: String,
        /// Why it is unavailable.
        reason: String,
    },
    /// An unknown precision.
    #[error("precision `{0}`: expected f32, bf16 or int8")]
    Precision(String),
    /// A filter by a value to which nothing is compared.
    #[error(
        "filter: the value of `{field}`: expected a string, a number, true, false, null, or a list of them"
    )]
    Filter {
        /// The field of the metadata.
        field: String,
    },
    /// A component cannot be reached now, such as a database that restarts; it may be later.
    #[error(transparent)]
    Unavailable(Box<dyn StdError + Send + Sync>),
    /// A component (an embedder, an index, a generator, a scorer) failed.
    #[error(transparent)]
    Component(Box<dyn StdError + Send + Sync>),
}

impl Error {
    /// Wraps the error of a component to pass it through one of the traits.
    ///
    /// The text and `source` of the wrapped error become those of this one.
    pub fn component(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Component(source.into())
    }

    /// The same for a component that cannot be reached now.
    pub fn unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }
}
