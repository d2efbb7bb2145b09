//! Reads Parquet files as rows of text: only the requested columns, whatever the types of the others.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use half::f16;
use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};
use ragbias_core::guarded;

use crate::csv::Cell;
use crate::findings::{Findings, Place};
use crate::open::{first_bytes, refuse};
use crate::parquet_pages::open_column;
use crate::source::parquet_files;
use crate::{Error, Result};

/// Number of rows held in memory at a time.
const BATCH: usize = 1024;

/// A Parquet file, or a folder of them with the same columns.
pub(crate) struct ParquetTable {
    files: Vec<Part>,
}

struct Part {
    path: PathBuf,
    file: Arc<File>,
    metadata: ParquetMetaData,
}

impl Part {
    fn open(path: PathBuf) -> Result<Self> {
        refuse(&path, &first_bytes(&path)?)?;
        let file = Arc::new(fs_err::File::open(&path)?.into_parts().0);
        let metadata = sound(|| ParquetMetaDataReader::new().parse_and_finish(file.as_ref()));
        let metadata = metadata.map_err(|error| damaged(&path, &error))?;
        Ok(Self { path, file, metadata })
    }

    fn schema(&self) -> &SchemaDescriptor {
        self.metadata.file_metadata().schema_descr()
    }

    /// The names of all columns.
    fn names(&self) -> Vec<String> {
        self.schema().columns().iter().map(|column| column.path().parts().join(".")).collect()
    }
}

/// How the values of a column are converted to text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    Signed,
    Unsigned,
    Float,
    Half,
    Text,
    Decimal { scale: usize },
}

impl ParquetTable {
    /// Opens a file, or every Parquet file of a folder in name order.
    ///
    /// # Errors
    /// A file that is not Parquet, with its name; a folder whose files have other columns than the first.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let paths = if path.is_dir() { parquet_files(path)? } else { vec![path.into()] };
        let mut files: Vec<Part> = Vec::new();
        for path in paths {
            let part = Part::open(path)?;
            if let Some(first) = files.first() {
                let (expected, received) = (first.names(), part.names());
                if expected != received {
                    let first = first.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    let reason = format!(
                        "expected the columns of {first} ({}), received {}",
                        expected.join(", "),
                        received.join(", ")
                    );
                    return Err(Error::File { path: part.path, reason });
                }
            }
            files.push(part);
        }
        if files.is_empty() {
            return Err(Error::File { path: path.into(), reason: "a folder without .parquet files".into() });
        }
        Ok(Self { files })
    }

    /// The names of all columns; those within a struct are prefixed with its name and a dot.
    pub(crate) fn names(&self) -> Vec<String> {
        self.files.first().map(Part::names).unwrap_or_default()
    }

    /// Calls `each` with the cells of every row in the columns of these names.
    ///
    /// # Errors
    /// Columns whose type is not text, a number or a Boolean, damaged files, and errors of `each`.
    pub(crate) fn each_row(
        &self,
        columns: &[usize],
        findings: &mut Findings,
        mut each: impl FnMut(Place, Vec<Cell>, &mut Findings) -> Result<()>,
    ) -> Result<()> {
        let mut before = 0;
        for part @ Part { path, file, metadata } in &self.files {
            let kinds = columns.iter().map(|&column| kind(&part.schema().column(column)));
            let kinds = kinds.collect::<Result<Vec<_>, String>>();
            let kinds = kinds.map_err(|reason| Error::File { path: path.clone(), reason })?;
            for group in metadata.row_groups() {
                let rows = usize::try_from(group.num_rows()).unwrap_or_default();
                let open = |&column| {
                    let metadata = group.column(column);
                    Ok((open_column(file, metadata, rows)?, metadata.column_descr_ptr()))
                };
                let readers = sound(|| columns.iter().map(open).collect());
                let mut readers: Vec<_> = readers.map_err(|error| damaged(path, &error))?;
                let mut done = 0;
                while done < rows {
                    let n = (rows - done).min(BATCH);
                    let mut batch = Vec::with_capacity(columns.len());
                    for ((reader, descriptor), kind) in readers.iter_mut().zip(&kinds) {
                        let cells = sound(|| cells(reader, descriptor, *kind, n));
                        batch.push(cells.map_err(|error| damaged(path, &error))?.into_iter());
                    }
                    for row in 0..n {
                        let place = Place::Row(before + done + row + 1);
                        let cells = batch
                            .iter_mut()
                            .map(|column| column.next().unwrap_or_else(|| Ok(Cell::default())));
                        match cells.collect::<Result<Vec<Cell>, String>>() {
                            Ok(cells) => each(place, cells, findings)?,
                            Err(reason) => findings.wrong(place, reason)?,
                        }
                    }
                    done += n;
                }
                before += rows;
            }
        }
        Ok(())
    }
}

