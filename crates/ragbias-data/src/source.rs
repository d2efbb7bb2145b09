//! Resolves a path to a file and its format.

use std::path::{Path, PathBuf};

use crate::open::{PARQUET, first_bytes, refuse};
use crate::{Error, Result};

/// The format of a file's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A JSON object per line.
    JsonLines,
    /// Cells with separators.
    Separated,
    /// Parquet: a file, or a folder of files with the same columns.
    Parquet,
}

/// The extensions of each format, in lower case; text formats may add `.gz` or `.zst`.
const ENDINGS: [(&str, Format); 8] = [
    ("jsonl", Format::JsonLines),
    ("ndjson", Format::JsonLines),
    ("json", Format::JsonLines),
    ("csv", Format::Separated),
    ("tsv", Format::Separated),
    ("txt", Format::Separated),
    ("parquet", Format::Parquet),
    ("pq", Format::Parquet),
];

/// The message for any other extension.
pub(crate) const EXPECTED: &str = ".jsonl, .csv, .tsv (.gz, .zst) or .parquet";

/// The format of a file, by its first bytes if they identify it, else by its extension, ignoring case.
pub(crate) fn format(path: &Path) -> Result<Format> {
    if path.is_dir() {
        return Ok(Format::Parquet);
    }
    let head = first_bytes(path)?;
    if head.starts_with(PARQUET) {
        return Ok(Format::Parquet);
    }
    match by_ending(path) {
        Some(Format::Parquet) => {
            refuse(path, &head)?;
            let reason = "no Parquet file: it does not begin with the letters PAR1\nhint: a download may have been cut";
            Err(Error::File { path: path.into(), reason: reason.into() })
        }
        Some(format) => Ok(format),
        None => {
            refuse(path, &head)?;
            Err(Error::Extension { path: path.into(), expected: EXPECTED })
        }
    }
}

fn by_ending(path: &Path) -> Option<Format> {
    let ending = extension(path);
    ENDINGS.iter().find(|(known, _)| *known == ending).map(|(_, format)| *format)
}

/// The extension of a file in lower case, without that of its compression; empty if there is none.
pub(crate) fn extension(path: &Path) -> String {
    let ending = |path: &Path| path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match ending(path) {
        Some(packed) if ["gz", "gzip", "zst", "zstd"].contains(&packed.as_str()) => {
            path.file_stem().and_then(|stem| ending(Path::new(stem))).unwrap_or_default()
        }
        other => other.unwrap_or_default(),
    }
}

/// The file that a path refers to: itself, or, in a folder, the file of one of these names with any known extension, or the
/// folder of Parquet files that it is or contains under such a name.
pub(crate) fn file_of(path: &Path, names: &[&str]) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.into());
    }
    for name in names {
        // If there are several, uncompressed files come before compressed ones.
        for ending in [
            "jsonl",
            "jsonl.gz",
            "jsonl.zst",
            "ndjson",
            "json",
            "csv",
            "csv.gz",
            "csv.zst",
            "tsv",
            "tsv.gz",
            "parquet",
        ] {
            let file = path.join(format!("{name}.{ending}"));
            if file.is_file() {
                return Ok(file);
            }
        }
        let inner = path.join(name);
        if inner.is_dir() && !parquet_files(&inner)?.is_empty() {
            return Ok(inner);
        }
    }
    if parquet_files(path)?.is_empty() {
        let reason =
            format!("a folder without {}.jsonl, and without .parquet files", names.join(".jsonl or "));
        return Err(Error::File { path: path.into(), reason });
    }
    Ok(path.into())
}

/// The Parquet files of a folder, in name order; names that begin with `.` or `_` belong to programs.
pub(crate) fn parquet_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']));
        if !hidden && path.is_file() && by_ending(&path) == Some(Format::Parquet) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
