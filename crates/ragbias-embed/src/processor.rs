//! The device of an encoder.

use candle_core::Device;

use crate::{Error, Result};

/// The device of an encoder: `cpu`, `cuda` or `cuda:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Processor {
    /// The CPU.
    #[default]
    Cpu,
    /// An NVIDIA GPU by its number, from 0; requires a build with the feature `cuda`.
    Cuda(usize),
}

impl std::str::FromStr for Processor {
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
    /// The device.
    ///
    /// # Errors
    /// [`Error::Processor`] if it is unavailable.
    pub fn device(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(_) if !candle_core::utils::cuda_is_available() => Err(Error::Processor {
                name: self.to_string(),
                reason: "ragbias was built without it\nhint: cargo build --release --features cuda, see docs/gpu.md".into(),
            }),
            Self::Cuda(number) => Device::new_cuda(number)
                .map_err(|error| Error::Processor { name: self.to_string(), reason: error.to_string() }),
        }
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

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_gpu_that_the_build_does_not_know_is_refused_with_a_hint() {
        let error = Processor::Cuda(0).device().unwrap_err().to_string();
        assert!(error.contains("built without it") && error.contains("hint: "), "{error}");
    }
}
