use serde::Deserialize;

mod entry;
mod model;

pub use self::model::{Archive, Model, ModelFile, ModelKind, Package, Packed};

use self::entry::Entries;
use crate::rules::Refusal;
use crate::{Error, Result};

/// The registry of base models: `embedders/models.toml`, compiled in.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Entries")]
pub struct Registry {
    models: Vec<Model>,
}

impl TryFrom<Entries> for Registry {
    type Error = Refusal;

    fn try_from(entries: Entries) -> Result<Self, Refusal> {
        Ok(Self { models: entries.models()? })
    }
}

impl Registry {
    /// The registry compiled into this version.
    ///
    /// # Errors
    /// [`Error::Registry`] if `embedders/models.toml` is malformed, which a test excludes.
    pub fn builtin() -> Result<Self> {
        Ok(toml::from_str(include_str!("../../../embedders/models.toml"))?)
    }

    #[cfg(test)]
    pub(crate) fn of(models: Vec<Model>) -> Self {
        Self { models }
    }

    /// All models, in the order of the file.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// The model of this name.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] with the known names.
    pub fn get(&self, name: &str) -> Result<&Model> {
        self.models.iter().find(|model| model.name == name).ok_or_else(|| Error::UnknownModel {
            name: name.into(),
            known: self.models.iter().map(|model| model.name.clone()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_of_this_version_are_all_there() {
        let registry = Registry::builtin().unwrap();
        let names: Vec<_> = registry.models().iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["minilm", "smollm2-135m", "gemma3-270m", "mpnet", "qwen2.5-0.5b", "qwen2.5-1.5b"]);
        let mpnet = registry.get("mpnet").unwrap();
        assert_eq!((mpnet.kind, mpnet.files.len()), (ModelKind::Embedder, 10));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = Registry::builtin().unwrap().get("minilm-l6").unwrap_err().to_string();
        assert!(error.contains("minilm, smollm2-135m, gemma3-270m"), "{error}");
    }
}