fn damaged(path: &Path, error: &ParquetError) -> Error {
    let reason = format!("damaged, or not whole: {error}");
    Error::File { path: path.into(), reason }
}

/// Runs a call of the library and turns its panics into errors.
fn sound<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    guarded(work).unwrap_or_else(|panic| Err(ParquetError::General(panic)))
}

/// How a column is converted to text, or why it cannot be.
fn kind(column: &ColumnDescriptor) -> Result<Kind, String> {
    let name = column.path().parts().join(".");
    if column.max_rep_level() > 0 {
        return Err(format!("the column `{name}` holds lists, expected one value a row"));
    }
    let logical = column.logical_type_ref();
    let decimal =
        matches!(logical, Some(LogicalType::Decimal(_))) || column.converted_type() == ConvertedType::DECIMAL;
    let refused = || {
        let logical =
            logical.map_or_else(|| format!("{}", column.converted_type()), |logical| format!("{logical:?}"));
        Err(format!(
            "the column `{name}` is of type {} ({logical}), expected text, numbers or Booleans",
            column.physical_type()
        ))
    };
    if decimal {
        return match usize::try_from(column.type_scale()) {
            Ok(scale) if scale <= 38 && column.type_length() <= 16 => Ok(Kind::Decimal { scale }),
            _ => refused(),
        };
    }
    let unsigned = match logical {
        Some(LogicalType::Integer(kind)) => !kind.is_signed,
        None => matches!(
            column.converted_type(),
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64
        ),
        _ => false,
    };
    let plain = matches!(logical, None | Some(LogicalType::Integer(_) | LogicalType::Unknown))
        && !matches!(
            column.converted_type(),
            ConvertedType::DATE
                | ConvertedType::TIME_MILLIS
                | ConvertedType::TIME_MICROS
                | ConvertedType::TIMESTAMP_MILLIS
                | ConvertedType::TIMESTAMP_MICROS
        );
    match column.physical_type() {
        Type::BOOLEAN => Ok(Kind::Boolean),
        Type::INT32 | Type::INT64 if plain => Ok(if unsigned { Kind::Unsigned } else { Kind::Signed }),
        Type::FLOAT | Type::DOUBLE => Ok(Kind::Float),
        Type::FIXED_LEN_BYTE_ARRAY if matches!(logical, Some(LogicalType::Float16)) => Ok(Kind::Half),
        Type::BYTE_ARRAY if column.converted_type() != ConvertedType::BSON => match logical {
            None | Some(LogicalType::String | LogicalType::Enum | LogicalType::Json) => Ok(Kind::Text),
            Some(_) => refused(),
        },
        _ => refused(),
    }
}

/// A cell, or why it cannot be read.
type MaybeCell = Result<Cell, String>;

