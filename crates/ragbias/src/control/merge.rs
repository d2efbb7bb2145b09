use std::path::Path;
use std::sync::Arc;

use super::spec::EMBEDDER;
use super::{Control, ControlKind, ControlSpec};
use crate::family::Interpolation;
use crate::{Embedded, Result};

/// Merges the weights of a base and a member tuned from it.
pub struct Merge(pub Interpolation);

impl Control for Merge {
    fn kind(&self) -> ControlKind {
        ControlKind::Merge
    }

    fn turn(&self, base: &Embedded, setting: f64) -> Result<Embedded> {
        base.embedded_by(Arc::new(self.0.at(setting)?))
    }

    fn save(&self, setting: f64, folder: &Path) -> Result<ControlSpec> {
        self.0.save(setting, &folder.join(EMBEDDER))?;
        let training = self.0.training().to_owned();
        Ok(ControlSpec { merge: Some(setting), training: Some(training), ..ControlSpec::of(EMBEDDER) })
    }
}
