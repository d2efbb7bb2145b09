//! Reads tables of any kind as rows of text: only the requested columns.

use std::path::{Path, PathBuf};

use crate::csv::{Cell, Records, most_frequent};
use crate::findings::{Findings, Place};
use crate::lines::Lines;
use crate::names::{Likeness, column_name, likeness};
use crate::parquet_read::ParquetTable;
use crate::source::{EXPECTED, Format, format};
use crate::text::shown;
use crate::{Error, Result};

/// A table read as text, row by row.
pub(crate) struct Table {
    path: PathBuf,
    names: Vec<String>,
    kind: Kind,
}

enum Kind {
    /// Reopened for every pass.
    Separated,
    Parquet(ParquetTable),
}

impl Table {
    /// Opens a table and reads the names of its columns.
    ///
    /// # Errors
    /// A file that is not a table, with its name; a duplicate column.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (names, kind) = match format(path)? {
            Format::Parquet => {
                let table = ParquetTable::open(path)?;
                (table.names(), Kind::Parquet(table))
            }
            Format::Separated => {
                let first =
                    Lines::open(path)?.next()?.map(|line| line.text.trim().to_owned()).unwrap_or_default();
                if first.starts_with("{\"") || first.starts_with("[{") {
                    let reason = "these are objects of JSON, expected cells\nhint: a file of an object per line ends in .jsonl";
                    return Err(wrong(path, reason));
                }
                let header = records(path)?.next()?;
                let Some(header) = header else {
                    return Err(wrong(path, "the file has no line of column names"));
                };
                (header.cells.into_iter().map(|cell| cell.text).collect(), Kind::Separated)
            }
            Format::JsonLines => return Err(Error::Extension { path: path.into(), expected: EXPECTED }),
        };
        Ok(Self { path: path.into(), names, kind })
    }

    /// Whether there is such a column, ignoring case and surrounding spaces. A list or a struct
    /// of that name counts, and is refused when it is read.
    pub(crate) fn has(&self, name: &str) -> bool {
        !matches!(self.position(name), Ok(None))
    }

    fn position(&self, name: &str) -> Result<Option<usize>> {
        let those = |test: &dyn Fn(&str) -> bool| -> Vec<usize> {
            (0..self.names.len()).filter(|&column| test(&self.names[column])).collect()
        };
        match those(&|own| column_name(own) == name).as_slice() {
            [] if matches!(self.kind, Kind::Parquet(_)) => {
                Ok(those(&|own| own.split_once('.').is_some_and(|(of, _)| of == name)).first().copied())
            }
            [] => Ok(None),
            [only] => Ok(Some(*only)),
            [first, second, ..] => {
                let (first, second) = (first + 1, second + 1);
                Err(wrong(
                    &self.path,
                    format!("the column `{name}` is there twice, as number {first} and {second}"),
                ))
            }
        }
    }

    /// The names of all columns as written, with control characters escaped.
    pub(crate) fn columns(&self) -> Vec<String> {
        self.names.iter().map(|name| shown(name).to_string()).collect()
    }

    pub(crate) fn columns_error(&self, expected: impl Into<String>) -> Error {
        Error::Columns { path: self.path.clone(), expected: expected.into(), received: self.columns() }
    }

    /// Calls `each` with the position of every row and its cells in the named columns, in the order of the names; the cells of a
    /// missing column are blank.
    ///
    /// # Errors
    /// Problems of a row or a column, as the findings decide, and errors of `each`.
    pub(crate) fn each_row<const N: usize>(
        &self,
        names: [&str; N],
        findings: &mut Findings,
        mut each: impl FnMut(Place, [Cell; N], &mut Findings) -> Result<()>,
    ) -> Result<()> {
        self.each_row_of(&names, findings, |place, cells, findings| {
            let mut cells = cells.into_iter();
            each(place, std::array::from_fn(|_| cells.next().unwrap_or_default()), findings)
        })
    }

    /// The same for any number of names.
    ///
    /// # Errors
    /// Those of [`Table::each_row`].
    pub(crate) fn each_row_of(
        &self,
        names: &[&str],
        findings: &mut Findings,
        mut each: impl FnMut(Place, Vec<Cell>, &mut Findings) -> Result<()>,
    ) -> Result<()> {
        let places = names.iter().map(|name| self.position(name)).collect::<Result<Vec<_>>>()?;
        match &self.kind {
            Kind::Parquet(table) => {
                let columns: Vec<usize> = places.iter().copied().flatten().collect();
                table.each_row(&columns, findings, |place, cells, findings| {
                    let mut cells = cells.into_iter();
                    let cells =
                        places.iter().map(|column| column.and_then(|_| cells.next()).unwrap_or_default());
                    each(place, cells.collect(), findings)
                })
            }
            Kind::Separated => {
                let mut records = records(&self.path)?;
                records.next()?;
                while let Some(mut record) = records.next()? {
                    let (place, expected, received) =
                        (Place::Line(record.line), self.names.len(), record.cells.len());
                    if received == expected {
                        let mut take = |column: usize| std::mem::take(&mut record.cells[column]);
                        let cells = places.iter().map(|column| column.map(&mut take).unwrap_or_default());
                        each(place, cells.collect(), findings)?;
                    } else {
                        findings.wrong(
                            place,
                            format!("expected {expected} cells, as the first line has, received {received}"),
                        )?;
                    }
                }
                records.lines().say(findings);
                Ok(())
            }
        }
    }

    /// Reports which columns are not read, and which of them may be misspellings of `known`, the optional columns.
    pub(crate) fn check_names(&self, known: &[&str], findings: &mut Findings) {
        for name in &self.names {
            let of = |known: &&&str| column_name(name) == **known || name.split('.').next() == Some(**known);
            if name.trim().is_empty() || known.iter().any(|known| of(&known)) {
                continue;
            }
            let close =
                known.iter().find(|known| !self.has(known) && likeness(name, known) != Likeness::None);
            match close {
                Some(close) => findings
                    .note_of_file(format!("the column `{}` is not read; is it `{close}`?", shown(name))),
                None => findings.unread(&shown(name).to_string()),
            }
        }
    }
}

fn records(path: &Path) -> Result<Records<'static>> {
    Records::new(Lines::open(path)?, most_frequent)
}

fn wrong(path: &Path, reason: impl Into<String>) -> Error {
    Error::File { path: path.into(), reason: reason.into() }
}
