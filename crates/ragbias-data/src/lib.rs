//! Reads and writes corpora, question sets and measurement tables.
//!
//! [`read_corpus`] and [`read_questions`] read JSONL, CSV and Parquet, and recognise the layouts of some published sets by
//! their columns ([`layout`]). A [`Dataset`] is a folder with a `manifest.toml`: a corpus, its questions, the relevance
//! judgements, and a split by topic; the default ones are bundled. [`Measurement`] and
//! [`Outcome`] are the rows of the tables that a study writes; [`read_measurements`] and [`read_outcomes`] read them
//! back.
//!
//! ```
//! use ragbias_data::{Dataset, Split};
//!
//! let gender = Dataset::bundled("gender")?;
//! assert!(gender.questions.len() >= 120);
//! // Balanced by construction: as many documents on women as on men.
//! let leans = gender.corpus.documents().iter().map(|d| d.gold_lean().unwrap().unwrap().value());
//! assert_eq!(leans.sum::<f64>(), 0.0);
//! // Splits keep topics whole.
//! let test = gender.split(Split::Test)?;
//! assert!(test.len() >= 20 && test.len() < gender.questions.len());
//! # Ok::<(), ragbias_data::Error>(())
//! ```

mod axis;
mod bundled;
mod check;
mod check_set;
mod columns;
mod corpus;
mod csv;
mod dataset;
mod error;
mod findings;
mod grep_bias_ir;
mod ids;
mod json;
pub mod layout;
mod lines;
mod measurement;
mod measurement_table;
mod member;
mod names;
mod number;
mod open;
mod parquet_pages;
mod parquet_read;
mod passages;
mod qrels;
mod questions;
mod sample;
mod source;
mod table;
mod text;
mod utf16;

pub use axis::{axis_names, load_axis};
pub use check::{Checked, check};
pub use check_set::{Balance, CheckedSet, Finding, Lengths, Severity, check_dataset, check_folder};
pub use corpus::{CorpusFile, read_corpus, read_corpus_allowing_empty_texts};
pub use dataset::{Dataset, DatasetInfo, Split, Splits};
pub use error::{Error, Result};
pub use lines::read_text;
pub use measurement::{Measurement, Outcome, write_measurements, write_outcomes};
pub use measurement_table::{MeasurementRow, read_measurements, read_outcomes};
pub use member::{Member, MinedRow, write_family, write_mined};
pub use qrels::{Qrels, read_qrels};
pub use questions::read_questions;
pub use ragbias_files::{Staging, move_file, replace_folder, tidy, write_file, write_file_by};
pub use sample::sample;
pub use text::{Shown, is_hidden, shown};
