//! Where the data that a name or a path refers to is found.

use std::path::{Path, PathBuf};

use ragbias_core::{Axis, Progress};
use ragbias_data::Dataset;
use ragbias_models::{SetLayout, SetStore};

use crate::{Error, Result};

/// What a name or a path of data refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// A bundled data set.
    Bundled,
    /// A file or a folder, of the user or of a published set.
    Path(PathBuf),
    /// A table of a published set, with questions, documents or both.
    Table(PathBuf),
    /// The folder of the published Grep-BiasIR.
    GrepBiasIr(PathBuf),
}

impl Named {
    /// A bundled data set, else a path that exists, else a published set that was pulled; `what` is what is wanted.
    ///
    /// # Errors
    /// A name that is none of these; a published set that was not pulled, is damaged, or that no command reads.
    pub(crate) fn find(what: &'static str, name: &str, progress: &dyn Progress) -> Result<Self> {
        if Dataset::bundled_names().any(|bundled| bundled == name) {
            return Ok(Self::Bundled);
        }
        let (set, table) = name.split_once('/').map_or((name, None), |(set, table)| (set, Some(table)));
        let store = SetStore::from_env();
        let published = store.as_ref().ok().and_then(|store| store.sets().get(set).ok());
        let path = Path::new(name);
        if path.exists() {
            if published.is_some() {
                progress
                    .note(&format!("{name}: the file or folder here, not the published set of this name"));
            }
            return Ok(Self::Path(path.into()));
        }
        if published.is_none() {
            let known = Dataset::bundled_names().map(str::to_owned).collect();
            return Err(ragbias_data::Error::Unknown { what, name: name.into(), known }.into());
        }
        of_published(&store?, set, table, progress)
    }

    /// The whole data set, with its questions, documents and judgements.
    ///
    /// # Errors
    /// A malformed one, or one without a split.
    pub(crate) fn dataset(
        &self,
        name: &str,
        axis: Option<&Axis>,
        progress: &dyn Progress,
    ) -> Result<Dataset> {
        Ok(match self {
            Self::Bundled => match axis {
                Some(axis) => Dataset::bundled_on(name, axis)?,
                None => Dataset::bundled(name)?,
            },
            Self::Path(path) | Self::Table(path) => Dataset::read(path, axis, progress)?,
            Self::GrepBiasIr(folder) => Dataset::read_grep_bias_ir(folder, axis, progress)?,
        })
    }
}

/// The files of a published set, or one of its tables.
fn of_published(store: &SetStore, name: &str, table: Option<&str>, progress: &dyn Progress) -> Result<Named> {
    let set = store.sets().get(name)?;
    let unread = |expected: String| {
        let received = table.map_or_else(|| name.to_owned(), |table| format!("{name}/{table}"));
        Err(Error::Published { received, expected })
    };
    let tables: Vec<String> = set.tables().map(|(name, _)| name).collect();
    let file = match (set.layout, table) {
        (SetLayout::Other, _) => {
            return unread("a set that can be measured: no command reads its layout".into());
        }
        (SetLayout::Tables | SetLayout::Documents, None) => set.files.first(),
        (SetLayout::Tables | SetLayout::Documents, Some(table)) => {
            let own = format!("{name}/{table}");
            match set.tables().find(|(name, _)| *name == own) {
                Some((_, file)) => Some(file),
                None => return unread(format!("one of {}", tables.join(", "))),
            }
        }
        (_, None) => None,
        (_, Some(_)) => return unread(format!("`{name}`, which has no tables")),
    };
    let Some(pulled) = store.resolve(name)? else {
        return unread(format!("a set that was pulled\nhint: `ragbias data pull {name}` fetches it"));
    };
    Ok(match (set.layout, file) {
        (_, Some(file)) => {
            if table.is_none() && tables.len() > 1 {
                progress.note(&format!(
                    "{name}: its first table, {}; the others are {}",
                    tables[0],
                    tables[1..].join(", ")
                ));
            }
            Named::Table(pulled.path.join(&file.path))
        }
        (SetLayout::GrepBiasIr, _) => Named::GrepBiasIr(pulled.path),
        _ => Named::Path(pulled.path),
    })
}
