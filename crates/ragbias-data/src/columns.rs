//! Writes tables, columns of equal length, as CSV and Parquet.

use std::path::Path;

use polars::prelude::*;

use crate::source::extension;
use crate::{Error, Result};

/// Writes columns of equal length as `.csv` or `.parquet`, atomically.
///
/// # Errors
/// Another extension, columns of different lengths, or failures of the file system.
pub(crate) fn write_columns(path: &Path, columns: &[Column]) -> Result<()> {
    let failed = |source| Error::Table { path: path.into(), source };
    let height = columns.first().map_or(0, Column::len);
    let mut frame = DataFrame::new(height, columns.to_vec()).map_err(failed)?;
    let mut bytes = Vec::new();
    match extension(path).as_str() {
        "csv" => CsvWriter::new(&mut bytes).finish(&mut frame),
        "parquet" => ParquetWriter::new(&mut bytes).finish(&mut frame).map(drop),
        _ => return Err(Error::Extension { path: path.into(), expected: ".csv or .parquet" }),
    }
    .map_err(failed)?;
    Ok(crate::write_file(path, bytes)?)
}
