//! Folders that are either complete or absent.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use tempfile::TempDir;

use crate::place::{move_file, put};
use crate::{PREFIX, folder_of, locked, sync_folder, tidy_once};

/// A folder that is filled under a temporary name inside its target's folder. Dropped, it is removed with its contents.
#[derive(Debug)]
pub struct Staging {
    folder: TempDir,
    /// Held while the folder is filled.
    lock: Option<File>,
}

impl Staging {
    /// An empty staging folder in `folder`, which is created if needed.
    ///
    /// # Errors
    /// Failures of the file system.
    pub fn within(folder: &Path) -> std::io::Result<Self> {
        fs_err::create_dir_all(folder)?;
        tidy_once(folder);
        loop {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(folder)?;
            let lock = locked(folder.path());
            if folder.path().is_dir() {
                return Ok(Self { folder, lock });
            }
        }
    }

    /// The path to write to.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Renames it in one step; `path` must be absent or an empty folder.
    ///
    /// # Errors
    /// Failures of the file system; the staging folder is then removed.
    pub fn rename(self, path: &Path) -> std::io::Result<()> {
        fs_err::rename(self.folder.path(), path)?;
        let _ = self.folder.keep();
        drop(self.lock);
        sync_folder(folder_of(path));
        Ok(())
    }

    /// Moves its files into a folder that may hold others, over those of the same names.
    ///
    /// `last` is the file that vouches for the others: an earlier one is removed before any is moved, and the new one comes last. Where it
    /// is, all files are of one writing; a process that is killed between two renames leaves none.
    ///
    /// # Errors
    /// Failures of the file system, with the file's name.
    pub fn move_into(self, folder: &Path, last: &str) -> std::io::Result<()> {
        let mut names = Vec::new();
        for entry in fs_err::read_dir(self.path())? {
            names.push(entry?.file_name());
        }
        names.sort_by_key(|name| (name == last, name.clone()));
        match fs_err::remove_file(folder.join(last)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => sync_folder(folder),
        }
        for name in names {
            move_file(&self.path().join(&name), &folder.join(&name))?;
        }
        Ok(())
    }

    /// Puts it in the place of the folder at `path`, where there is one, as [`replace_folder`](crate::replace_folder) does.
    ///
    /// # Errors
    /// Failures of the file system; the old folder is then unchanged.
    pub fn replace(self, path: &Path) -> std::io::Result<()> {
        let swapped = put(self.folder.path(), path)?;
        drop(self.lock);
        // The old folder, now under the temporary name, is removed; leftovers after a kill are removed by the next process.
        if swapped {
            return self.folder.close();
        }
        let _ = self.folder.keep();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::place::{before, put_in_two_steps, swap};
    use crate::{tidy, write_file};

    fn read(folder: &Path) -> Option<String> {
        fs_err::read_to_string(folder.join("a.txt")).ok()
    }

    /// A folder `place` with the old file, and a staged one beside it that is to replace it.
    fn old_and_new() -> (TempDir, PathBuf, Staging) {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("place");
        write_file(&place.join("a.txt"), "old").unwrap();
        write_file(&place.join("gone.txt"), "old").unwrap();
        let staging = Staging::within(folder.path()).unwrap();
        write_file(&staging.path().join("a.txt"), "new").unwrap();
        (folder, place, staging)
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_folder_takes_the_place_of_another_and_leaves_nothing_behind() {
        let in_two_steps = |staging: Staging, place: &Path| {
            put_in_two_steps(staging.path(), place)?;
            let _ = staging.folder.keep();
            Ok(())
        };
        for replace in [Staging::replace, in_two_steps] {
            let (folder, place, staging) = old_and_new();
            replace(staging, &place).unwrap();
            assert_eq!(names(folder.path()), ["place"]);
            assert_eq!(names(&place), ["a.txt"]);
            assert_eq!(read(&place).as_deref(), Some("new"));
        }
        let (_folder, place, staging) = old_and_new();
        fs_err::remove_dir_all(&place).unwrap();
        staging.replace(&place).unwrap();
        assert_eq!(read(&place).as_deref(), Some("new"));
    }

    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    #[test]
    fn killed_after_any_step_the_old_folder_is_there_or_the_new_one() {
        // Killed before the swap: the staged folder is left, and its process is gone.
        let (folder, place, staging) = old_and_new();
        std::mem::forget(staging.folder);
        drop(staging.lock);
        tidy(folder.path());
        assert_eq!((read(&place).as_deref(), names(folder.path())), (Some("old"), vec!["place".to_owned()]));
        // Killed after the swap: the old folder has the temporary name.
        let (folder, place, staging) = old_and_new();
        swap(staging.path(), &place).unwrap();
        assert_eq!((read(&place).as_deref(), read(staging.path()).as_deref()), (Some("new"), Some("old")));
        // Killed while the old one is removed.
        fs_err::remove_file(staging.path().join("gone.txt")).unwrap();
        std::mem::forget(staging.folder);
        drop(staging.lock);
        tidy(folder.path());
        assert_eq!((read(&place).as_deref(), names(folder.path())), (Some("new"), vec!["place".to_owned()]));
    }

    #[test]
    fn without_a_swap_what_was_killed_between_two_renames_is_beside_its_place_and_is_replaced_later() {
        let (folder, place, staging) = old_and_new();
        fs_err::rename(&place, before(&place).unwrap()).unwrap();
        tidy(folder.path());
        assert_eq!(read(&folder.path().join(".place.before")).as_deref(), Some("old"));
        staging.replace(&place).unwrap();
        assert_eq!(read(&place).as_deref(), Some("new"));
    }

    #[test]
    fn files_are_moved_beside_others_and_the_one_that_vouches_for_them_comes_last() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("place");
        write_file(&place.join("mine.txt"), "mine").unwrap();
        let stage = |text: &str| {
            let staging = Staging::within(&place).unwrap();
            for name in ["a.txt", "card.json", "z.txt"] {
                write_file(&staging.path().join(name), text).unwrap();
            }
            staging
        };
        let read = |name: &str| fs_err::read_to_string(place.join(name)).ok();
        for text in ["one", "another"] {
            stage(text).move_into(&place, "card.json").unwrap();
            assert_eq!(["a.txt", "card.json", "z.txt"].map(|name| read(name).unwrap()), [text; 3]);
        }
        // Of a writing that ends in the middle, there is no card: `z.txt` cannot be replaced by a file.
        fs_err::remove_file(place.join("z.txt")).unwrap();
        fs_err::create_dir(place.join("z.txt")).unwrap();
        assert!(stage("third").move_into(&place, "card.json").unwrap_err().to_string().contains("z.txt"));
        assert_eq!((read("a.txt").as_deref(), read("card.json")), (Some("third"), None));
        assert_eq!(read("mine.txt").as_deref(), Some("mine"));
        assert_eq!(fs_err::read_dir(&place).unwrap().count(), 3, "no staged folder is left");
    }
}
