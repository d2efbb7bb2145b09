use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama;

use crate::file::GgufFile;
use crate::gemma3::Gemma3;
use crate::{Error, Result};

/// A language model with the keys and values of the tokens it has read; a clone shares its weights and goes its own
/// way from there.
#[derive(Clone)]
pub(crate) enum Model {
    /// The model, and how many tokens it has read.
    Llama(Box<quantized_llama::ModelWeights>, usize),
    Gemma3(Gemma3),
}

/// The families that are run here.
#[derive(Clone, Copy)]
pub(crate) enum Architecture {
    Llama,
    Gemma3,
}

impl Architecture {
    /// What the file says it is.
    pub(crate) fn of(file: &GgufFile) -> Result<Self> {
        match file.text("general.architecture").unwrap_or("unknown") {
            "llama" => Ok(Self::Llama),
            "gemma3" => Ok(Self::Gemma3),
            other => Err(Error::Architecture { path: file.path().into(), received: other.into() }),
        }
    }

    /// The prefix of its keys in the file's metadata.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Gemma3 => "gemma3",
        }
    }
}

impl Model {
    pub(crate) fn load(architecture: Architecture, file: &GgufFile, context: usize) -> Result<Self> {
        match architecture {
            Architecture::Llama => {
                let (content, mut reader) = file.dense()?;
                let model = quantized_llama::ModelWeights::from_gguf(content, &mut reader, &Device::Cpu);
                let reason = |error: candle_core::Error| {
                    error.to_string().lines().next().unwrap_or_default().to_owned()
                };
                let broken = |error| Error::File { path: file.path().into(), reason: reason(error) };
                Ok(Self::Llama(Box::new(model.map_err(broken)?), 0))
            }
            Architecture::Gemma3 => Ok(Self::Gemma3(Gemma3::load(file, context)?)),
        }
    }

    /// Reads more tokens, at least one, and gives the logits of the token after the last.
    pub(crate) fn read(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        match self {
            Self::Llama(model, read) => {
                let input = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
                let logits = model.forward(&input, *read)?;
                *read += tokens.len();
                Ok(logits.flatten_all()?.to_vec1()?)
            }
            Self::Gemma3(model) => model.read(tokens),
        }
    }
}
