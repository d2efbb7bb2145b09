//! The location of a tensor's values.

use safetensors::Dtype;

/// The position of a tensor's values, all within the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// First byte of the first value.
    pub(super) start: usize,
    /// Strides of the dimensions, if the values are not contiguous.
    pub(super) strides: Option<Vec<usize>>,
}

impl Place {
    /// Number of values; a checked shape has no more than the file has bytes.
    pub(super) fn count(&self) -> usize {
        self.shape.iter().product()
    }
}
