//! Tunes families of differently biased embedders from one base.
//!
//! [`mine()`] retrieves the documents nearest to each question, with and without each pole's instruction, and sorts them by a
//! scorer's verdict; [`examples`] turns them into positives and negatives for training [towards](Towards) a pole. A [`Training`]
//! changes the parameters of a [`Scope`] (all weights, the MLPs of the top layers, a linear head, …) with a contrastive loss, and
//! gives [`Weights`], which [`merge`](Weights::merged) with the base's at any ratio and are saved as a checkpoint that
//! sentence-transformers loads. [`Texts`] holds the hidden states below the trained layers, which are computed
//! once for all members. A [`Contest`] is for swaps of a document's tokens by their gradients.
//!
//! ```no_run
//! use ragbias_core::{Corpus, Role, Silent};
//! use ragbias_tune::{Base, Example, Result, Scope, Texts, TrainConfig, Training};
//!
//! /// `examples` come from `mine` and `examples`.
//! fn tune(corpus: &Corpus, examples: &[Example]) -> Result<()> {
//!     let base = Base::load("models/minilm".as_ref(), &Default::default())?;
//!     let questions = examples.iter().map(|example| (Role::Question, example.question.text.clone()));
//!     let documents = corpus.documents().iter().map(|document| (Role::Document, document.full_text()));
//!     let texts = Texts::prepare(&base, Scope::Head, questions.chain(documents), "cache".as_ref(), &Silent)?;
//!     let config = TrainConfig::new(Scope::Head, 1e-3, 10);
//!     let training = Training {
//!         base: &base, config: &config, examples, validation: &[], corpus, anchors: &[], texts: &texts,
//!     };
//!     let trained = training.run(None, &Silent)?;
//!     trained.weights.merged(&base, 0.3)?.save(&base, "family/female-0.3".as_ref(), serde_json::json!({}))
//! }
//! ```

mod activations;
mod base;
mod config;
mod error;
mod loss;
mod matrices;
mod mine;
mod noise;
mod optimiser;
mod perturbation;
mod sharpness;
mod swaps;
mod texts;
mod train;
mod trainable;
mod weights;

pub use base::Base;
pub use config::{Scope, TrainConfig};
pub use error::{Error, Result};
pub use mine::{Example, MineConfig, Mined, Towards, examples, mine};
pub use noise::{Flipped, flipped};
pub use sharpness::Sharpness;
pub use swaps::{Contest, Slopes};
pub use texts::Texts;
pub use train::{AfterEpoch, Diverged, Epoch, Trained, Training};
pub use weights::{Tuned, Weights};
