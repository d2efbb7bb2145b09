//! CSV and Parquet files as columns of text.

use std::path::Path;

use polars::prelude::*;

use crate::{Error, Result};

/// A table whose cells are read as text.
pub(crate) struct TextTable {
    frame: DataFrame,
    path: std::path::PathBuf,
}

impl TextTable {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Ok(Self { frame: read_frame(path)?, path: path.into() })
    }

    pub(crate) fn has(&self, column: &str) -> bool {
        self.frame.schema().contains(column)
    }

    pub(crate) fn height(&self) -> usize {
        self.frame.height()
    }

    pub(crate) fn columns(&self) -> Vec<String> {
        self.frame.get_column_names().into_iter().map(ToString::to_string).collect()
    }

    /// One column; an empty cell is the empty text.
    pub(crate) fn column(&self, name: &str) -> Result<Vec<String>> {
        let fail = |source| Error::Table { path: self.path.clone(), source };
        let text = self.frame.column(name).map_err(fail)?.cast(&DataType::String).map_err(fail)?;
        let values = text.str().map_err(fail)?;
        Ok(values.iter().map(|value| value.unwrap_or_default().to_owned()).collect())
    }

    /// One column, where there is one.
    pub(crate) fn optional(&self, name: &str) -> Result<Option<Vec<String>>> {
        if self.has(name) { self.column(name).map(Some) } else { Ok(None) }
    }

    pub(crate) fn columns_error(&self, expected: &'static str) -> Error {
        Error::Columns { path: self.path.clone(), expected, received: self.columns() }
    }
}

/// Reads `.csv` (every column as text) or `.parquet`.
fn read_frame(path: &Path) -> Result<DataFrame> {
    let fail = |source| Error::Table { path: path.into(), source };
    // Opened first, so that a missing file has the same error whatever its kind.
    let file = fs_err::File::open(path)?.into_parts().0;
    match extension(path) {
        "csv" => CsvReadOptions::default()
            .with_has_header(true)
            .with_infer_schema_length(Some(0))
            .into_reader_with_file_handle(file)
            .finish()
            .map_err(fail),
        "parquet" => ParquetReader::new(file).finish().map_err(fail),
        _ => Err(Error::Extension { path: path.into(), expected: ".csv or .parquet" }),
    }
}

/// Writes `.csv` or `.parquet`, whole or not at all.
pub(crate) fn write_frame(path: &Path, frame: &mut DataFrame) -> Result<()> {
    let mut bytes = Vec::new();
    let written = match extension(path) {
        "csv" => CsvWriter::new(&mut bytes).finish(frame),
        "parquet" => ParquetWriter::new(&mut bytes).finish(frame).map(drop),
        _ => return Err(Error::Extension { path: path.into(), expected: ".csv or .parquet" }),
    };
    written.map_err(|source| Error::Table { path: path.into(), source })?;
    Ok(crate::write_file(path, bytes)?)
}

/// The ending of a file name, in lower case as written; empty where there is none.
pub(crate) fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}
