use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The registry of base models: `embedders/models.toml`, compiled in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    #[serde(rename = "model")]
    models: Vec<Model>,
}

/// One base model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: ModelKind,
    /// A one-line description.
    pub about: String,
    /// The licence of its weights.
    pub licence: String,
    /// Its Hugging Face id, if files with these checksums are known to be there.
    pub hub: Option<String>,
    /// Packages of the Python index with the same bytes.
    #[serde(default)]
    pub packages: Vec<Package>,
    /// Its files.
    pub files: Vec<ModelFile>,
}

/// The kind of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// An embedder: a checkpoint folder.
    Embedder,
    /// An LLM: a GGUF file.
    Llm,
}

impl ModelKind {
    /// `embedder` or `LLM`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedder => "embedder",
            Self::Llm => "LLM",
        }
    }
}

/// A package with files of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// In pip's syntax: `name==version`.
    pub requirement: String,
    /// Size of its wheel.
    pub bytes: u64,
    /// SHA-256 of its wheel, 64 hexadecimal digits.
    pub sha256: String,
}

/// One file of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Its path within the model's folder and within the hub's repository, with `/` between folders.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, 64 hexadecimal digits.
    pub sha256: String,
    /// Members of the packages that are concatenated to this file, in order.
    #[serde(default)]
    pub parts: Vec<String>,
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

impl Model {
    /// Total size of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_has_a_source_and_every_file_a_checksum() {
        let registry = Registry::builtin().unwrap();
        assert!(registry.models().len() >= 3);
        for model in registry.models() {
            assert!(model.hub.is_some() || !model.packages.is_empty(), "{}", model.name);
            for package in &model.packages {
                assert!(package.sha256.len() == 64 && package.bytes > 0, "{}", package.requirement);
            }
            for file in &model.files {
                assert!(file.sha256.len() == 64 && file.bytes > 0, "{} {}", model.name, file.path);
                assert!(model.packages.is_empty() || !file.parts.is_empty(), "{} {}", model.name, file.path);
            }
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = Registry::builtin().unwrap().get("minilm-l6").unwrap_err().to_string();
        assert!(error.contains("minilm, smollm2-135m, gemma3-270m"), "{error}");
    }
}
