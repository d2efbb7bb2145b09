use std::path::Path;
use std::sync::Arc;

use ragbias_embed::{Erased, Sides};

use super::{Control, ControlKind, ControlSpec, ErasureSpec, FittedEraser};
use crate::{Embedded, Result};

/// Erases the pole from vectors, in part, in whole, or beyond.
pub struct Erasure {
    /// Name of the base.
    pub base: String,
    /// What is erased, and what it was fitted on.
    pub fitted: FittedEraser,
    /// Whose vectors are changed.
    pub sides: Sides,
    /// Description of what is erased.
    pub of: String,
}

impl Control for Erasure {
    fn kind(&self) -> ControlKind {
        ControlKind::Erasure
    }

    fn turn(&self, base: &Embedded, setting: f64) -> Result<Embedded> {
        let embedder = Arc::clone(base.embedder());
        let erased = Arc::new(Erased::new(embedder, self.fitted.eraser.clone(), setting, self.sides)?);
        match self.sides {
            Sides::Questions => base.asked_by(erased),
            Sides::Both => base.embedded_by(erased),
        }
    }

    fn save(&self, setting: f64, _: &Path) -> Result<ControlSpec> {
        let Self { base, fitted, sides, of } = self;
        let erased = ErasureSpec { strength: setting, sides: *sides, of: of.clone(), fitted: fitted.clone() };
        Ok(ControlSpec { erasure: Some(erased), ..ControlSpec::of(base) })
    }
}
