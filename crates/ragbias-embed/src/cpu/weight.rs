//! Weights whose values are read in place.

use std::ops::Deref;

use candle_core::{DType, Device, Storage, Tensor};

use crate::Result;
use crate::parameters::Parameters;

/// A contiguous f32 tensor on the CPU.
#[derive(Clone)]
pub(super) struct Weight(Tensor);

impl Weight {
    pub(super) fn new(tensor: &Tensor) -> Result<Self> {
        Ok(Self(tensor.to_dtype(DType::F32)?.contiguous()?.detach()))
    }

    /// A vector of zeros.
    pub(super) fn zeros(length: usize) -> Result<Self> {
        Self::new(&Tensor::zeros(length, DType::F32, &Device::Cpu)?)
    }

    pub(super) fn named(parameters: &Parameters, name: &str) -> Result<Self> {
        Self::new(parameters.get(name)?)
    }

    /// Its values, in place.
    pub(super) fn values(&self) -> Values<impl Deref<Target = Storage>> {
        let (storage, layout) = self.0.storage_and_layout();
        Values { storage, start: layout.start_offset(), length: layout.shape().elem_count() }
    }

    pub(super) fn shape(&self) -> &[usize] {
        self.0.dims()
    }
}

/// The values of a [`Weight`]: a slice of a storage locked for reading.
pub(super) struct Values<S> {
    storage: S,
    start: usize,
    length: usize,
}

impl<S: Deref<Target = Storage>> Deref for Values<S> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let Storage::Cpu(storage) = &*self.storage else {
            panic!("a weight that is not on the CPU; this is a bug")
        };
        let values = storage.as_slice::<f32>().expect("weights are f32; this is a bug");
        &values[self.start..self.start + self.length]
    }
}
