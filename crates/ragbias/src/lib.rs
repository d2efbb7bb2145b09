//! Measures the bias of retrieval-augmented generation, component by component.
//!
//! A [`System`] consists of an embedder, an index, an LLM, and scorers of documents and answers. It is measured in stages, each
//! computed once: [`Indexed`] (C_b), [`Retrieved`] (E_b), [`Answers`] with context (R_b) and without (L_b). Components
//! implement the traits of [`ragbias_core`], or are made from names by [`Models`]. The [`Store`] of a
//! [`Workspace`] stores their answers, so that nothing is computed twice over many embedders and runs.
//!
//! A [`TestCollection`] measures the retrieval quality of an embedder, its [`Evaluation`]. [`fit()`] fits the line of R_b on E_b
//! to a family of embedders, and finds the E_b that would make R_b = 0. An [`Experiment`] describes all of this in one file, and
//! writes a run folder with tables and a report. [`choose()`] finds the setting of a [`Control`] that makes the system fair, and a
//! [`Retriever`] serves it.
//!
//! ```
//! use std::sync::Arc;
//! use ragbias::core::testing::{EchoGenerator, HashEmbedder};
//! use ragbias::{System, data::Dataset, index::Exact};
//!
//! let set = Dataset::bundled("gender")?;
//! let rag = System::on("gender")
//!     .embedder(Arc::new(HashEmbedder::new(128, 1))) // a name, a folder, or your own
//!     .index(Exact)
//!     .llm(Arc::new(EchoGenerator))                  // a name, a .gguf file, an address, or your own
//!     .build()?;
//! let corpus = rag.index(&set.corpus)?;
//! let found = corpus.retrieve(&set.questions)?;
//! let given = found.answer()?;
//! let alone = rag.baseline(&set.questions)?;
//! assert_eq!(corpus.bias().value(), 0.0); // balanced by construction
//! println!("C_b {}, E_b {}", corpus.bias(), found.bias());
//! println!("R_b {}, L_b {}", given.bias()?, alone.bias()?);
//! # Ok::<(), ragbias::Error>(())
//! ```

pub use {
    ragbias_core as core, ragbias_data as data, ragbias_embed as embed, ragbias_generate as generate,
    ragbias_index as index, ragbias_models as models, ragbias_score as score, ragbias_stats as stats,
    ragbias_tune as tune,
};

mod answer_bias;
mod answering;
pub mod audit;
mod by_name;
mod calibration;
mod check_data;
mod choose;
mod control;
mod day;
mod distractors;
mod embedding;
mod error;
mod evaluate;
mod experiment;
mod fair_ranking;
mod family;
mod fit;
mod input;
mod llm;
mod measure;
mod measured;
mod memo;
pub mod monitor;
mod multiplicity;
mod named;
mod plan;
mod prompt;
mod ranking;
mod recipe;
mod report;
mod resample;
mod result_folder;
mod retriever;
mod run;
pub mod scorer;
mod selection;
mod store;
pub mod svg;
mod system;
mod threshold;
mod twins;
mod undecided;
pub mod verify;
mod warnings;
mod workspace;

pub use answer_bias::{AnswerBias, Coverage, NothingScored};
pub use by_name::Models;
pub use calibration::{CalibratedTexts, Calibration, Correction};
pub use check_data::{DataCheck, SplitPower, check_data, is_checked_as_set};
pub use choose::{
    Biases, ChooseConfig, Confirmed, ControlChoice, ControlResult, FoldChoice, LeftOutControl, Predicted,
    Reached, TrailStep, choose,
};
pub use control::{
    Asked, Control, ControlKind, ControlSpec, Draw, Erasure, ErasureSpec, FittedEraser, KnownLeans, Merge,
    Projection, ProjectionSpec, RankingSpec, ReadyControl, Reranking, RerankingSpec, UnknownControl,
    direction_of_poles, erased,
};
pub use day::Day;
pub use embedding::{EMBED_BATCH, embed_all};
pub use error::{Error, Result};
pub use evaluate::{Comparison, Evaluation, RetrievalMetrics, TestCollection};
pub use experiment::{Experiment, Part};
pub use fair_ranking::FairRanking;
pub use family::{Family, Interpolation, Shard};
pub use fit::{
    Debiased, FitConfig, FitKey, Fits, FittedEmbedder, LeftOut, LlmFit, NoSurface, RankFit,
    SensitivityComparison, SurfaceFit, fit, fit_files,
};
pub use input::{Inputs, is_dataset, load_corpus, load_qrels, load_questions};
pub use llm::LlmName;
pub use measure::{AnswerMode, IndexKind, MeasureConfig};
pub use measured::{BASE_FAMILY, Measured, PartResult};
pub use memo::{StoredEmbedder, StoredGenerator, StoredScorer};
pub use multiplicity::{SystemTest, system_tests};
pub use plan::{Pilot, PlanConfig, VerdictPlan, plan, plan_from_pilot};
pub use prompt::{Prompter, read_prompts};
pub use ragbias_data::Outcome;
pub use ranking::{Ranking, StochasticRanking};
pub use recipe::{Grid, Planned, Recipe, SharedConfig};
pub use report::{report, report_without_pixels};
pub use resample::Resample;
pub use retriever::{Found, Retriever};
pub use run::{Manifest, Run, run};
pub use selection::Selection;
pub use store::{Merged, Saved, Store, Work};
pub use system::{
    Answers, ByRank, Component, Embedded, Indexed, Judged, Labels, Retrieved, System, SystemBuilder,
    TwinPreference, TwinsOf,
};
pub use threshold::DeclaredThreshold;
pub use twins::{LeftOutCount, LeftOutPassage, TwinCard, TwinConfig, TwinSet, TwinSource};
pub use undecided::until_decided;
pub use warnings::{UNSCORED, unscored};
pub use workspace::Workspace;

/// Compiles the README's examples.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
