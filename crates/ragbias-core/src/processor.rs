//! Where models run, and how precisely.

use std::str::FromStr;

use crate::{Error, Result};

/// The device of encoders and of LLMs: `cpu`, `cuda` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Processor {
    /// The CPU.
    #[default]
    Cpu,
    /// An NVIDIA GPU by its number, from 0; requires a build with the feature `cuda`.
    Cuda(usize),
}

impl FromStr for Processor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.parse().ok().map(Self::Cuda);
        let parsed = match text {
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            _ => text.strip_prefix("cuda:").and_then(number),
        };
        parsed.ok_or_else(|| Error::Processor {
            name: text.into(),
            reason: "expected cpu, cuda or cuda:N".into(),
        })
    }
}

impl std::fmt::Display for Processor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl Processor {
    /// The error of a build without this device.
    pub fn not_built(self) -> Error {
        self.unavailable(
            "ragbias was built without it\nhint: cargo build --release --features cuda, see docs/gpu.md",
        )
    }

    /// The error of a device that cannot be used for this reason.
    pub fn unavailable(self, reason: impl Into<String>) -> Error {
        Error::Processor { name: self.to_string(), reason: reason.into() }
    }
}

/// The precision of products; an encoder's weights and gradients are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// bfloat16, on a GPU: 16 bits with the exponent range of f32 and two to three digits. The CPU computes in f32 instead.
    Bf16,
    /// 8-bit integers in the linear layers of an encoder, on the CPU, for embedding alone: weights with a scale per output,
    /// activations with a scale and a zero point per token. LLMs compute in f32 instead.
    Int8,
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "int8" => Ok(Self::Int8),
            _ => Err(Error::Precision(text.into())),
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_known_by_name() {
        for name in ["cpu", "cuda:0", "cuda:3"] {
            assert_eq!(name.parse::<Processor>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse::<Processor>().unwrap(), Processor::Cuda(0));
        let error = "gpu".parse::<Processor>().unwrap_err().to_string();
        assert_eq!(error, "processor `gpu`: expected cpu, cuda or cuda:N");
    }

    #[test]
    fn precisions_are_known_by_name() {
        for name in ["f32", "bf16", "int8"] {
            assert_eq!(name.parse::<Precision>().unwrap().to_string(), name);
        }
        let error = "f64".parse::<Precision>().unwrap_err().to_string();
        assert_eq!(error, "precision `f64`: expected f32, bf16 or int8");
    }
}
