//! What moves E_b continuously, and what is saved of it for a retrieval service.

use std::path::Path;

use crate::{Embedded, Result};

mod how;
mod kind;
mod merge;
mod projection;
mod ranking;

pub use how::{Drawn, How, Moved};
pub use kind::{ControlKind, UnknownControl};
pub use merge::Merge;
pub use projection::{Projection, direction_of_poles};
pub use ranking::Draw;

/// Something that moves E_b, continuously, when it is turned.
pub trait Control: Send + Sync {
    /// Which one it is.
    fn kind(&self) -> ControlKind;

    /// The corpus as it is searched at a setting; an index that can be shared with the base is.
    ///
    /// # Errors
    /// Failures of the embedder or the index.
    fn turn(&self, base: &Embedded, setting: f64) -> Result<Embedded>;

    /// What a retrieval service needs to do the same, with files of its own in a folder.
    ///
    /// # Errors
    /// Failures of the file system.
    fn save(&self, setting: f64, folder: &Path) -> Result<How>;
}