/// The next `n` cells of a column.
fn cells(
    reader: &mut ColumnReader,
    column: &ColumnDescriptor,
    kind: Kind,
    n: usize,
) -> Result<Vec<MaybeCell>, ParquetError> {
    use ColumnReader as R;
    match (reader, kind) {
        (R::BoolColumnReader(reader), _) => next(reader, column, n, |value| Ok(value.to_string())),
        (R::Int32ColumnReader(reader), Kind::Unsigned) => {
            next(reader, column, n, |v| Ok(v.cast_unsigned().to_string()))
        }
        (R::Int64ColumnReader(reader), Kind::Unsigned) => {
            next(reader, column, n, |v| Ok(v.cast_unsigned().to_string()))
        }
        (R::Int32ColumnReader(reader), Kind::Decimal { scale }) => {
            next(reader, column, n, |value| Ok(decimal(i128::from(*value), scale)))
        }
        (R::Int64ColumnReader(reader), Kind::Decimal { scale }) => {
            next(reader, column, n, |value| Ok(decimal(i128::from(*value), scale)))
        }
        (R::Int32ColumnReader(reader), _) => next(reader, column, n, |value| Ok(value.to_string())),
        (R::Int64ColumnReader(reader), _) => next(reader, column, n, |value| Ok(value.to_string())),
        // With the fewest digits that identify it: 0.1 in single precision is 0.1.
        (R::FloatColumnReader(reader), _) => next(reader, column, n, |value| Ok(value.to_string())),
        (R::DoubleColumnReader(reader), _) => next(reader, column, n, |value| Ok(value.to_string())),
        (R::ByteArrayColumnReader(reader), Kind::Decimal { scale }) => {
            next(reader, column, n, |value| big_endian(value.data()).map(|value| decimal(value, scale)))
        }
        (R::FixedLenByteArrayColumnReader(reader), Kind::Decimal { scale }) => {
            next(reader, column, n, |value| big_endian(value.data()).map(|value| decimal(value, scale)))
        }
        (R::FixedLenByteArrayColumnReader(reader), Kind::Half) => {
            next(reader, column, n, |value| match value.data() {
                [low, high] => Ok(f16::from_le_bytes([*low, *high]).to_string()),
                other => Err(format!("a number of 16 bits in {} bytes", other.len())),
            })
        }
        (R::ByteArrayColumnReader(reader), _) => next(reader, column, n, text),
        (R::FixedLenByteArrayColumnReader(_) | R::Int96ColumnReader(_), _) => {
            Err(ParquetError::General(format!("the column `{}` changes its type", column.name())))
        }
    }
}

fn text(value: &ByteArray) -> Result<String, String> {
    let text = str::from_utf8(value.data()).map_err(|error| {
        let byte = value.data().get(error.valid_up_to()).copied().unwrap_or_default();
        format!("byte 0x{byte:02X} is no UTF-8\nhint: write the column as text")
    })?;
    Ok(text.into())
}

fn next<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    column: &ColumnDescriptor,
    n: usize,
    text: impl Fn(&T::T) -> Result<String, String>,
) -> Result<Vec<MaybeCell>, ParquetError> {
    let (mut levels, mut values, mut records) = (Vec::new(), Vec::new(), 0);
    while records < n {
        let (read, ..) = reader.read_records(n - records, Some(&mut levels), None, &mut values)?;
        if read == 0 {
            let reason = format!("the column `{}` has fewer rows than the file says", column.name());
            return Err(ParquetError::General(reason));
        }
        records += read;
    }
    let mut values = values.iter();
    let there = |row: usize| column.max_def_level() == 0 || levels.get(row) == Some(&column.max_def_level());
    let cell = |row| match there(row).then(|| values.next()).flatten() {
        Some(value) => Ok(Cell { text: text(value)?, commas: true }),
        None => Ok(Cell::default()),
    };
    Ok((0..n).map(cell).collect())
}

