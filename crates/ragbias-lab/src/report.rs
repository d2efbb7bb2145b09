use std::path::Path;

use ragbias::data::write_file;
use ragbias::stats::Estimate;
use ragbias::svg::Svg;
use serde::Serialize;

use crate::error::Result;

/// What came out of an instrument.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The instrument.
    pub instrument: String,
    /// Its question.
    pub question: String,
    /// What was found, with intervals.
    pub findings: Vec<Finding>,
    /// The measurements behind it.
    pub tables: Vec<Table>,
    /// Figures, which are files of their own.
    pub figures: Vec<Figure>,
    /// What limits the findings.
    pub notes: Vec<String>,
}

/// One quantity that was estimated, or could not be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The quantity: `utility b of the hard third`.
    pub what: String,
    /// Its value with a 95% interval; none if it cannot be identified at this size.
    pub estimate: Option<Estimate>,
    /// Number of units it rests on.
    pub n: usize,
    /// The units: `topics`, `seeds`, `systems`.
    pub units: String,
    /// What it means, in one sentence.
    pub meaning: String,
}

/// A table of measurements.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// Its title.
    pub title: String,
    /// Names of columns.
    pub columns: Vec<String>,
    /// Rows, with a cell per column.
    pub rows: Vec<Vec<String>>,
}

/// A figure with its caption.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// Name of its file, without `.svg`.
    pub id: String,
    /// What it shows.
    pub caption: String,
    /// The drawing.
    #[serde(skip)]
    pub svg: String,
}

impl Report {
    /// An empty report of an instrument.
    pub fn new(instrument: &str, question: &str) -> Self {
        let (findings, tables, figures, notes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { instrument: instrument.into(), question: question.into(), findings, tables, figures, notes }
    }

    /// Writes `report.json` and the figures into a folder.
    ///
    /// # Errors
    /// Failures of the file system.
    pub fn write(&self, folder: &Path) -> Result<()> {
        for figure in &self.figures {
            write_file(&folder.join(format!("{}.svg", figure.id)), &figure.svg)?;
        }
        let json = serde_json::to_string_pretty(self).map_err(std::io::Error::from)?;
        Ok(write_file(&folder.join("report.json"), json + "\n")?)
    }
}

impl Finding {
    /// A quantity over units; without an estimate it could not be identified.
    pub fn new(
        what: impl Into<String>,
        estimate: Option<Estimate>,
        n: usize,
        units: &str,
        meaning: impl Into<String>,
    ) -> Self {
        Self { what: what.into(), estimate, n, units: units.into(), meaning: meaning.into() }
    }

    /// The estimate in words: `+0.12 [−0.03, +0.27]`.
    pub fn shown(&self) -> String {
        self.estimate.map_or_else(|| "not identified".into(), shown)
    }
}

/// An estimate in words, with digits according to its size.
pub(crate) fn shown(estimate: Estimate) -> String {
    let widest = estimate.value.abs().max(estimate.low.abs()).max(estimate.high.abs());
    let digits = if widest >= 10.0 {
        1
    } else if widest >= 0.1 {
        2
    } else {
        4
    };
    let number = |value: f64| format!("{value:+.digits$}").replace('-', "−");
    format!("{} [{}, {}]", number(estimate.value), number(estimate.low), number(estimate.high))
}

/// Two decimals, or three of a small number, and a true minus sign.
pub(crate) fn signed(value: f64) -> String {
    let digits = if value.abs() < 0.1 { 3 } else { 2 };
    format!("{value:+.digits$}").replace('-', "−")
}

impl Table {
    /// An empty table.
    pub fn new(title: &str, columns: &[&str]) -> Self {
        Self { title: title.into(), columns: columns.iter().map(|&c| c.into()).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl Figure {
    /// A figure, as a file of its own.
    pub fn new(id: &str, caption: impl Into<String>, svg: &Svg) -> Self {
        Self { id: id.into(), caption: caption.into(), svg: svg.standalone() }
    }
}
