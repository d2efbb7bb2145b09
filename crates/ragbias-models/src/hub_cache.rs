//! The hub's cache, shared by all programs: `models--org--name/refs/main` names a commit, whose files are in
//! `models--org--name/snapshots/COMMIT`.

use std::path::{Path, PathBuf};

/// A cache of the hub.
#[derive(Debug)]
pub(crate) struct HubCache {
    path: PathBuf,
}

impl HubCache {
    /// The cache in `HF_HOME`, or in the user's home.
    pub(crate) fn from_env() -> Self {
        let home = std::env::var_os("HF_HOME").filter(|home| !home.is_empty()).map_or_else(
            || etcetera::home_dir().unwrap_or_default().join(".cache/huggingface"),
            PathBuf::from,
        );
        Self::at(home.join("hub"))
    }

    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The folder of a model, which may not exist.
    pub(crate) fn model(&self, id: &str) -> PathBuf {
        self.path.join(format!("models--{}", id.replace('/', "--")))
    }

    /// A file at the commit of a model's `main`, if it is there.
    pub(crate) fn file(&self, id: &str, name: &str) -> Option<PathBuf> {
        let model = self.model(id);
        let commit = fs_err::read_to_string(model.join(MAIN)).ok()?;
        let path = snapshot(&model, commit.trim())?.join(name);
        path.exists().then_some(path)
    }

    /// The token that the hub's own tools keep beside the cache.
    pub(crate) fn token(&self) -> Option<String> {
        let text = fs_err::read_to_string(self.path.parent()?.join("token")).ok()?;
        Some(text.trim().to_owned()).filter(|token| !token.is_empty())
    }
}

/// The file that names the commit of a model's `main`.
pub(crate) const MAIN: &str = "refs/main";

/// The folder of a commit's files; `None` for an invalid commit, which might lead elsewhere.
pub(crate) fn snapshot(model: &Path, commit: &str) -> Option<PathBuf> {
    let is_commit = (1..=64).contains(&commit.len()) && commit.chars().all(|c| c.is_ascii_alphanumeric());
    is_commit.then(|| model.join("snapshots").join(commit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_cache_is_that_of_the_commit_that_main_is() {
        let root = tempfile::tempdir().unwrap();
        let cache = HubCache::at(root.path().join("hub"));
        let put = |path: &str, text: &str| {
            ragbias_files::write_file(&root.path().join("hub/models--org--name").join(path), text).unwrap();
        };
        put("snapshots/c0ffee/config.json", "{}");
        assert_eq!(cache.file("org/name", "config.json"), None);
        put("refs/main", "c0ffee\n");
        let found = cache.file("org/name", "config.json").unwrap();
        assert!(found.ends_with("models--org--name/snapshots/c0ffee/config.json"), "{}", found.display());
        assert_eq!(cache.file("org/name", "other.json"), None);
        for outside in ["..", "../..", "/etc", "", "a/b", "..\\x"] {
            put("refs/main", outside);
            assert_eq!(cache.file("org/name", "config.json"), None, "{outside}");
        }
        assert_eq!(cache.token(), None);
        fs_err::write(root.path().join("token"), " hf-secret\n").unwrap();
        assert_eq!(cache.token().as_deref(), Some("hf-secret"));
    }
}
