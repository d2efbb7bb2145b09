//! Models in several files: `NAME-00001-of-00003.gguf`, …

use std::path::{Path, PathBuf};

use super::header::Header;
use super::value::Value;
use crate::{Error, Result};

/// The position of a file among the parts of its model.
pub(crate) struct Place {
    /// From 0.
    pub(crate) number: usize,
    pub(crate) count: usize,
}

impl Place {
    /// As stated in the file; by default, the first of one.
    pub(crate) fn of(path: &Path, header: &Header) -> Result<Self> {
        let integer = |key: &str, default| {
            let Some(entry) = header.entries.get(key) else { return Ok(default) };
            let number =
                if let Value::Integer(number) = entry.value { u16::try_from(number).ok() } else { None };
            number
                .map(usize::from)
                .ok_or_else(|| refused(path, key, "it is not a number of parts".into(), MERGE.into()))
        };
        let count = integer("split.count", 1)?;
        let number = integer("split.no", 0)?;
        if count <= number && count > 0 {
            let reason = format!("it is {number}, expected less than `split.count`, {count}");
            return Err(refused(path, "split.no", reason, MERGE.into()));
        }
        Ok(Self { number, count: count.max(1) })
    }
}

const MERGE: &str = "merge the parts into one file: `llama-gguf-split --merge FIRST_PART MERGED.gguf`";

/// The paths of all parts, of which this is the first.
pub(crate) fn siblings(path: &Path, place: &Place) -> Result<Vec<PathBuf>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Place { number, count } = *place;
    let end = format!("-{:05}-of-{count:05}.gguf", number + 1);
    let Some(stem) = name.strip_suffix(&end) else {
        let reason = format!("this is part {} of {count}, and its name does not end in `{end}`", number + 1);
        return Err(refused(
            path,
            "split.count",
            reason,
            format!("give the parts the names that they were published with, or {MERGE}"),
        ));
    };
    let path_of = |part: usize| path.with_file_name(format!("{stem}-{part:05}-of-{count:05}.gguf"));
    if number > 0 {
        let hint = format!("give the first part, {}: the others are found beside it", path_of(1).display());
        return Err(refused(path, "split.no", format!("this is part {} of {count}", number + 1), hint));
    }
    let paths: Vec<PathBuf> = (1..=count).map(path_of).collect();
    if let Some(missing) = paths.iter().find(|path| !path.exists()) {
        let name = missing.file_name().unwrap_or_default().to_string_lossy();
        return Err(refused(
            path,
            "split.count",
            format!("this is part 1 of {count}, and {name} is not beside it"),
            format!("download all parts into one folder, or {MERGE}"),
        ));
    }
    Ok(paths)
}

/// Checks that a later part belongs to the first: its number, and no metadata of its own.
pub(crate) fn check_part(
    first: (&Header, &[u8]),
    part: (&Path, &Header, &[u8]),
    expected: &Place,
) -> Result<()> {
    let (path, header, bytes) = part;
    let place = Place::of(path, header)?;
    if (place.number, place.count) != (expected.number, expected.count) {
        let reason = format!(
            "the file says that it is part {} of {}, expected {} of {}",
            place.number + 1,
            place.count,
            expected.number + 1,
            expected.count
        );
        return Err(refused(path, "split.no", reason, "download the parts again, all of one model".into()));
    }
    let (first, first_bytes) = first;
    for (key, entry) in &header.entries {
        if key.starts_with("split.") || key.starts_with("general.") {
            continue;
        }
        let same = first
            .entries
            .get(key)
            .is_some_and(|one| first_bytes[one.raw.clone()] == bytes[entry.raw.clone()]);
        if !same {
            let reason = "the first part says otherwise, or nothing".to_owned();
            return Err(refused(path, key, reason, "download the parts again, all of one model".into()));
        }
    }
    Ok(())
}

/// Checks that all parts together have the number of tensors stated in the first.
pub(crate) fn check_count(path: &Path, first: &Header, received: usize) -> Result<()> {
    match first.entries.get("split.tensors.count").map(|entry| &entry.value) {
        Some(&Value::Integer(expected)) if expected != received as i128 => {
            let reason = format!("the parts have {received} tensors, expected {expected}");
            let hint = "download the parts again, all of one model".to_owned();
            Err(refused(path, "split.tensors.count", reason, hint))
        }
        _ => Ok(()),
    }
}

fn refused(path: &Path, key: &str, reason: String, hint: String) -> Error {
    Error::Unsupported { path: path.into(), place: format!("`{key}`"), reason, hint }
}
