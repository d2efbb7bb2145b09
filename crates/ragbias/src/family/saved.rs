//! A family's folder, whose members are either complete or absent.

use std::path::{Path, PathBuf};

use ragbias_core::{ContentId, Progress, message, slug};
use ragbias_data::Member;
use ragbias_embed::Card;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The content of a member's `ragbias.json`.
#[derive(Serialize, Deserialize)]
pub(super) struct MemberCard {
    pub(super) version: String,
    /// Hash of base, recipe settings and examples; a folder with another hash is made again.
    pub(super) id: ContentId,
    pub(super) base_id: ContentId,
    #[serde(flatten)]
    pub(super) member: Member,
    /// The scorer of its measurement.
    pub(super) measured_on: String,
}

/// The folder of a member, which is in the family's folder whatever its name.
pub(super) fn member_folder(family: &Path, member: &str) -> PathBuf {
    family.join("members").join(slug(member))
}

/// The state of a training, from which it can be resumed.
pub(super) fn state_file(family: &Path, training: &str) -> PathBuf {
    family.join(".state").join(format!("{}.safetensors", slug(training)))
}

impl MemberCard {
    /// The card of a finished member, all of whose files were verified.
    ///
    /// # Errors
    /// A folder that is not a finished member, or a damaged one.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let not_a_member = |reason: String| Error::Run { path: folder.into(), reason };
        match Card::read(folder)? {
            Card::Whole(card) => serde_json::from_value(card)
                .map_err(|error| not_a_member(format!("not a member of a family: {error}"))),
            Card::None | Card::Unchecked(_) => {
                Err(not_a_member("not a finished member of a family\nhint: `ragbias tune` makes one".into()))
            }
        }
    }

    /// The card of a member, if it exists; damage is reported.
    pub(super) fn find(family: &Path, member: &str, then: &str, progress: &dyn Progress) -> Option<Self> {
        let folder = member_folder(family, member);
        if !folder.exists() {
            return None;
        }
        match Self::read(&folder) {
            Ok(card) => Some(card),
            Err(error) => {
                let error = message(&error);
                progress.note(&format!("{}; {then}", error.lines().next().unwrap_or_default()));
                None
            }
        }
    }
}
