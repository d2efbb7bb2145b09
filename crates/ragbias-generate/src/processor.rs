//! candle's device and type for what the user asked for.

use candle_core::{DType, Device};
use ragbias_core::{Precision, Processor};

use crate::{Error, Result};

/// The device of a decoder.
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

/// The type of a decoder's weights and products on a device other than the CPU.
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
