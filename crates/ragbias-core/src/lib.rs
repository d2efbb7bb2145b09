//! The vocabulary of ragbias, and the four traits that connect its components.
//!
//! A RAG system is a [`Corpus`], an [`Embedder`] with its [`VectorIndex`], and a [`Generator`]. A [`BiasScorer`]
//! tells whether the poles of an [`Axis`] are present in a text: a [`Verdict`], whose [`Lean`] is −1, 0 or +1.
//! A [`Bias`] is the mean lean over questions, and always carries its counts, its rates and its interval.
//!
//! ```text
//! Question ──Embedder──▶ Embeddings ──VectorIndex──▶ Hit ─┬─BiasScorer──▶ Verdict ──▶ Bias (E_b)
//!                                                         └─Generator──▶ answer ──BiasScorer──▶ Verdict ──▶ Bias (R_b)
//! ```
//!
//! This crate does no input or output and contains no models. Every type checks its values at construction, so that a
//! function that takes one need not check again.
//!
//! ```
//! use ragbias_core::{Bias, Verdict};
//!
//! let verdicts = [
//!     Verdict::POSITIVE,           // one pole
//!     Verdict::POSITIVE,
//!     Verdict::scored(true, true), // both poles: a lean of 0
//!     Verdict::Unscored,           // counted, but never taken for a 0
//! ];
//! let bias = Bias::from_verdicts(&verdicts, 0.1..=1.0)?;
//! assert_eq!(bias.value(), 2.0 / 3.0);
//! assert_eq!((bias.n(), bias.unscored()), (3, 1));
//! assert_eq!(bias.rates().both, 1.0 / 3.0);
//! # Ok::<(), ragbias_core::Error>(())
//! ```

mod answer;
mod axis;
mod bias;
mod content_id;
mod corpus;
mod counts;
mod document_index;
mod embeddings;
mod error;
mod filter;
mod guard;
mod judging;
mod lean;
mod likelihood;
pub mod limits;
mod message;
mod pairs;
mod processor;
mod progress;
mod question;
mod setters;
mod shared;
mod similarity;
mod slug;
pub mod testing;
mod traits;

pub use answer::{Answer, Choice, ChoicePrompt, Chosen, Finish, Keep, Prompt};
pub use axis::{Answering, Axis, Pole, Prompts, Wording};
pub use bias::{Bias, Rates};
pub use content_id::{ContentHasher, ContentId};
pub use corpus::{Corpus, DocId, Document};
pub use counts::Counts;
pub use document_index::{DocumentHit, DocumentIndex};
pub use embeddings::Embeddings;
pub use error::{Error, Result};
pub use filter::Filter;
pub use guard::{guarded, with_deep_stack};
pub use judging::{Judging, Presence};
pub use lean::{Lean, Verdict};
pub use likelihood::{Likelihood, NameLikelihoods, PairAnswer, PossibleAnswer};
pub use message::message;
pub use pairs::{Pairs, Twins};
pub use processor::{Precision, Processor};
pub use progress::{Progress, Silent, Step, Unit};
pub use question::{Choices, Question, QuestionSet};
pub use similarity::Similarity;
pub use slug::{slug, slug_of};
pub use traits::{
    BiasScorer, Embedder, GenerateAll, Generator, Hit, IndexBackend, Passage, Role, TokenCount, VectorIndex,
    in_order,
};
