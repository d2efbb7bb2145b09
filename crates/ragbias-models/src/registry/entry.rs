//! The registry as it is written in its file, and the rules that it must obey.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::model::{Archive, Model, ModelFile, ModelKind, Package, Packed};
use crate::rules::{Names, Refusal, plain_path, size_and_sum};

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entries {
    #[serde(rename = "model")]
    models: Vec<Entry>,
}

/// A model.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    kind: ModelKind,
    about: String,
    licence: String,
    hub: Option<String>,
    #[serde(default)]
    packages: Vec<Package>,
    #[serde(default)]
    archives: Vec<Archive>,
    files: Vec<FileEntry>,
}

/// A file of a model.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    path: String,
    bytes: u64,
    sha256: String,
    parts: Option<Vec<String>>,
    archive: Option<String>,
    member: Option<String>,
}

impl Entries {
    /// The models of the file, each checked.
    pub(super) fn models(self) -> Result<Vec<Model>, Refusal> {
        let mut names = Names::default();
        let mut model = |entry: Entry| {
            let name = entry.name.clone();
            let checked = names.add("name", &name).and_then(|()| Model::try_from(entry));
            checked.map_err(|reason| format!("model `{name}`: {reason}"))
        };
        self.models.into_iter().map(&mut model).collect()
    }
}

impl TryFrom<Entry> for Model {
    type Error = Refusal;

    fn try_from(entry: Entry) -> Result<Self, Refusal> {
        plain_path("name", &entry.name, 1)?;
        if entry.hub.is_none() && entry.packages.is_empty() {
            return Err("expected `hub`, `packages` or both, received neither".into());
        }
        for package in &entry.packages {
            let place = format!("package `{}`", package.requirement);
            // It is also the name of a file.
            plain_path(&place, &package.requirement, 1)?;
            if package
                .requirement
                .split_once("==")
                .is_none_or(|(name, version)| name.is_empty() || version.is_empty())
            {
                return Err(format!("{place}: expected `name==version`"));
            }
            size_and_sum(&place, package.bytes, &package.sha256)?;
        }
        let files: Vec<ModelFile> = entry
            .files
            .into_iter()
            .map(|file| file.check(!entry.packages.is_empty()))
            .collect::<Result<_, _>>()?;
        if files.is_empty() {
            return Err("expected at least one file, received none".into());
        }
        let mut paths = Names::default();
        files.iter().try_for_each(|file| paths.add("file", &file.path))?;
        check_archives(&entry.archives, &files)?;
        Ok(Self {
            name: entry.name,
            kind: entry.kind,
            about: entry.about,
            licence: entry.licence,
            hub: entry.hub,
            packages: entry.packages,
            archives: entry.archives,
            files,
        })
    }
}

impl FileEntry {
    fn check(self, has_packages: bool) -> Result<ModelFile, Refusal> {
        let place = format!("file `{}`", self.path);
        plain_path(&place, &self.path, usize::MAX)?;
        size_and_sum(&place, self.bytes, &self.sha256)?;
        let packed = match (self.parts, self.archive, self.member) {
            (None, None, None) => None,
            (Some(parts), None, None) if !parts.is_empty() => Some(Packed::Parts(parts)),
            (None, Some(archive), Some(member)) => Some(Packed::Member { archive, member }),
            _ => {
                return Err(format!(
                    "{place}: expected either `parts`, not empty, or `archive` and `member`"
                ));
            }
        };
        match (has_packages, packed.is_some()) {
            (true, false) => Err(format!(
                "{place}: expected `parts`, or `archive` and `member`, of the packages, received none"
            )),
            (false, true) => {
                Err(format!("{place}: its source is a package, but the model has no `packages`"))
            }
            _ => Ok(ModelFile { path: self.path, bytes: self.bytes, sha256: self.sha256, packed }),
        }
    }
}

/// Archives and files must refer to each other.
fn check_archives(archives: &[Archive], files: &[ModelFile]) -> Result<(), Refusal> {
    let (mut known, mut used) = (Names::default(), BTreeSet::new());
    for archive in archives {
        let place = format!("archive `{}`", archive.name);
        known.add("archive", &archive.name)?;
        size_and_sum(&place, archive.bytes, &archive.sha256)?;
        if archive.parts.is_empty() {
            return Err(format!("{place}: expected at least one part, received none"));
        }
    }
    for file in files {
        let Some(Packed::Member { archive, member }) = &file.packed else { continue };
        if !known.has(archive) {
            return Err(format!(
                "file `{}`: expected an archive of the model, received `{archive}`",
                file.path
            ));
        }
        if !used.insert((archive, member)) {
            return Err(format!("file `{}`: `{member}` of `{archive}` is another file already", file.path));
        }
    }
    match archives.iter().find(|archive| !used.iter().any(|(name, _)| **name == archive.name)) {
        Some(unused) => Err(format!("archive `{}`: no file is a member of it", unused.name)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
