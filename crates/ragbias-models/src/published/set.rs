//! What the registry says of a published data set.

use serde::{Deserialize, Serialize};

use crate::client::escaped;

/// A published data set: a folder of files.
#[derive(Debug, Clone)]
pub struct PublishedSet {
    /// Its name, which is also that of its folder.
    pub name: String,
    /// A one-line description.
    pub about: String,
    /// The bundled axis of its labels, if it has any.
    pub axis: Option<String>,
    /// How its files are read.
    pub layout: SetLayout,
    /// The licence of its texts.
    pub licence: String,
    /// What to cite.
    pub citation: String,
    /// Where its files are.
    pub source: SetSource,
    /// Its files, at least one.
    pub files: Vec<SetFile>,
}

/// How the files of a published data set are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetLayout {
    /// Every file is a table that is read by itself.
    Tables,
    /// The same, with documents only.
    Documents,
    /// A folder of BEIR: `corpus.jsonl`, `queries.jsonl`, `qrels/`.
    Beir,
    /// The layout of Grep-BiasIR: `queries.csv`, and a table of documents for each category.
    GrepBiasIr,
    /// Files that no command reads.
    Other,
}

/// Where the files of a published data set are.
#[derive(Debug, Clone)]
pub enum SetSource {
    /// A commit of a repository of GitHub.
    GitHub {
        /// `owner/name`.
        repository: String,
        /// The commit, 40 hexadecimal digits.
        commit: String,
    },
    /// A zip archive.
    Archive {
        /// Its address.
        address: String,
        /// Its size, if known.
        bytes: Option<u64>,
        /// Its SHA-256, 64 hexadecimal digits, if known.
        sha256: Option<String>,
    },
}

/// A file of a published data set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetFile {
    /// Its path within the set's folder, with `/` between folders.
    pub path: String,
    /// Its path in the repository, or the name of the archive's member.
    pub from: String,
    /// Its size, if known.
    pub bytes: Option<u64>,
    /// Its SHA-256, 64 hexadecimal digits, if known.
    pub sha256: Option<String>,
}

impl PublishedSet {
    /// Its address: of the repository at its commit, or of the archive.
    pub fn address(&self) -> String {
        match &self.source {
            SetSource::GitHub { repository, commit } => {
                format!("https://github.com/{repository}/tree/{commit}")
            }
            SetSource::Archive { address, .. } => address.clone(),
        }
    }

    /// The commit, for a repository.
    pub fn commit(&self) -> Option<&str> {
        match &self.source {
            SetSource::GitHub { commit, .. } => Some(commit),
            SetSource::Archive { .. } => None,
        }
    }

    /// Its size when it is pulled, as far as it is known.
    pub fn bytes(&self) -> u64 {
        match &self.source {
            SetSource::GitHub { .. } => self.files.iter().filter_map(|file| file.bytes).sum(),
            SetSource::Archive { bytes, .. } => bytes.unwrap_or(0),
        }
    }

    /// Whether the checksum of every file, or of its archive, is known before it is pulled.
    pub fn is_known(&self) -> bool {
        let archive = matches!(&self.source, SetSource::Archive { sha256: Some(_), .. });
        archive || self.files.iter().all(|file| file.sha256.is_some())
    }

    /// The names of its tables: the set's own for the first, then `NAME/FILE`, without the extension.
    pub fn tables(&self) -> impl Iterator<Item = (String, &SetFile)> {
        let are_tables = matches!(self.layout, SetLayout::Tables | SetLayout::Documents);
        let files = if are_tables { &self.files[..] } else { &[] };
        files.iter().map(|file| {
            let stem = file.path.rsplit_once('.').map_or(file.path.as_str(), |(stem, _)| stem);
            (format!("{}/{stem}", self.name), file)
        })
    }
}

impl SetFile {
    /// Its URL in a commit of a repository.
    pub(crate) fn url(&self, repository: &str, commit: &str) -> String {
        format!("https://raw.githubusercontent.com/{repository}/{commit}/{}", escaped(&self.from))
    }
}
