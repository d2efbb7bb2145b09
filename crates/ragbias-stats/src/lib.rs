//! Intervals for biases, the line of bias conflict, and retrieval metrics.
//!
//! [`ClusterBootstrap`] turns verdicts and their topics into a [`Bias`](ragbias_core::Bias) with its
//! 95% interval. A [`JointBootstrap`] fits the line of a family of embedders, from [`TopicCounts`] of their outcomes or
//! from [`Points`] alone: a [`BiasConflict`], with its [`Target`] and its [`Linearity`]. [`SensitivityDifference`] compares
//! two LLMs, and [`Equivalence`] tests the claim that a system is debiased; a [`Plan`] says how many questions that takes, with [`Clusters`]
//! for the correlation within topics. A [`JudgedRanking`] computes trec_eval's
//! metrics of a ranking, an [`Exposure`] says how ranks share attention between the poles, and [`PairedRandomisation`] tests whether two embedders differ in one of
//! them by more than chance. [`ScorerErrors`] says how often a scorer errs on [`LabelledTopics`], and [`RoganGladen`] and
//! [`PredictionPowered`] correct a bias for it. [`NonlinearLeastSquares`] fits any law, and [`UnitBootstrap`] gives the interval of any
//! statistic. A [`Leace`] removes what tells two classes of vectors apart, and a [`RidgeLogistic`] says how well classes can be told
//! apart. An [`ElasticNet`] and [`BoostedTrees`] predict a value from many features.
//!
//! ```
//! use ragbias_core::Verdict;
//! use ragbias_stats::ClusterBootstrap;
//!
//! let verdicts = [Verdict::POSITIVE, Verdict::POSITIVE, Verdict::NEGATIVE, Verdict::POSITIVE];
//! let topics = ["law", "law", "music", "sport"];
//! let bias = ClusterBootstrap::default().bias(&verdicts, &topics)?;
//! assert_eq!(bias.value(), 0.5);
//! assert!(bias.low() < 0.0 && bias.high() == 1.0); // three topics say little
//! # Ok::<(), ragbias_core::Error>(())
//! ```

mod boosted_trees;
mod bootstrap;
mod clusters;
mod compare;
mod conflict;
mod counts;
mod crossed;
mod deming;
mod draws;
mod elastic_net;
mod equivalence;
mod error;
mod exposure;
mod joint;
mod labelled;
mod leace;
mod least_squares;
mod line;
mod linear_model;
mod linearity;
mod logistic;
mod looks;
mod nonlinear;
mod plan;
mod prediction_powered;
mod randomisation;
mod rank_sensitivities;
mod ranking;
mod resamples;
mod restarts;
mod rogan_gladen;
mod scorer_errors;
mod selection;
mod sequence;
mod surface;
mod target;
mod unit_bootstrap;

pub use boosted_trees::BoostedTrees;
pub use bootstrap::ClusterBootstrap;
pub use clusters::Clusters;
pub use compare::{SensitivityDifference, holm};
pub use conflict::{BandPoint, BiasConflict, ConflictFit, PlainErrors, Resampled};
pub use counts::{QuestionOutcome, TopicCounts};
pub use crossed::crossed_mean;
pub use deming::{ErrorCovariance, ErrorsInVariables};
pub use elastic_net::{ElasticNet, matrix};
pub use equivalence::Equivalence;
pub use error::{Error, Result};
pub use exposure::{Discount, Exposure, RankedVerdicts};
pub use joint::JointBootstrap;
pub use labelled::{Confusion, LabelledTopics, ScoredTopics};
pub use leace::{Leace, Shrinkage};
pub use line::{Covariance, Estimate, Line, Points};
pub use linear_model::LinearModel;
pub use linearity::{LackOfFit, Linearity, SATURATION};
pub use logistic::RidgeLogistic;
pub use looks::Looks;
pub use nonlinear::NonlinearLeastSquares;
pub use plan::{Answering, Plan, SampleSize, further_questions};
pub use prediction_powered::PredictionPowered;
pub use randomisation::PairedRandomisation;
pub use rank_sensitivities::{RankSensitivities, RankedAnswer};
pub use ranking::JudgedRanking;
pub use restarts::{RestartedSequence, Restarts};
pub use rogan_gladen::RoganGladen;
pub use scorer_errors::{PoleErrors, ScorerErrors};
pub use selection::{impact_ratio, minimum_detectable};
pub use sequence::{ConfidenceSequence, bounded_mean_interval};
pub use surface::Surface;
pub use target::{Target, TargetStatus};
pub use unit_bootstrap::UnitBootstrap;
