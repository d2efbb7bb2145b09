mod likelihoods;
mod loaded;
mod opened;

use std::path::Path;

use candle_core::{DType, Device};
use ragbias_core::{
    Answer, ChoicePrompt, Chosen, ContentId, Generator, Keep, Likelihood, PossibleAnswer, Precision,
    Processor, Prompt,
};

use self::loaded::Llm;
pub(crate) use self::loaded::Loaded;
pub(crate) use self::opened::Opened;
use crate::Result;
use crate::change::WeightChange;
use crate::config::GenerateConfig;
use crate::operators::{DeviceDecoder, Place};
use crate::processor::{device, dtype};

/// A `.gguf` file of one of the supported architectures (`docs/formats-gguf.md`), on the CPU or on a GPU.
///
/// Tokenizer and chat template are the file's own; a model without a template is treated as a base model, with plain
/// prompts that end in `Answer:`. Decoding is greedy unless a temperature is set.
///
/// Prompts that are given together share the prefill of their common prefixes and are decoded as a batch. On the CPU weights are
/// memory-mapped from the file, activations are f32, and each prompt gets the same answer as alone, with bit-identical
/// probabilities. On a GPU weights are dequantised once, to f32 or bf16, and a prompt's logits are the same in any batch but
/// for rounding; the identity of such a generator includes the device's kind and the precision.
pub struct Gguf(Box<dyn Llm>);

impl Gguf {
    /// Loads a model on the CPU.
    ///
    /// # Errors
    /// A setting out of range; a file that is truncated, damaged, or of another architecture; or any key or tensor that would
    /// change numbers and is not supported, by its name.
    pub fn load(path: &Path, config: &GenerateConfig) -> Result<Self> {
        Self::read(path, config, None)
    }

    /// Loads a model on a device; on the CPU it computes in f32, whatever the precision.
    ///
    /// # Errors
    /// Those of [`Gguf::load`]; a device that is unavailable or has no room for the model, a precision that it does not have.
    pub fn load_on(
        path: &Path,
        config: &GenerateConfig,
        processor: Processor,
        precision: Precision,
    ) -> Result<Self> {
        let chosen = match processor {
            Processor::Cpu => None,
            Processor::Cuda(_) => Some((processor, device(processor)?, precision, dtype(precision)?)),
        };
        Self::read(path, config, chosen)
    }

    /// Loads a model on the CPU and changes its layer matrices, which are then in memory in f32.
    ///
    /// # Errors
    /// Those of [`Gguf::load`]; a change that is made for other models.
    pub fn load_changed(path: &Path, config: &GenerateConfig, change: &dyn WeightChange) -> Result<Self> {
        let opened = Opened::read(path, config)?;
        let fingerprint = [b"changed/1 ", &change.fingerprint()[..]].concat();
        let (decoder, parts) = opened.into_parts(Some(&fingerprint));
        Ok(Self(Box::new(Loaded::new(decoder.changed(change)?, parts))))
    }

    /// Loads a model on the CPU, computed by the operators that a GPU uses: the reference implementation in tests.
    ///
    /// # Errors
    /// Those of [`Gguf::load`], [`Error::NotInInt8`].
    #[doc(hidden)]
    pub fn with_operators(path: &Path, config: &GenerateConfig, precision: Precision) -> Result<Self> {
        Self::read(path, config, Some((Processor::Cpu, Device::Cpu, precision, dtype(precision)?)))
    }

    fn read(
        path: &Path,
        config: &GenerateConfig,
        chosen: Option<(Processor, Device, Precision, DType)>,
    ) -> Result<Self> {
        let opened = Opened::read(path, config)?;
        let Some((processor, device, precision, dtype)) = chosen else {
            let (decoder, parts) = opened.into_parts(None);
            return Ok(Self(Box::new(Loaded::new(decoder, parts))));
        };
        let (context, path) = (opened.context, path.into());
        let place = Place { processor, device, precision, dtype, context, path };
        let (decoder, parts) = opened.into_parts(Some(place.fingerprint().as_bytes()));
        Ok(Self(Box::new(Loaded::new(DeviceDecoder::new(&decoder, place)?, parts))))
    }

    /// Seconds to prefill `batch` prompts of `prompt` tokens, and to decode `new` more of each, ignoring end tokens.
    ///
    /// # Errors
    /// The device failed, or ran out of memory.
    #[doc(hidden)]
    pub fn time(&self, batch: usize, prompt: usize, new: usize) -> Result<[f64; 2]> {
        self.0.time(batch, prompt, new)
    }
}

impl Generator for Gguf {
    fn id(&self) -> ContentId {
        self.0.id()
    }

    fn notes(&self) -> Vec<String> {
        self.0.notes()
    }

    fn likelihoods(
        &self,
        answers: &[PossibleAnswer<'_>],
        keep: &Keep<'_, Likelihood>,
    ) -> ragbias_core::Result<()> {
        self.0.likelihoods(answers, keep)
    }

    fn generate(&self, prompts: &[Prompt<'_>], keep: &Keep<'_, Answer>) -> ragbias_core::Result<()> {
        self.0.generate(prompts, keep)
    }

    fn choose(&self, prompts: &[ChoicePrompt<'_>], keep: &Keep<'_, Chosen>) -> ragbias_core::Result<()> {
        self.0.choose(prompts, keep)
    }
}
