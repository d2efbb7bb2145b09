//! candle's device and type for what the user asked for.

use candle_core::{DType, Device};
use ragbias_core::{Precision, Processor};

use crate::{Error, Result};

/// The device of an encoder.
///
/// # Errors
/// [`ragbias_core::Error::Processor`] if it is unavailable.
pub(crate) fn device(processor: Processor) -> Result<Device> {
    match processor {
        Processor::Cpu => Ok(Device::Cpu),
        Processor::Cuda(_) if !candle_core::utils::cuda_is_available() => Err(processor.not_built().into()),
        Processor::Cuda(number) => {
            Device::new_cuda(number).map_err(|error| processor.unavailable(error.to_string()).into())
        }
    }
}

/// The type of the products of a trainable encoder on a device.
///
/// # Errors
/// [`Error::NotInInt8`].
pub(crate) fn dtype(precision: Precision) -> Result<DType> {
    match precision {
        Precision::F32 => Ok(DType::F32),
        Precision::Bf16 => Ok(DType::BF16),
        Precision::Int8 => Err(Error::NotInInt8),
    }
}

#[cfg(all(test, not(feature = "cuda")))]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_that_the_build_does_not_know_is_refused_with_a_hint() {
        let error = device(Processor::Cuda(0)).unwrap_err().to_string();
        assert!(error.contains("built without it") && error.contains("hint: "), "{error}");
    }
}