/// The digits of a decimal number: 125 at scale 2 is `1.25`.
fn decimal(unscaled: i128, scale: usize) -> String {
    let (sign, digits) = (if unscaled < 0 { "-" } else { "" }, unscaled.unsigned_abs().to_string());
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn big_endian(bytes: &[u8]) -> Result<i128, String> {
    if bytes.len() > 16 {
        return Err(format!("a decimal number of {} bytes, expected at most 16", bytes.len()));
    }
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = if negative { [0xff; 16] } else { [0; 16] };
    wide[16 - bytes.len()..].copy_from_slice(bytes);
    Ok(i128::from_be_bytes(wide))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use polars::prelude::Column;

    use crate::columns::write_columns;

    // scripts/reference/parquet_kinds.py
    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
    }

    /// The cells of one column.
    fn column(path: &Path, name: &str) -> Result<Vec<String>> {
        let table = ParquetTable::open(path)?;
        let position = table.names().iter().position(|own| own == name).unwrap();
        let mut cells = Vec::new();
        table.each_row(&[position], &mut Findings::reading(path), |_, row, _| {
            cells.push(row[0].text.clone());
            Ok(())
        })?;
        Ok(cells)
    }

    #[test]
    fn columns_of_every_type_that_is_text_or_a_number_are_read_as_text() {
        let kinds = fixture("kinds.parquet");
        let text = ["She left.", "", "Zoë 王"];
        let tens = ["-0.6", "", "12.5"];
        let small = ["-1", "", "1"];
        for (name, expected) in [
            ("string", text),
            ("large", text),
            ("view", text),
            ("binary", text),
            ("dictionary", text),
            ("wide_dictionary", text),
            ("required", ["a", "b", "c"]),
            ("int8", small),
            ("int16", small),
            ("int32", small),
            ("int64", small),
            ("uint8", ["255", "", "1"]),
            ("uint32", ["4294967295", "", "1"]),
            ("uint64", ["18446744073709551615", "", "1"]),
            ("float16", ["-0.5", "", "1"]),
            ("float32", ["-0.6", "", "1"]),
            ("float64", ["-0.6", "", "0.0000001"]),
            ("decimal32", tens),
            ("decimal128", ["-0.60", "", "12.50"]),
            ("boolean", ["true", "", "false"]),
            ("null", ["", "", ""]),
            ("struct.lean", ["1", "", ""]),
        ] {
            assert_eq!(column(&kinds, name).unwrap(), expected, "{name}");
        }
        let pages = fixture("pages.parquet");
        assert_eq!(column(&pages, "text").unwrap(), ["x", "xy", "xyz"]);
        assert_eq!(column(&pages, "lean").unwrap(), ["1", "-1", ""]);
    }

    #[test]
    fn a_column_of_another_type_is_refused_by_name_where_it_is_asked_for() {
        let kinds = fixture("kinds.parquet");
        for name in ["timestamp", "date", "time", "uuid", "decimal256"] {
            let error = column(&kinds, name).unwrap_err().to_string();
            assert!(error.contains(&format!("the column `{name}` is of type")), "{error}");
        }
        for name in ["list.list.element", "map.key_value.key"] {
            let error = column(&kinds, name).unwrap_err().to_string();
            assert!(error.ends_with("holds lists, expected one value a row"), "{error}");
        }
    }

    #[test]
    fn a_folder_is_read_in_the_order_of_names_and_its_files_must_be_alike() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, column: &str, cells: &[&str]| {
            let cells: Vec<String> = cells.iter().map(|cell| (*cell).into()).collect();
            write_columns(&folder.path().join(name), &[Column::new(column.into(), cells)]).unwrap();
        };
        write("part-1.parquet", "text", &["c"]);
        write("part-0.parquet", "text", &["a", "b"]);
        write("_metadata.parquet", "other", &["x"]);
        assert_eq!(column(folder.path(), "text").unwrap(), ["a", "b", "c"]);
        write("part-2.parquet", "Text", &["d"]);
        let error = column(folder.path(), "text").unwrap_err().to_string();
        assert!(
            error.contains("part-2.parquet: expected the columns of part-0.parquet (text), received Text"),
            "{error}"
        );
    }

    #[test]
    fn decimal_numbers_keep_their_digits() {
        for (unscaled, scale, text) in
            [(125, 2, "1.25"), (-6, 1, "-0.6"), (5, 2, "0.05"), (7, 0, "7"), (0, 1, "0.0")]
        {
            assert_eq!(decimal(unscaled, scale), text);
        }
        assert_eq!(big_endian(&[0xff, 0xfa]).unwrap(), -6);
        assert_eq!(big_endian(&[0x00, 0x80]).unwrap(), 128);
        assert_eq!(big_endian(&[]).unwrap(), 0);
    }

    proptest! {
        #[test]
        fn text_that_is_written_is_read_as_it_was(cells in prop::collection::vec(prop::option::of(".{0,9}"), 1..2500)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("t.parquet");
            write_columns(&path, &[Column::new("text".into(), cells.clone())]).unwrap();
            let expected: Vec<String> = cells.into_iter().map(Option::unwrap_or_default).collect();
            prop_assert_eq!(column(&path, "text").unwrap(), expected);
        }

        #[test]
        fn a_file_with_a_byte_changed_or_cut_is_read_or_refused(
            at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()
        ) {
            let folder = tempfile::tempdir().unwrap();
            for name in ["kinds.parquet", "pages.parquet"] {
                let mut bytes = fs_err::read(fixture(name)).unwrap();
                let at = at.index(bytes.len());
                if cut { bytes.truncate(at) } else { bytes[at] ^= byte }
                let path = folder.path().join(name);
                fs_err::write(&path, bytes).unwrap();
                let Ok(table) = ParquetTable::open(&path) else { continue };
                for column in 0..table.names().len() {
                    let _ = table.each_row(&[column], &mut Findings::reading(&path), |_, _, _| Ok(()));
                }
            }
        }
    }
}
