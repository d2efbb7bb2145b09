//! Intervals for biases, and metrics of retrieval.
//!
//! [`ClusterBootstrap`] turns verdicts and the topics that they belong to into a [`Bias`](ragbias_core::Bias) with its
//! 95% interval. A [`JudgedRanking`] says how well a ranking serves its question, in the metrics of trec_eval, and
//! [`PairedRandomisation`] whether two embedders differ in one of them by more than chance.
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

mod bootstrap;
mod randomisation;
mod ranking;

pub use bootstrap::ClusterBootstrap;
pub use randomisation::PairedRandomisation;
pub use ranking::JudgedRanking;
