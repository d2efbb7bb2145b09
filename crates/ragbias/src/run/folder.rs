//! A run folder, whose files are replaced together.

use std::path::{Path, PathBuf};

use ragbias_core::ContentId;
use ragbias_data::{Staging, move_file, replace_folder, tidy};
use serde::Deserialize;

use super::manifest::Manifest;
use crate::{Error, Result};

/// Complete files on their way into the folder. They are newer than the files beside it.
const NEXT: &str = ".next";

/// Holds choices of earlier runs.
const EARLIER: &str = "earlier";

/// All choices of a run.
pub(crate) const CHOICES: &str = "choice.json";

/// The folders that a retrieval service loads.
pub(crate) const CONTROLS: &str = "choice";

/// A run folder, which may not exist yet.
///
/// New files are written into a temporary folder in it, which is renamed to `.next` when all of them are complete, and then emptied
/// into the run folder. A process killed before the rename leaves the earlier files; one killed after it leaves
/// the new ones, and the next process to open the folder moves them into place.
#[derive(Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Finishes what killed processes left undone, and removes their temporary files.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let folder = Self { path: path.into() };
        if path.is_dir() {
            tidy(path);
            let _lock = folder.lock();
            folder.settle()?;
        }
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// An empty folder for new files.
    pub(crate) fn stage(&self) -> Result<Staging> {
        Ok(Staging::within(&self.path)?)
    }

    /// Replaces the files of the same names by those of a folder. If the choice then belongs to another run, it is set
    /// aside; returns where to.
    pub(crate) fn publish(&self, staging: Staging) -> Result<Option<PathBuf>> {
        let _lock = self.lock();
        self.settle()?;
        self.replace(staging)
    }

    /// The same for files made from those of a run, if the folder still holds that run.
    ///
    /// # Errors
    /// The folder holds another run, written in the meantime.
    pub(crate) fn publish_of(&self, run: &Manifest, staging: Staging) -> Result<()> {
        let _lock = self.lock();
        self.settle()?;
        if Manifest::read(&self.path)?.run != run.run {
            let reason = "another run was written here meanwhile\nhint: try again".into();
            return Err(Error::Run { path: self.path.clone(), reason });
        }
        self.replace(staging).map(drop)
    }

    fn replace(&self, staging: Staging) -> Result<Option<PathBuf>> {
        staging.rename(&self.path.join(NEXT))?;
        self.settle()
    }

    /// A lock held while files are moved into place; none if the file system has no locks.
    fn lock(&self) -> Option<fs_err::File> {
        let folder = fs_err::File::open(&self.path).ok()?;
        folder.file().lock().ok()?;
        Some(folder)
    }

    fn settle(&self) -> Result<Option<PathBuf>> {
        let next = self.path.join(NEXT);
        if next.is_dir() {
            let entries: Vec<_> = fs_err::read_dir(&next)?.collect::<Result<_, _>>()?;
            for entry in entries {
                move_over(&entry.path(), &self.path.join(entry.file_name()))?;
            }
            fs_err::remove_dir(&next)?;
        }
        self.set_aside()
    }

    /// Moves the choice of another run aside.
    fn set_aside(&self) -> Result<Option<PathBuf>> {
        let (choices, controls) = (self.path.join(CHOICES), self.path.join(CONTROLS));
        // An unreadable manifest is refused where it is needed.
        let (Ok(text), Ok(run)) = (fs_err::read_to_string(&choices), Manifest::read(&self.path)) else {
            return Ok(None);
        };
        // A damaged choice is refused where it is read.
        let Ok(of) = serde_json::from_str::<Vec<RunId>>(&text) else { return Ok(None) };
        let of = of.first().and_then(|choice| choice.run);
        if of == run.run {
            return Ok(None);
        }
        let name = of.map_or_else(|| "unknown".into(), |of| of.short());
        let place = self.path.join(EARLIER).join(name);
        fs_err::create_dir_all(&place)?;
        // The file last: as long as it is here, the move is known to be incomplete.
        if controls.is_dir() {
            move_over(&controls, &place.join(CONTROLS))?;
        }
        move_over(&choices, &place.join(CHOICES))?;
        Ok(Some(place))
    }
}

/// The run that something belongs to.
#[derive(Deserialize)]
struct RunId {
    #[serde(default)]
    run: Option<ContentId>,
}

/// Moves a file or folder over another of its kind.
fn move_over(from: &Path, to: &Path) -> Result<()> {
    Ok(if from.is_dir() { replace_folder(from, to) } else { move_file(from, to) }?)
}

#[cfg(test)]
mod tests;
