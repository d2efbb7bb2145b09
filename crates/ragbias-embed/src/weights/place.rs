//! Where a tensor's values lie.

use safetensors::Dtype;

/// Where a tensor's values lie; all of them within the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// First byte of the first value.
    pub(super) start: usize,
    /// Values from one to the next of each dimension, where they do not lie one after the other.
    pub(super) strides: Option<Vec<usize>>,
}

impl Place {
    /// Values, of which a shape that was checked has no more than the file has bytes.
    pub(super) fn count(&self) -> usize {
        self.shape.iter().product()
    }
}
