use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ragbias_core::{Axis, ContentHasher, ContentId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::sealed::{is_sealed, is_whole, sealed};
use crate::experiment::{Experiment, Part};
use crate::recipe::Recipe;
use crate::{Error, Result};

/// Its name in a run folder.
pub(crate) const MANIFEST: &str = "manifest.json";

/// The description of a run: enough to repeat it and to tell whether another is the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of ragbias.
    pub version: String,
    /// Commit it was built from, if built in a repository.
    pub commit: Option<String>,
    /// The hash of experiment, inputs and results, carried by all files of the run: runs with the same results have the same id.
    /// None in folders of versions that did not write it.
    #[serde(default)]
    pub run: Option<ContentId>,
    /// The experiment, with every default filled in.
    pub experiment: Experiment,
    /// The axes, with the wording of prompts, by their name in the experiment.
    #[serde(default)]
    pub axes: BTreeMap<String, Axis>,
    /// The recipes of families, by their path in the experiment.
    #[serde(default)]
    pub recipes: BTreeMap<PathBuf, Recipe>,
    /// blake3 of every input: corpora, question sets, embedders, LLMs, scorers.
    pub inputs: BTreeMap<String, ContentId>,
    /// blake3 of every other file with numbers that are read.
    #[serde(default)]
    pub files: BTreeMap<String, ContentId>,
    /// Notes on the LLMs that answered, by name: the model that a server reported, or that it reported none.
    #[serde(default)]
    pub notes: BTreeMap<String, Vec<String>>,
}

impl Manifest {
    /// The id of a run with these inputs and results.
    pub(super) fn id(
        experiment: &Experiment,
        inputs: &BTreeMap<String, ContentId>,
        results: &str,
    ) -> std::io::Result<ContentId> {
        let hasher = ContentHasher::new("run/1").field(serde_json::to_string(experiment)?);
        Ok(hasher.field(serde_json::to_string(inputs)?).field(results).finish())
    }

    /// Reads the manifest of a run folder.
    ///
    /// # Errors
    /// A folder without one; one that differs from what the run wrote.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(MANIFEST);
        let text = fs_err::read_to_string(&path).map_err(|error| Error::Run {
            path: folder.into(),
            reason: format!("not a run folder: {error}\nhint: `ragbias run EXPERIMENT.toml` makes one"),
        })?;
        let wrong = |error| malformed(&path, &error, "ragbias run EXPERIMENT.toml");
        let value: Value = serde_json::from_str(&text).map_err(wrong)?;
        let is_checked = is_sealed(&value);
        if is_checked && !is_whole(&value) {
            return Err(changed(&path));
        }
        let manifest: Self = serde_json::from_value(value).map_err(wrong)?;
        if is_checked && manifest.run.is_none() {
            return Err(changed(&path));
        }
        Ok(manifest)
    }

    /// The manifest beside a table, if the table is in a run folder.
    ///
    /// # Errors
    /// A manifest that differs from what the run wrote.
    pub(crate) fn beside(table: &Path) -> Result<Option<Self>> {
        let folder = table.parent().unwrap_or(Path::new(""));
        let path = folder.join(MANIFEST);
        let Ok(bytes) = fs_err::read(&path) else { return Ok(None) };
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| changed(&path))?;
        // Other folders have a manifest too.
        if !is_sealed(&value) {
            return Ok(None);
        }
        Self::read(folder).map(Some)
    }

    /// The axis of a part as used in the run; the current one if an earlier version did not write it.
    pub(crate) fn axis(&self, part: &Part) -> Result<Axis> {
        self.axes.get(&part.axis).map_or_else(|| self.experiment.axis(part), |axis| Ok(axis.clone()))
    }

    /// The same for a recipe.
    pub(crate) fn recipe(&self, path: &Path) -> Result<Recipe> {
        self.recipes.get(path).map_or_else(|| Recipe::read(path), |recipe| Ok(recipe.clone()))
    }

    /// As text with a checksum.
    pub(super) fn to_json(&self) -> std::io::Result<String> {
        Ok(serde_json::to_string_pretty(&sealed(serde_json::to_value(self)?))?)
    }

    /// Checks that a file of the run is unchanged; files of earlier versions cannot be checked.
    ///
    /// # Errors
    /// A file that cannot be read, or has changed, by name.
    pub(crate) fn check(&self, folder: &Path, file: &str) -> Result<()> {
        let path = folder.join(file);
        if self.run.is_some() && self.files.get(file) != Some(&ContentId::of(&fs_err::read(&path)?)) {
            return Err(changed(&path));
        }
        Ok(())
    }

    /// Refuses inputs that differ from those of the run.
    ///
    /// # Errors
    /// An input that has changed, by name.
    pub(crate) fn check_inputs(&self, folder: &Path, inputs: &[(String, ContentId)]) -> Result<()> {
        let other = inputs.iter().find(|(name, id)| self.inputs.get(name).is_some_and(|then| then != id));
        other.map_or(Ok(()), |(name, _)| {
            Err(Error::Run {
                path: folder.into(),
                reason: format!("{name} has changed since the run\nhint: `ragbias run EXPERIMENT.toml` measures it as it is now"),
            })
        })
    }
}

/// A file that cannot be read as what `command` writes there.
pub(super) fn malformed(path: &Path, error: &serde_json::Error, command: &str) -> Error {
    let reason =
        format!("not as `{command}` writes it: {error}\nhint: it writes the file again, from the store");
    Error::Run { path: path.into(), reason }
}

/// A file that differs from what the run wrote.
fn changed(path: &Path) -> Error {
    Error::Run {
        path: path.into(),
        reason: "not what was written here: damaged, or changed since\nhint: `ragbias run EXPERIMENT.toml` writes it again, \
                 from the store; a table of your own belongs into another folder"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_is_no_json_is_refused_with_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join(MANIFEST), "{\"run\": 07}").unwrap();
        let error = Manifest::read(folder.path()).unwrap_err().to_string();
        assert!(error.contains(MANIFEST) && error.contains("hint: "), "{error}");
    }
}
