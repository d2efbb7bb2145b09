//! A base and a member merged at any weight.

use std::path::Path;
use std::sync::Arc;

use ragbias_core::{ContentHasher, ContentId};
use ragbias_tune::{Base, Texts, Tuned, Weights};

use crate::Result;

/// The embedders between a base and a member tuned from it, and beyond: one at every merge weight.
#[derive(Clone)]
pub struct Interpolation {
    pub(super) base: Base,
    pub(super) texts: Arc<Texts>,
    /// Those of a member.
    pub(super) weights: Weights,
    /// Its merge weight.
    pub(super) loaded: f64,
    pub(super) id: ContentId,
    pub(super) training: String,
}

impl Interpolation {
    /// The embedder at a merge weight; see [`Family::embedder`](crate::Family::embedder) for how its texts are embedded.
    ///
    /// # Errors
    /// Weights of another base.
    pub fn at(&self, w: f64) -> Result<Tuned> {
        let id = ContentHasher::new("tuned/1").field(self.id.as_bytes()).field(w.to_le_bytes()).finish();
        let weights = self.weights.merged(&self.base, w / self.loaded)?;
        Ok(Tuned::new(&self.base, &self.texts, &weights, id)?)
    }

    /// The name of the training.
    pub fn training(&self) -> &str {
        &self.training
    }

    /// Saves the embedder at a merge weight as a checkpoint.
    ///
    /// # Errors
    /// Failures of the file system.
    pub fn save(&self, w: f64, folder: &Path) -> Result<()> {
        let card = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"), "base_id": self.base.id(), "training": self.training, "merge": w,
        });
        Ok(self.weights.merged(&self.base, w / self.loaded)?.save(&self.base, folder, card)?)
    }
}
