//! The kinds of controls and their names.

use serde::{Deserialize, Serialize};

/// The available controls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlKind {
    /// [`Merge`](super::Merge): the weight w of a tuned embedder; 0 is the base, 1 the tuned one.
    Merge,
    /// [`Projection`](super::Projection): the factor α of a question's part along a direction; 1 is the base, 0 removes it, below 0 reverses it.
    Projection,
    /// [`Draw`](super::Draw): the temperature T of stochastic ranking; 0 is the base.
    Ranking,
    /// [`Erasure`](super::Erasure): the strength β; 0 is the base, 1 erases the pole, 2 reflects it.
    Erasure,
    /// [`Reranking`](super::Reranking): the target share p of the positive pole, from 0 to 1; no share leaves every ranking as it is.
    Reranking,
}

impl ControlKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Merge, Self::Projection, Self::Ranking, Self::Erasure, Self::Reranking];

    /// Its name in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Projection => "projection",
            Self::Ranking => "ranking",
            Self::Erasure => "erasure",
            Self::Reranking => "reranking",
        }
    }

    /// The setting that changes nothing, if there is one.
    pub fn neutral(self) -> Option<f64> {
        match self {
            Self::Projection => Some(1.0),
            Self::Merge | Self::Ranking | Self::Erasure => Some(0.0),
            Self::Reranking => None,
        }
    }

    /// The setting at which a search begins: the one that changes nothing, or else the lowest.
    pub fn start(self) -> f64 {
        self.neutral().unwrap_or(0.0)
    }

    /// The extreme settings on either side of the start, in the order in which they are tried.
    pub fn ends(self) -> &'static [f64] {
        match self {
            Self::Merge => &[2.0],
            // If documents are changed as well, a reflection may undo the effect: two vectors that are both reflected are about as similar as before.
            Self::Erasure => &[1.0, 2.0],
            Self::Projection => &[-3.0, 5.0],
            Self::Ranking => &[0.5],
            Self::Reranking => &[1.0],
        }
    }
}

/// An unknown name of a control.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no control is called `{0}`: expected merge, projection, ranking, erasure or reranking")]
pub struct UnknownControl(pub String);

impl std::str::FromStr for ControlKind {
    type Err = UnknownControl;

    fn from_str(text: &str) -> Result<Self, UnknownControl> {
        let named = Self::ALL.into_iter().find(|kind| kind.name() == text);
        named.ok_or_else(|| UnknownControl(text.into()))
    }
}
