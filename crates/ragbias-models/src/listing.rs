//! The hub's description of a model: its commit and its files.

use serde::Deserialize;

/// A model's files at one commit.
pub(crate) struct Listing {
    pub(crate) commit: String,
    files: Vec<Listed>,
}

/// A file in a listing; the hub gives the SHA-256 of large files, and the length of most.
pub(crate) struct Listed {
    name: String,
    pub(crate) bytes: Option<u64>,
    pub(crate) sha256: Option<String>,
}

#[derive(Deserialize)]
struct Model {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

impl Listing {
    /// Reads the hub's JSON.
    pub(crate) fn read(json: &str) -> Result<Self, String> {
        let model: Model = serde_json::from_str(json)
            .map_err(|error| format!("the hub's answer is not a model: {error}"))?;
        let file = |sibling: Sibling| {
            let Sibling { rfilename: name, size, lfs } = sibling;
            let (sha256, large) = lfs.map_or((None, None), |lfs| (lfs.sha256, lfs.size));
            Listed { name, bytes: large.or(size), sha256: sha256.map(|sum| sum.to_ascii_lowercase()) }
        };
        Ok(Self { commit: model.sha, files: model.siblings.into_iter().map(file).collect() })
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.files.iter().map(|file| file.name.as_str()).collect()
    }

    /// A file by name.
    pub(crate) fn of(&self, name: &str) -> &Listed {
        self.files.iter().find(|file| file.name == name).expect("a name of this listing; this is a bug")
    }

    /// The commit for an error, shortened to one line.
    pub(crate) fn shown_commit(&self) -> String {
        self.commit.chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}
