//! Controls that change E_b continuously, and their files for a retrieval service.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Embedded, Error, Result};

mod how;
mod merge;
mod projection;
mod ranking;

pub use how::{Drawn, How, Moved};
pub use merge::Merge;
pub use projection::{Projection, direction_of_poles};
pub use ranking::Draw;

/// A setting that changes E_b continuously.
pub trait Control: Send + Sync {
    /// Its kind.
    fn kind(&self) -> ControlKind;

    /// The corpus searched at a setting; shares the base's index if possible.
    ///
    /// # Errors
    /// Failures of the embedder or the index.
    fn turn(&self, base: &Embedded, setting: f64) -> Result<Embedded>;

    /// The description that a retrieval service needs, whose further files are written into a folder.
    ///
    /// # Errors
    /// Failures of the file system.
    fn save(&self, setting: f64, folder: &Path) -> Result<How>;
}

/// The available controls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlKind {
    /// [`Merge`]: the weight w of a tuned embedder; 0 is the base, 1 the tuned one.
    Merge,
    /// [`Projection`]: the factor α of a question's component along a direction; 1 is the base, 0 removes it, below 0 reverses it.
    Projection,
    /// [`Draw`]: the temperature T of stochastic ranking; 0 is the base.
    Ranking,
}

impl ControlKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Merge, Self::Projection, Self::Ranking];

    /// Its name in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Projection => "projection",
            Self::Ranking => "ranking",
        }
    }

    /// The neutral setting.
    pub fn neutral(self) -> f64 {
        if self == Self::Projection { 1.0 } else { 0.0 }
    }

    /// The extreme settings, in the order in which they are tried.
    pub fn ends(self) -> &'static [f64] {
        match self {
            Self::Merge => &[2.0],
            Self::Projection => &[-3.0, 5.0],
            Self::Ranking => &[0.5],
        }
    }
}

impl std::str::FromStr for ControlKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| Error::Setting {
            setting: "--control",
            expected: "merge, projection or ranking",
            received: text.into(),
        })
    }
}
