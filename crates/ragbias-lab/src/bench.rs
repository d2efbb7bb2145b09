use std::path::{Path, PathBuf};

use ragbias::Workspace;
use ragbias::core::{ContentHasher, Progress};
use ragbias::data::write_file;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// What an instrument works with: models and store, a size, a seed, and a folder that keeps what was computed.
pub struct Bench {
    workspace: Workspace,
    folder: PathBuf,
    size: f64,
    seed: u64,
}

impl Bench {
    /// A bench in a folder, which may hold results of an interrupted experiment.
    ///
    /// # Errors
    /// A size that is not above 0 and at most 1000.
    pub fn new(workspace: &Workspace, folder: &Path, size: f64, seed: u64) -> Result<Self> {
        check_size(size)?;
        Ok(Self { workspace: workspace.clone(), folder: folder.into(), size, seed })
    }

    /// Models and store.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Where progress is shown.
    pub fn progress(&self) -> &dyn Progress {
        self.workspace.progress()
    }

    /// The folder of the instrument's files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The seed of everything that is drawn.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Seeds of as many draws as this at size 1, in proportion at others, and at least two.
    pub fn seeds(&self, count: usize) -> Vec<u64> {
        let first = self.seed.wrapping_mul(1_000_003);
        (0..self.scaled(count, 2) as u64).map(|seed| first.wrapping_add(seed)).collect()
    }

    /// This many at size 1, in proportion at others, and at least `least`.
    #[expect(clippy::cast_sign_loss, reason = "a size is above 0")]
    pub fn scaled(&self, count: usize, least: usize) -> usize {
        ((count as f64 * self.size).round() as usize).max(least)
    }

    /// A value that is computed once: kept in the folder under the hash of `key`, which holds everything that determines it.
    ///
    /// # Errors
    /// Those of the computation; a kept file that is damaged.
    pub fn kept<T: Serialize + DeserializeOwned>(
        &self,
        what: &str,
        key: &impl Serialize,
        compute: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let key = serde_json::to_vec(key).map_err(std::io::Error::from)?;
        let id = ContentHasher::new("lab/1").field(what).field(&key).finish();
        let path = self.folder.join("kept").join(format!("{what}-{id}.json"));
        if path.is_file() {
            let text = fs_err::read_to_string(&path)?;
            return serde_json::from_str(&text)
                .map_err(|error| Error::Kept { path, reason: error.to_string() });
        }
        let value = compute()?;
        write_file(&path, serde_json::to_string(&value).map_err(std::io::Error::from)?)?;
        Ok(value)
    }
}

/// The range of a size.
pub(crate) fn check_size(size: f64) -> Result<()> {
    if size > 0.0 && size <= 1000.0 {
        return Ok(());
    }
    Err(Error::Setting { setting: "size", expected: "above 0, at most 1000", received: size.to_string() })
}

#[cfg(test)]
mod tests {
    use ragbias::Models;

    use super::*;

    #[test]
    fn a_value_is_computed_once_for_its_key_and_a_damaged_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::new(Models::in_folder(folder.path()).unwrap());
        let bench = Bench::new(&workspace, folder.path(), 0.5, 0).unwrap();
        let kept = |key: u32, value: f64| bench.kept("cell", &key, || Ok(value)).unwrap();
        assert_eq!((kept(1, 2.5), kept(1, 7.0), kept(2, 7.0)), (2.5, 2.5, 7.0));
        for entry in fs_err::read_dir(folder.path().join("kept")).unwrap() {
            fs_err::write(entry.unwrap().path(), "{").unwrap();
        }
        let error = bench.kept("cell", &1, || Ok(0.0)).unwrap_err().to_string();
        assert!(error.contains("cell-") && error.contains("hint: remove it"), "{error}");
        assert_eq!((bench.scaled(8, 1), bench.scaled(1, 1)), (4, 1));
        assert!(Bench::new(&workspace, folder.path(), f64::NAN, 0).is_err());
    }
}
