//! Lines of tables in files.

use std::path::{Path, PathBuf};

use ragbias_data::{read_measurements, read_outcomes};

use super::{FitConfig, Fits, fit};
use crate::run::{Manifest, RunFolder};
use crate::{Error, Result};

/// Fits the lines of a measurement table, `.csv` or `.parquet`, or of the table in a run folder.
///
/// Intervals come from the outcomes in the given file, else from `outcomes.parquet` beside a `measurements.*`; without
/// either they come from drawing embedders only. See [`fit`].
///
/// # Errors
/// Malformed tables, with their line; settings out of range; a table to which no line can be fitted, with the reason.
pub fn fit_files(measurements: &Path, outcomes: Option<&Path>, config: &FitConfig) -> Result<Fits> {
    let table: PathBuf = if measurements.is_dir() {
        RunFolder::open(measurements)?;
        measurements.join("measurements.parquet")
    } else {
        measurements.into()
    };
    check_file_of_run(&table)?;
    let rows = read_measurements(&table)?;
    let beside = || -> Option<PathBuf> {
        let file = table.with_file_name("outcomes.parquet");
        (table.file_stem()? == "measurements" && file.is_file()).then_some(file)
    };
    let outcomes = match outcomes.map(Path::to_owned).or_else(beside) {
        Some(file) => {
            check_file_of_run(&file)?;
            read_outcomes(&file)?
        }
        None => Vec::new(),
    };
    let fits = fit(&rows, &outcomes, config)?;
    if fits.fits.is_empty() {
        let reasons: Vec<_> =
            fits.left_out.iter().map(|left| format!("{}: {}", left.of, left.reason)).collect();
        let reason = if reasons.is_empty() { "no row has a rag_bias".to_owned() } else { reasons.join("\n") };
        return Err(Error::NothingFitted { path: table, reason });
    }
    Ok(fits)
}

/// Refuses a table in a run folder that differs from what the run wrote there.
fn check_file_of_run(table: &Path) -> Result<()> {
    let name = table.file_name().unwrap_or_default().to_string_lossy();
    match Manifest::beside(table)? {
        Some(manifest) if manifest.files.contains_key(name.as_ref()) => {
            manifest.check(table.parent().unwrap_or(Path::new("")), &name)
        }
        _ => Ok(()),
    }
}
