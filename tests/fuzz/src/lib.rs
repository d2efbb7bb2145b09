//! Shared by the fuzz targets: a folder in memory to put a file into, and a check of error messages.

pub mod checkpoint;
pub mod experiment;
pub mod saved;
pub mod template;

use std::path::{Path, PathBuf};

/// A folder of this process, removed when it ends; in memory where the system supports it.
pub fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    tempfile::tempdir_in(parent).expect("a temporary folder")
}

/// Writes `bytes` to `name` in `folder`.
pub fn put(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs_err::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs_err::write(&path, bytes).expect("a file");
    path
}

/// The value of a result; the message of an error must contain `place`.
pub fn names<T, E: std::error::Error>(result: Result<T, E>, place: &str) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            let mut message = error.to_string();
            let mut source = error.source();
            while let Some(inner) = source {
                message += &inner.to_string();
                source = inner.source();
            }
            assert!(message.contains(place), "no {place} in: {message}");
            None
        }
    }
}
