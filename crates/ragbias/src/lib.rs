//! Measure the bias of retrieval-augmented generation, part by part.
//!
//! A [`Measure`] runs questions through retrieve → generate → score and gives [`Measured`]: the bias of the LLM (L_b),
//! of the corpus (C_b), of the embedder (E_b) and of the whole system (R_b), with an [`Outcome`] for every question. The
//! components are anything that implements the traits of [`ragbias_core`]; [`Models`] and [`scorers`](scorer) make them
//! from names and paths. A [`Store`] memoises what they answer, so that nothing is computed twice over many embedders
//! and runs. A [`TestCollection`] says how well an embedder retrieves at all: its [`Evaluation`]. [`fit()`] draws the line of R_b on E_b through a family of embedders,
//! with the E_b that would make R_b = 0. An [`Experiment`] is all of it in one file, and leaves a run folder with tables and
//! a report.
//!
//! ```
//! use ragbias::core::testing::{EchoGenerator, HashEmbedder};
//! use ragbias::core::Silent;
//! use ragbias::data::{Dataset, load_axis};
//! use ragbias::{Measure, scorer};
//!
//! let (axis, set) = (load_axis("gender")?, Dataset::bundled("gender")?);
//! let (documents, answers) = (scorer::gold(&axis), scorer::lexicon(&axis)?);
//! let measured = Measure {
//!     axis: &axis,
//!     questions: &set.questions,
//!     corpus: &set.corpus,
//!     embedder: &HashEmbedder::new(128, 1), // a real one: Models::from_env()?.embedder("minilm", …)
//!     generator: Some(&EchoGenerator),
//!     document_scorer: documents.as_ref(),
//!     answer_scorer: answers.as_ref(),
//!     qrels: Some(&set.qrels),
//!     config: Default::default(),
//!     labels: Default::default(),
//! }
//! .run(&Silent)?;
//! assert_eq!(measured.corpus_bias.value(), 0.0); // balanced by construction
//! assert!(measured.embedder_bias.value().abs() <= 1.0);
//! # Ok::<(), ragbias::Error>(())
//! ```

pub use {
    ragbias_core as core, ragbias_data as data, ragbias_embed as embed, ragbias_generate as generate,
    ragbias_index as index, ragbias_score as score, ragbias_stats as stats, ragbias_tune as tune,
};

mod choose;
mod control;
mod embedding;
mod error;
mod evaluate;
mod experiment;
mod family;
mod fit;
mod input;
mod llm;
mod measure;
mod measured;
mod memo;
mod models;
mod prompt;
mod ranking;
mod recipe;
mod report;
mod run;
pub mod scorer;
mod store;

pub use choose::{Choice, ChooseConfig, Confirmed, Reached, TrailStep, Turned, choose};
pub use control::{Control, ControlKind, Knob, direction_of_poles};
pub use embedding::{EMBED_BATCH, embed_all};
pub use error::{Error, Result};
pub use evaluate::{Comparison, Evaluation, RetrievalMetrics, TestCollection};
pub use experiment::{Experiment, Part};
pub use family::{Dial, Family, Shard};
pub use fit::{
    Debiased, FitConfig, FitKey, Fits, FittedEmbedder, LeftOut, LlmFit, SensitivityComparison, fit, fit_files,
};
pub use input::{Inputs, load_corpus, load_questions};
pub use llm::LlmName;
pub use measure::{IndexKind, Labels, Measure, MeasureConfig};
pub use measured::{AnswerBias, Coverage, Measured, NothingScored};
pub use memo::{StoredEmbedder, StoredGenerator, StoredScorer};
pub use models::Models;
pub use ragbias_data::Outcome;
pub use ranking::StochasticRanking;
pub use recipe::{Grid, Planned, Recipe, SharedConfig};
pub use report::{report, report_without_pixels};
pub use run::{BASE_FAMILY, Manifest, PartResult, run};
pub use store::{Saved, Store, Work};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
