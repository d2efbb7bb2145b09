//! Files and folders that are there whole or not at all, and files in memory.
//!
//! [`write_file`] and [`write_file_by`] write a file, [`Staging`] is a folder that takes its place when all of
//! it is there, and [`move_file`] and [`replace_folder`] put in their places what took more than one process to make. All of them
//! leave ordinary files, with the user's umask, that outlast a power cut. What a process that was killed left is removed
//! where the next one writes: [`tidy`]. [`scratch_file`] is for what is too large for memory; [`MappedFile`] is a file to read from
//! in place, and [`sha256`] tells whether a file is the one that was meant.
//!
//! ```
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("new/table.csv");
//! ragbias_files::write_file(&path, "a,b\n")?;
//! assert_eq!(std::fs::metadata(path)?.len(), 4);
//! # Ok::<(), std::io::Error>(())
//! ```

mod checksum;
mod map;
mod place;
mod remembered;
mod staging;
mod stamp;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::NamedTempFile;

pub use self::checksum::{sha256, sha256_of};
pub use self::map::{MappedFile, as_bytes, as_floats};
pub use self::place::{move_file, replace_folder};
pub use self::remembered::{remember_sha256, sha256_once};
pub use self::staging::Staging;
pub use self::stamp::Stamp;

/// Prefix of temporary files and folders. Those of running processes are locked.
const PREFIX: &str = ".ragbias-tmp-";

/// Writes a file through a temporary one beside it and a rename: after an error, a kill or a full disk, either
/// the old file or the new one exists, never a part of it.
///
/// Temporary files that killed processes left in the folder are removed first, once per process and folder.
///
/// # Errors
/// Failures of the file system, with the file's name.
pub fn write_file(path: &Path, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
    write_file_by(path, |out| out.write_all(bytes.as_ref()))
}

/// The same for data written piece by piece.
///
/// # Errors
/// Failures of the file system, with the file's name, and errors of `write`.
pub fn write_file_by<E: From<std::io::Error>>(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let mut out = Named { out: BufWriter::new(temporary(path)?), path };
    write(&mut out)?;
    let file = out.out.into_inner().map_err(std::io::IntoInnerError::into_error);
    Ok(file.map_err(|error| named(path, error)).and_then(|file| settle(file, path))?)
}

fn temporary(path: &Path) -> std::io::Result<NamedTempFile> {
    temporary_file(folder_of(path)).map_err(|error| named(path, error))
}

/// Puts a file that is written in its place, so that it outlasts a power cut.
fn settle(file: NamedTempFile, path: &Path) -> std::io::Result<()> {
    let settled = file.as_file().sync_all().and_then(|()| file.persist(path).map_err(|error| error.error));
    settled.map_err(|error| named(path, error))?;
    sync_folder(folder_of(path));
    Ok(())
}

/// A file without a name in `folder`, for what is too large for memory: it is gone when it is closed.
///
/// # Errors
/// Failures of the file system.
pub fn scratch_file(folder: &Path) -> std::io::Result<File> {
    fs_err::create_dir_all(folder)?;
    tempfile::tempfile_in(folder).map_err(|error| named(folder, error))
}

/// The parent folder of a path; the working folder for a bare name.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A writer whose errors include the name of the target file.
struct Named<'p> {
    out: BufWriter<NamedTempFile>,
    path: &'p Path,
}

impl Write for Named<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.out.write(bytes).map_err(|error| named(self.path, error))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush().map_err(|error| named(self.path, error))
    }
}

/// Removes the temporary files and folders that killed processes left in `folder`. Those of running processes are kept, and
/// so is anything that cannot be removed or whose owner is unknown.
pub fn tidy(folder: &Path) {
    let Ok(entries) = fs_err::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let path = entry.path();
        // The lock is held until the file is gone: a process that has just created it and waits for the lock then creates another.
        let Ok(file) = fs_err::File::open(&path) else { continue };
        if file.file().try_lock().is_ok() {
            let _ = if path.is_dir() { fs_err::remove_dir_all(&path) } else { fs_err::remove_file(&path) };
        }
    }
}

fn tidy_once(folder: &Path) {
    static TIDIED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    if TIDIED.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned()) {
        tidy(folder);
    }
}

/// A temporary file in `folder`, which is created if needed; persisted, it is an ordinary file. Dropped, it is removed.
fn temporary_file(folder: &Path) -> std::io::Result<NamedTempFile> {
    fs_err::create_dir_all(folder)?;
    tidy_once(folder);
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    // Temporary files are private to their owner; this one becomes an ordinary file, with the user's umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    loop {
        let file = builder.tempfile_in(folder)?;
        // On a file system without locks, nothing is removed, because nothing can be locked.
        let _ = file.as_file().lock();
        if file.path().exists() {
            return Ok(file);
        }
    }
}

/// A lock on a folder, where supported.
fn locked(folder: &Path) -> Option<File> {
    let file = fs_err::File::open(folder).ok()?.into_file();
    file.lock().ok()?;
    Some(file)
}

/// Makes a rename in a folder survive a power cut, where folders can be synchronised.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = fs_err::File::open(folder) {
        let _ = folder.sync_all();
    }
}

fn named(path: &Path, error: std::io::Error) -> std::io::Error {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let hint = match error.kind() {
        FileTooLarge | QuotaExceeded | StorageFull => {
            "\nhint: make room, or write elsewhere; nothing was left behind"
        }
        _ => "",
    };
    std::io::Error::new(error.kind(), format!("{}: {error}{hint}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/table.csv");
        write_file(&path, "old").unwrap();
        write_file(&path, "newer").unwrap();
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "newer");
        // A folder cannot be replaced by a file: the rename fails after everything is written.
        let occupied = folder.path().join("new");
        let error = write_file(&occupied, "x").unwrap_err().to_string();
        assert!(error.contains("new: "), "{error}");
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "newer");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_scratch_file_has_no_name() {
        use std::io::{Read, Seek};
        let folder = tempfile::tempdir().unwrap();
        let mut file = scratch_file(&folder.path().join("new")).unwrap();
        file.write_all(b"large").unwrap();
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), names(&folder.path().join("new")).len()), ("large", 0));
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_a_living_one_fills_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        // No process holds a lock on these.
        fs_err::write(folder.join(format!("{PREFIX}file")), "half").unwrap();
        fs_err::create_dir_all(folder.join(format!("{PREFIX}folder/below"))).unwrap();
        fs_err::write(folder.join("table.csv"), "whole").unwrap();
        let staging = Staging::within(folder).unwrap();
        let file = temporary_file(folder).unwrap();
        tidy(folder);
        let mut left = names(folder);
        left.sort();
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut expected = vec![name(staging.path()), name(file.path()), "table.csv".into()];
        expected.sort();
        assert_eq!(left, expected);
        drop((staging, file));
        assert_eq!(names(folder), ["table.csv"]);
    }

    #[test]
    fn a_staged_folder_takes_its_place_in_one_step() {
        let folder = tempfile::tempdir().unwrap();
        let (staging, place) = (Staging::within(folder.path()).unwrap(), folder.path().join("place"));
        write_file(&staging.path().join("below/a.txt"), "a").unwrap();
        staging.rename(&place).unwrap();
        assert_eq!(names(folder.path()), ["place"]);
        assert_eq!(fs_err::read_to_string(place.join("below/a.txt")).unwrap(), "a");
    }
}
