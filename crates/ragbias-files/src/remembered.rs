//! Checksums of files, cached for the life of the process.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use crate::checksum::sha256;
use crate::stamp::Stamp;

/// A file's device and stamp.
type State = (u64, Stamp);

/// The state of a file; `None` where files have no inodes.
#[cfg(unix)]
fn state(path: &Path) -> std::io::Result<Option<State>> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs_err::metadata(path)?;
    Ok(Stamp::of(&metadata).map(|stamp| (metadata.dev(), stamp)))
}

#[cfg(not(unix))]
fn state(_: &Path) -> std::io::Result<Option<State>> {
    Ok(None)
}

type Known = HashMap<State, String>;

fn known() -> MutexGuard<'static, Known> {
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The SHA-256 of a file, cached until the file changes.
///
/// A file that changed within the last two seconds is read every time, as a further change might not alter its timestamps.
///
/// # Errors
/// Failures of the file system.
pub fn sha256_once(path: &Path) -> std::io::Result<String> {
    let Some(state) = state(path)?.filter(|(_, stamp)| stamp.is_settled()) else { return sha256(path) };
    if let Some(sum) = known().get(&state) {
        return Ok(sum.clone());
    }
    let sum = sha256(path)?;
    known().insert(state, sum.clone());
    Ok(sum)
}

/// Caches the SHA-256 of a file that this process has just written, for [`sha256_once`].
///
/// # Errors
/// Failures of the file system.
pub fn remember_sha256(path: &Path, sum: &str) -> std::io::Result<()> {
    if let Some(state) = state(path)? {
        known().insert(state, sum.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::checksum::sha256_of;
    use crate::stamp::TICK;

    fn written(path: &Path, content: &str, ago: Duration) {
        fs_err::write(path, content).unwrap();
        let file = fs_err::OpenOptions::new().write(true).open(path).unwrap();
        file.file().set_modified(SystemTime::now() - ago).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_changed_has_its_new_sum_although_its_size_and_its_time_are_the_old_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        for content in ["abc", "abd", "abe"] {
            written(&path, content, Duration::from_mins(1));
            assert_eq!(sha256_once(&path).unwrap(), sha256_of(content.as_bytes()));
        }
        // Its inode changed just now, so its checksum is not cached.
        assert!(!state(&path).unwrap().unwrap().1.is_settled());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_not_read_again_when_a_tick_has_gone_by_without_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs_err::write(&path, "abc").unwrap();
        // The cached value differs from the real one, which shows whether the file was read.
        remember_sha256(&path, "remembered").unwrap();
        assert_eq!(sha256_once(&path).unwrap(), sha256_of(b"abc"));
        std::thread::sleep(TICK + Duration::from_millis(200));
        assert_eq!(sha256_once(&path).unwrap(), "remembered");
        fs_err::write(&path, "abd").unwrap();
        assert_eq!(sha256_once(&path).unwrap(), sha256_of(b"abd"));
    }
}
