//! The families of a run. Each is tuned once, even if several parts measure it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ragbias_core::{ContentId, Embedder, slug};
use ragbias_data::Member;

use crate::family::{Family, Shard};
use crate::recipe::Recipe;
use crate::{Result, Workspace};

/// Families by the path of their recipe.
pub(super) struct Families {
    /// Contains the folders of all families.
    folder: PathBuf,
    tuned: BTreeMap<PathBuf, TunedFamily>,
}

impl Families {
    pub(super) fn within(folder: PathBuf) -> Self {
        Self { folder, tuned: BTreeMap::new() }
    }

    /// The family of a recipe, tuned on the first call.
    pub(super) fn tuned(
        &mut self,
        path: &Path,
        recipe: &Recipe,
        workspace: &Workspace,
    ) -> Result<&mut TunedFamily> {
        if !self.tuned.contains_key(path) {
            let folder = self.folder.join(slug(&recipe.name));
            let mut family = Family::new(recipe, workspace)?;
            let members = family.tune(&folder, Shard::WHOLE)?;
            self.tuned.insert(path.to_owned(), TunedFamily { family, folder, members });
        }
        Ok(self.tuned.get_mut(path).expect("it was just put there; this is a bug"))
    }
}

/// A family and its members.
pub(super) struct TunedFamily {
    family: Family,
    folder: PathBuf,
    /// The base comes first.
    members: Vec<Member>,
}

impl TunedFamily {
    pub(super) fn base_id(&self) -> ContentId {
        self.family.base_id()
    }

    /// Every member with its name. The base is not included; parts name it as an embedder.
    pub(super) fn embedders(&mut self) -> impl Iterator<Item = Result<(&str, Arc<dyn Embedder>)>> {
        let Self { family, folder, members } = self;
        members.iter().skip(1).map(|member| {
            let embedder = family.embedder(folder, member)?;
            Ok((member.member.as_str(), Arc::new(embedder) as Arc<dyn Embedder>))
        })
    }
}
