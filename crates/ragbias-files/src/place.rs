//! Putting files and folders in their places.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::{folder_of, sync_folder};

/// Moves a file that is whole to its place, whose folder is made where it is not there; one that is there is replaced.
///
/// # Errors
/// Failures of the file system, with the file's name.
pub fn move_file(from: &Path, to: &Path) -> std::io::Result<()> {
    fs_err::create_dir_all(folder_of(to))?;
    fs_err::File::open(from)?.sync_all()?;
    fs_err::rename(from, to)?;
    sync_folder(folder_of(to));
    Ok(())
}

/// Puts a folder in the place of the one at `to`, where there is one, which is then removed; at any moment the old one is at
/// `to`, or the new one. Both are on one file system.
///
/// Where the file system cannot swap two folders in one step, the old one is set aside first, as `.NAME.before` beside
/// it: a process that is killed between two renames leaves it there. Elsewhere, one that is killed while it removes the old one
/// leaves the rest of it at `from`.
///
/// # Errors
/// Failures of the file system; the old folder is then unchanged.
pub fn replace_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    if put(from, to)? { fs_err::remove_dir_all(from) } else { Ok(()) }
}

/// The same, but for the removal: whether the old folder is at `from` now.
pub(crate) fn put(from: &Path, to: &Path) -> std::io::Result<bool> {
    let mut swapped = false;
    if !to.is_dir() {
        fs_err::rename(from, to)?;
    } else if let Err(error) = swap(from, to) {
        if error.kind() != ErrorKind::Unsupported {
            return Err(error);
        }
        put_in_two_steps(from, to)?;
    } else {
        swapped = true;
    }
    sync_folder(folder_of(to));
    Ok(swapped)
}

pub(crate) fn put_in_two_steps(from: &Path, to: &Path) -> std::io::Result<()> {
    let before = before(to)?;
    if before.exists() {
        fs_err::remove_dir_all(&before)?;
    }
    fs_err::rename(to, &before)?;
    if let Err(error) = fs_err::rename(from, to) {
        fs_err::rename(&before, to)?;
        return Err(error);
    }
    fs_err::remove_dir_all(before)
}

/// Where a folder is set aside.
pub(crate) fn before(path: &Path) -> std::io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        std::io::Error::new(ErrorKind::InvalidInput, format!("{}: names no folder", path.display()))
    })?;
    Ok(path.with_file_name(format!(".{}.before", name.to_string_lossy())))
}

/// Swaps two folders in one step.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
pub(crate) fn swap(one: &Path, other: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).map_err(|error| match error {
        // The errors of file systems that do not support this flag.
        Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => ErrorKind::Unsupported.into(),
        error => std::io::Error::from(error),
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn swap(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_file;

    #[test]
    fn a_file_is_moved_into_a_folder_that_is_made_and_over_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let (part, place) = (folder.path().join("part"), folder.path().join("new/file"));
        for text in ["one", "another"] {
            fs_err::write(&part, text).unwrap();
            move_file(&part, &place).unwrap();
            assert_eq!((fs_err::read_to_string(&place).unwrap().as_str(), part.exists()), (text, false));
        }
        assert!(move_file(&part, &place).unwrap_err().to_string().contains("part"));
        assert_eq!(fs_err::read_to_string(&place).unwrap(), "another");
    }

    #[test]
    fn a_folder_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (part, place) = (folder.path().join("part"), folder.path().join("place"));
        for name in ["a", "b"] {
            write_file(&part.join(name), name).unwrap();
            replace_folder(&part, &place).unwrap();
            let names: Vec<_> =
                fs_err::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!((names, part.exists()), (vec![name.into()], false));
        }
    }
}
