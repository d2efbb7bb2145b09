//! The registry of published data sets as it is written in its file, and the rules that it must obey.

use serde::Deserialize;

use super::set::{PublishedSet, SetFile, SetLayout, SetSource};
use crate::rules::{Names, Refusal, hexadecimal, plain_path, size};

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entries {
    #[serde(rename = "set")]
    sets: Vec<Entry>,
}

/// A data set.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    about: String,
    axis: Option<String>,
    layout: SetLayout,
    licence: String,
    citation: String,
    github: Option<String>,
    commit: Option<String>,
    archive: Option<ArchiveEntry>,
    files: Vec<SetFile>,
}

/// A zip archive.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ArchiveEntry {
    address: String,
    bytes: Option<u64>,
    sha256: Option<String>,
}

impl Entries {
    /// The data sets of the file, each checked.
    pub(super) fn sets(self) -> Result<Vec<PublishedSet>, Refusal> {
        let mut names = Names::default();
        let mut set = |entry: Entry| {
            let name = entry.name.clone();
            let checked = names.add("name", &name).and_then(|()| PublishedSet::try_from(entry));
            checked.map_err(|reason| format!("data set `{name}`: {reason}"))
        };
        self.sets.into_iter().map(&mut set).collect()
    }
}

impl TryFrom<Entry> for PublishedSet {
    type Error = Refusal;

    fn try_from(entry: Entry) -> Result<Self, Refusal> {
        plain_path("name", &entry.name, 1)?;
        let source = match (entry.github, entry.commit, entry.archive) {
            (Some(repository), Some(commit), None) => github(repository, commit)?,
            (None, None, Some(archive)) => archive.check()?,
            _ => return Err("expected either `github` and `commit`, or `archive`".into()),
        };
        let mut paths = Names::default();
        for file in &entry.files {
            paths.add("file", &file.path)?;
            check(file)?;
        }
        if entry.files.is_empty() {
            return Err("expected at least one file, received none".into());
        }
        Ok(Self {
            name: entry.name,
            about: entry.about,
            axis: entry.axis,
            layout: entry.layout,
            licence: entry.licence,
            citation: entry.citation,
            source,
            files: entry.files,
        })
    }
}

fn github(repository: String, commit: String) -> Result<SetSource, Refusal> {
    if repository.split('/').count() != 2 {
        return Err(format!("github: expected `owner/name`, received `{repository}`"));
    }
    plain_path("github", &repository, 2)?;
    hexadecimal("github", "commit", &commit, 40)?;
    Ok(SetSource::GitHub { repository, commit })
}

impl ArchiveEntry {
    fn check(self) -> Result<SetSource, Refusal> {
        if !self.address.starts_with("https://") {
            return Err(format!(
                "archive: expected an address that begins with https://, received `{}`",
                self.address
            ));
        }
        size_and_sum_if_known("archive", self.bytes, self.sha256.as_deref())?;
        Ok(SetSource::Archive { address: self.address, bytes: self.bytes, sha256: self.sha256 })
    }
}

fn check(file: &SetFile) -> Result<(), Refusal> {
    let place = format!("file `{}`", file.path);
    plain_path(&place, &file.path, usize::MAX)?;
    if file.from.split('/').any(|name| name.is_empty() || name.starts_with('.')) {
        return Err(format!("{place}: expected names between `/`, received `{}`", file.from));
    }
    size_and_sum_if_known(&place, file.bytes, file.sha256.as_deref())
}

fn size_and_sum_if_known(place: &str, bytes: Option<u64>, sha256: Option<&str>) -> Result<(), Refusal> {
    bytes.map_or(Ok(()), |bytes| size(place, bytes))?;
    sha256.map_or(Ok(()), |sum| hexadecimal(place, "sha256", sum, 64))
}
