use candle_core::{Device, Tensor};
use candle_transformers::models::{quantized_gemma3, quantized_llama};

use crate::file::GgufFile;
use crate::{Error, Result};

/// A language model with the keys and values of the tokens it has read; a clone shares its weights and goes its own
/// way from there.
#[derive(Clone)]
pub(crate) struct Model {
    family: Family,
    read: usize,
}

#[derive(Clone)]
enum Family {
    Llama(quantized_llama::ModelWeights),
    Gemma3(quantized_gemma3::ModelWeights),
}

impl Model {
    pub(crate) fn load(file: &GgufFile) -> Result<Self> {
        let architecture = file.text("general.architecture").unwrap_or("unknown");
        if !matches!(architecture, "llama" | "gemma3") {
            return Err(Error::Architecture { path: file.path().into(), received: architecture.into() });
        }
        let (content, mut reader) = file.dense()?;
        let broken = |error: candle_core::Error| {
            let reason = error.to_string().lines().next().unwrap_or_default().to_owned();
            Error::File { path: file.path().into(), reason }
        };
        let family = if architecture == "llama" {
            let model = quantized_llama::ModelWeights::from_gguf(content, &mut reader, &Device::Cpu);
            Family::Llama(model.map_err(broken)?)
        } else {
            let model = quantized_gemma3::ModelWeights::from_gguf(content, &mut reader, &Device::Cpu);
            Family::Gemma3(model.map_err(broken)?)
        };
        Ok(Self { family, read: 0 })
    }

    /// Reads more tokens, at least one, and gives the logits of the token after the last.
    pub(crate) fn read(&mut self, tokens: &[u32]) -> Result<Vec<f32>> {
        let input = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
        let logits = match &mut self.family {
            Family::Llama(model) => model.forward(&input, self.read)?,
            Family::Gemma3(model) => model.forward(&input, self.read)?,
        };
        self.read += tokens.len();
        Ok(logits.flatten_all()?.to_vec1()?)
    }

    /// Whether several tokens may follow others that were read before. candle 0.11's Gemma 3 hides what was read from
    /// every token of a longer continuation but a single one.
    pub(crate) fn continues(&self) -> bool {
        matches!(self.family, Family::Llama(_))
    }
}
