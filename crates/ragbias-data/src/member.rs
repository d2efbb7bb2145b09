use std::path::Path;

use polars::prelude::Column;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::columns::write_columns;

/// One row of a family's table: how a member was trained, and its results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Its name, which is also the name of its folder.
    pub member: String,
    /// The family.
    pub family: String,
    /// The embedder it started from.
    pub base: String,
    /// The axis.
    pub axis: String,
    /// The pole that it was trained towards; `None` for the base, which was not.
    pub towards: Option<String>,
    /// The trained scope; `None` for the base.
    pub scope: Option<String>,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Requested number of epochs.
    pub epochs: u32,
    /// Merge weight.
    pub merge: f64,
    /// Seed.
    pub seed: u64,
    /// Training loss by epoch.
    pub losses: Vec<f64>,
    /// Validation loss by epoch.
    pub validation_losses: Vec<f64>,
    /// Whether its loss became non-finite.
    pub diverged: bool,
    /// Seconds of training, shared by all members of one training.
    pub seconds: f64,
    /// Number of questions that its bias was measured on.
    pub n: u32,
    /// E_b on the validation split.
    pub embedder_bias: f64,
    /// Lower end of its 95% interval.
    pub embedder_bias_low: f64,
    /// Upper end of its 95% interval.
    pub embedder_bias_high: f64,
    /// nDCG@10 on the utility set, if there is one.
    pub ndcg10: Option<f64>,
}

/// Writes a family's table, `.csv` or `.parquet`; losses are written as numbers separated by spaces.
///
/// # Errors
/// Another extension, or failures of the file system.
pub fn write_family(path: &Path, rows: &[Member]) -> Result<()> {
    let listed =
        |losses: &[f64]| losses.iter().map(|loss| format!("{loss:.6}")).collect::<Vec<_>>().join(" ");
    let text = |name: &str, value: fn(&Member) -> &String| {
        Column::new(name.into(), rows.iter().map(|row| value(row).clone()).collect::<Vec<_>>())
    };
    let optional = |name: &str, value: fn(&Member) -> &Option<String>| {
        Column::new(
            name.into(),
            rows.iter().map(|row| value(row).clone().unwrap_or_default()).collect::<Vec<_>>(),
        )
    };
    let number = |name: &str, value: fn(&Member) -> f64| {
        Column::new(name.into(), rows.iter().map(value).collect::<Vec<_>>())
    };
    let columns = vec![
        text("member", |row| &row.member),
        text("family", |row| &row.family),
        text("base", |row| &row.base),
        text("axis", |row| &row.axis),
        optional("towards", |row| &row.towards),
        optional("scope", |row| &row.scope),
        number("learning_rate", |row| row.learning_rate),
        Column::new("epochs".into(), rows.iter().map(|row| row.epochs).collect::<Vec<_>>()),
        number("merge", |row| row.merge),
        Column::new("seed".into(), rows.iter().map(|row| row.seed).collect::<Vec<_>>()),
        Column::new("losses".into(), rows.iter().map(|row| listed(&row.losses)).collect::<Vec<_>>()),
        Column::new(
            "validation_losses".into(),
            rows.iter().map(|row| listed(&row.validation_losses)).collect::<Vec<_>>(),
        ),
        Column::new("diverged".into(), rows.iter().map(|row| row.diverged).collect::<Vec<_>>()),
        number("seconds", |row| row.seconds),
        Column::new("n".into(), rows.iter().map(|row| row.n).collect::<Vec<_>>()),
        number("embedder_bias", |row| row.embedder_bias),
        number("embedder_bias_low", |row| row.embedder_bias_low),
        number("embedder_bias_high", |row| row.embedder_bias_high),
        Column::new("ndcg10".into(), rows.iter().map(|row| row.ndcg10).collect::<Vec<_>>()),
    ];
    write_columns(path, &columns)
}

/// One row of a table of mined documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinedRow {
    /// `_id` of the question.
    pub question: String,
    /// The cluster of the question.
    pub topic: String,
    /// `_id` of the document.
    pub document: String,
    /// Its lean by the scorer; `None` if unscored.
    pub lean: Option<i32>,
}

/// Writes a table of mined documents, `.csv` or `.parquet`.
///
/// # Errors
/// Another extension, or failures of the file system.
pub fn write_mined(path: &Path, rows: &[MinedRow]) -> Result<()> {
    let text = |name: &str, value: fn(&MinedRow) -> &String| {
        Column::new(name.into(), rows.iter().map(|row| value(row).clone()).collect::<Vec<_>>())
    };
    let columns = vec![
        text("question", |row| &row.question),
        text("topic", |row| &row.topic),
        text("document", |row| &row.document),
        Column::new("lean".into(), rows.iter().map(|row| row.lean).collect::<Vec<_>>()),
    ];
    write_columns(path, &columns)
}
