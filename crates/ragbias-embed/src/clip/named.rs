//! The weights of a checkpoint by name; every tensor has to be used.

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::{Device, Tensor};
use ragbias_core::ContentId;

use crate::Result;
use crate::config::Rounding;
use crate::weights::{Owner, Weights};

/// Weights, and the names of those that were taken.
pub(super) struct Named<'d> {
    weights: Weights,
    taken: BTreeSet<String>,
    rounding: Option<Rounding>,
    device: &'d Device,
}

impl<'d> Named<'d> {
    pub(super) fn open(folder: &Path, rounding: Option<Rounding>, device: &'d Device) -> Result<Self> {
        Ok(Self { weights: Weights::open(folder, Owner::Clip)?, taken: BTreeSet::new(), rounding, device })
    }

    /// A tensor of this shape, f32.
    pub(super) fn get(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.taken.insert(name.to_owned());
        self.weights.get(name, shape, self.rounding, self.device)
    }

    /// Refuses tensors that were not taken; gives the hash of the files.
    pub(super) fn finish(self) -> Result<ContentId> {
        self.weights.refuse_others(|name| self.taken.contains(name), 0)?;
        Ok(self.weights.content_id())
    }
}
