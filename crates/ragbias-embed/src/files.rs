//! Reads the small files of a checkpoint, with errors that name them.

use std::io::Read;
use std::path::Path;

use ragbias_files::MappedFile;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// The beginning of a git-lfs pointer.
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1";

/// Maximum size of a JSON file of a checkpoint: those of the largest vocabularies have 20 MB.
const MOST_TEXT: u64 = 1 << 29;

/// Refuses empty files and git-lfs pointers.
fn check(path: &Path, start: &[u8]) -> Result<()> {
    if start.is_empty() {
        return Err(Error::EmptyFile { path: path.into() });
    }
    if start.starts_with(POINTER) {
        return Err(Error::Pointer { path: path.into() });
    }
    Ok(())
}

/// The bytes of a file that is read as a whole.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs_err::File::open(path)?.take(MOST_TEXT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_TEXT {
        let expected = format!("at most {MOST_TEXT} bytes");
        return Err(Error::unsupported(path, "the size of the file", expected, "larger"));
    }
    check(path, &bytes)?;
    Ok(bytes)
}

/// A file in memory.
pub(crate) fn map(path: &Path) -> Result<MappedFile> {
    if fs_err::metadata(path)?.len() == 0 {
        return Err(Error::EmptyFile { path: path.into() });
    }
    let map = MappedFile::open(path)?;
    check(path, &map)?;
    Ok(map)
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    parse_json(path, &read(path)?)
}

pub(crate) fn parse_json<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|reason| Error::Json { path: path.into(), reason })
}

pub(crate) fn read_optional_json<T: DeserializeOwned + Default>(path: &Path) -> Result<T> {
    if path.is_file() { read_json(path) } else { Ok(T::default()) }
}

/// A JSON object by key.
pub(crate) type Object = serde_json::Map<String, serde_json::Value>;

/// A key of an object, converted to its type; `None` if it is missing or null.
pub(crate) fn get<T: DeserializeOwned>(path: &Path, object: &Object, key: &'static str) -> Result<Option<T>> {
    match object.get(key) {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(value) => match serde_json::from_value(value.clone()) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(Error::unsupported(path, key, error.to_string(), value.to_string())),
        },
    }
}

/// Refuses any other keys, because their effect is unknown.
pub(crate) fn refuse_unknown(path: &Path, object: &Object, known: &[&str]) -> Result<()> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(Error::unsupported(path, "a key", format!("one of {}", known.join(", ")), key)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_empty_files_are_named_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let refusals = |path: &Path| [read(path).err(), map(path).err()].map(|e| e.unwrap().to_string());
        fs_err::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:1f\nsize 9\n").unwrap();
        for error in refusals(&path) {
            assert!(
                error.contains("config.json: a git-lfs pointer") && error.contains("git lfs pull"),
                "{error}"
            );
        }
        fs_err::write(&path, "").unwrap();
        for error in refusals(&path) {
            assert!(error.contains("config.json: the file is empty"), "{error}");
        }
    }
}
