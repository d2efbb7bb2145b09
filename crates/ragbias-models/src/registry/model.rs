//! What the registry says of a model.

use serde::{Deserialize, Serialize};

/// One base model.
#[derive(Debug, Clone)]
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
    pub packages: Vec<Package>,
    /// Zip archives that the packages contain in parts.
    pub archives: Vec<Archive>,
    /// Its files, at least one.
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
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// In pip's syntax: `name==version`.
    pub requirement: String,
    /// Size of its wheel.
    pub bytes: u64,
    /// SHA-256 of its wheel, 64 hexadecimal digits.
    pub sha256: String,
}

/// A zip archive that the packages of a model contain in parts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Its name, by which files refer to it.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, 64 hexadecimal digits.
    pub sha256: String,
    /// Members of the packages that are concatenated to this archive, in order.
    pub parts: Vec<String>,
}

/// One file of a model.
#[derive(Debug, Clone)]
pub struct ModelFile {
    /// Its path within the model's folder and within the hub's repository, with `/` between folders.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, 64 hexadecimal digits.
    pub sha256: String,
    /// Where the packages have it; `None` if the model has no packages.
    pub packed: Option<Packed>,
}

/// Where the packages of a model have the bytes of a file.
#[derive(Debug, Clone)]
pub enum Packed {
    /// Members of the packages that are concatenated to the file, in order.
    Parts(Vec<String>),
    /// A member of one of the model's archives.
    Member {
        /// The name of the [`Archive`].
        archive: String,
        /// The name of the member in it.
        member: String,
    },
}

impl Model {
    /// Total size of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The path and the SHA-256 of every file.
    pub(crate) fn sums(&self) -> Vec<(&str, &str)> {
        self.files.iter().map(|file| (file.path.as_str(), file.sha256.as_str())).collect()
    }

    /// Total size of the wheels of its packages.
    pub fn wheel_bytes(&self) -> u64 {
        self.packages.iter().map(|package| package.bytes).sum()
    }
}
