//! Controls that change E_b continuously, and their files for a retrieval service.

use std::path::Path;

use crate::{Embedded, Result};

mod eraser;
mod erasure;
mod kind;
mod leans;
mod merge;
mod projection;
mod ranking;
mod reranking;
mod spec;

pub use eraser::{Asked, FittedEraser, erased};
pub use erasure::Erasure;
pub use kind::{ControlKind, UnknownControl};
pub use leans::KnownLeans;
pub use merge::Merge;
pub use projection::{Projection, direction_of_poles};
pub use ranking::Draw;
pub use reranking::Reranking;
pub use spec::{ControlSpec, ErasureSpec, ProjectionSpec, RankingSpec, ReadyControl, RerankingSpec};

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
    fn save(&self, setting: f64, folder: &Path) -> Result<ControlSpec>;
}

#[cfg(test)]
mod tests;
