//! Instruments: experiments on what makes a RAG system lean, how far it can be moved, and what that costs.
//!
//! An [`Instrument`] asks one question of embedders, LLMs or training data, and answers it with [`Finding`]s that have an interval and a
//! count. Its settings are a table `[lab.NAME]` of a [`LabFile`]. It works on a [`Bench`]: the models and the store of a
//! [`Workspace`](ragbias::Workspace), a size, a seed, and a folder that keeps what was computed, so that an interrupted experiment goes
//! on. A [`Report`] has findings, tables and figures, and is written as JSON, SVG and a page.
//!
//! To add an instrument: a file or folder here with its settings, which implement [`Instrument`]; a field of [`Instruments`]; a page
//! `docs/lab/NAME.md` with the question, the formula and its source, and what came out; an experiment `experiments/lab/NAME.toml`.
//!
//! ```
//! use ragbias_lab::LabFile;
//!
//! let file = LabFile::parse("name = \"mine\"\nsize = 0.1\n[lab.pools]\nseeds = 2\n")?;
//! let names: Vec<&str> = file.lab.iter().map(|instrument| instrument.name()).collect();
//! assert_eq!(names, ["pools"]);
//! assert!(LabFile::parse("name = \"mine\"\n[lab.pools]\nseed = 2\n").is_err()); // an unknown key
//! # Ok::<(), ragbias_lab::Error>(())
//! ```

mod asking;
mod balance;
mod bench;
mod chart;
mod contexts;
mod design;
mod error;
mod file;
mod hotflip;
mod instrument;
mod methods;
mod noise;
mod overtraining;
mod page;
mod pairs;
mod planting;
mod pools;
mod precision;
mod reliance;
mod report;
mod run;
mod trigger;
mod tuning;

pub use balance::Balance;
pub use bench::Bench;
pub use chart::{Chart, Point, Series};
pub use design::Design;
pub use error::{Error, Result};
pub use file::{Instruments, LabFile};
pub use instrument::Instrument;
pub use noise::Noise;
pub use overtraining::Overtraining;
pub use planting::Planting;
pub use pools::Pools;
pub use precision::Precision;
pub use reliance::{ContextWording, Reliance};
pub use report::{Figure, Finding, Report, Table};
pub use run::run;
pub use trigger::{Pictures, Trigger};
pub use tuning::{Outcomes, TunedBase, TunedSetting};
