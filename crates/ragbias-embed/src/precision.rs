//! The precision of an encoder's products.

use candle_core::DType;

use crate::{Error, Result};

/// The precision of products; weights and gradients are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// bfloat16, on a GPU: 16 bits with the exponent range of f32 and two to three digits. The CPU computes in f32 instead.
    Bf16,
    /// 8-bit integers in the linear layers, on the CPU, for embedding alone: weights with a scale per output, activations with
    /// a scale and a zero point per token.
    Int8,
}

impl std::str::FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "int8" => Ok(Self::Int8),
            _ => Err(Error::Processor {
                name: text.into(),
                reason: "expected the precision f32, bf16 or int8".into(),
            }),
        }
    }
}

impl Precision {
    /// The type of a trainable encoder on a device.
    pub(crate) fn dtype(self) -> Result<DType> {
        match self {
            Self::F32 => Ok(DType::F32),
            Self::Bf16 => Ok(DType::BF16),
            Self::Int8 => Err(Error::NotInInt8),
        }
    }
}
