//! Checksums of files, cached for the life of the process.

use std::collections::HashMap;
use std::fs::Metadata;
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::checksum::sha256;

/// The coarsest resolution of a file system's timestamps.
const TICK: Duration = Duration::from_secs(2);

/// Identifies the state of a file: device, inode, size, and the times at which its content and its inode last changed.
#[derive(PartialEq, Eq, Hash)]
struct State([u64; 3], [i64; 4]);

impl State {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let (m, c) = ([metadata.mtime(), metadata.mtime_nsec()], [metadata.ctime(), metadata.ctime_nsec()]);
        Self([metadata.dev(), metadata.ino(), metadata.len()], [m[0], m[1], c[0], c[1]])
    }

    /// Without inodes, states cannot be identified, and nothing is cached.
    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Self {
        Self([0; 3], [-1; 4])
    }

    /// Whether a later change would have a different timestamp.
    fn is_settled(&self) -> bool {
        let Self(_, [_, _, seconds, nanoseconds]) = self;
        let (Ok(seconds), Ok(nanoseconds)) = (u64::try_from(*seconds), u64::try_from(*nanoseconds)) else {
            return false;
        };
        let changed =
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds);
        SystemTime::now().duration_since(changed).is_ok_and(|age| age > TICK)
    }
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
    let state = State::of(&fs_err::metadata(path)?);
    if !state.is_settled() {
        return sha256(path);
    }
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
    known().insert(State::of(&fs_err::metadata(path)?), sum.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::sha256_of;

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
        assert!(!State::of(&fs_err::metadata(&path).unwrap()).is_settled());
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
