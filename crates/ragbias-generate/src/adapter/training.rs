//! Training of adapters.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor, Var};
use candle_nn::loss::cross_entropy;
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use ragbias_core::PossibleAnswer;

use super::network::{Network, Packed};
use super::{Adapter, AdapterConfig};
use crate::config::GenerateConfig;
use crate::decoder::Decoder;
use crate::gguf::{Loaded, Opened};
use crate::{Error, Result};

/// A model of a `.gguf` file whose adapters are being trained on answers to prompts, on the CPU.
///
/// The weights are in memory in f32, beside the states of all tokens of a batch.
pub struct FineTuning {
    path: PathBuf,
    /// Renders and tokenises.
    llm: Loaded<Decoder>,
    network: Network,
    adapter: Adapter,
    optimiser: AdamW,
    config: AdapterConfig,
    /// Number of steps done.
    steps: usize,
}

impl FineTuning {
    /// A model with adapters that do not change it yet.
    ///
    /// # Errors
    /// A setting outside its range; those of [`Gguf::load`](crate::Gguf::load).
    pub fn new(path: &Path, config: AdapterConfig) -> Result<Self> {
        config.check()?;
        let opened = Opened::read(path, &GenerateConfig::default())?;
        let network = Network::new(&opened.decoder)?;
        let (adapter, variables): (Adapter, Vec<Var>) = Adapter::variables(&opened.decoder, &config)?;
        let parameters =
            ParamsAdamW { lr: config.learning_rate, weight_decay: 0.0, ..ParamsAdamW::default() };
        let optimiser = AdamW::new(variables, parameters)?;
        let (decoder, parts) = opened.into_parts(None);
        let llm = Loaded::new(decoder, parts);
        Ok(Self { path: path.into(), llm, network, adapter, optimiser, config, steps: 0 })
    }

    /// The adapters as they are now.
    ///
    /// # Errors
    /// Out of memory.
    pub fn adapter(&self) -> Result<Adapter> {
        self.adapter.copied()
    }

    /// One step on a batch; returns the loss before it: the mean over the tokens of all answers of −log P, in nats, given the prompt and the
    /// tokens before.
    ///
    /// # Errors
    /// No answers, a prompt that does not fit the context, a loss that is not finite: the learning rate is too high.
    pub fn step(&mut self, answers: &[PossibleAnswer<'_>]) -> Result<f64> {
        let loss = self.loss(answers)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(Error::NonFiniteLogits { path: self.path.clone() });
        }
        self.steps += 1;
        let share = (self.steps as f64 / (self.config.warmup + 1) as f64).min(1.0);
        self.optimiser.set_learning_rate(self.config.learning_rate * share);
        self.optimiser.backward_step(&loss)?;
        Ok(value)
    }

    fn loss(&self, answers: &[PossibleAnswer<'_>]) -> Result<Tensor> {
        if answers.is_empty() {
            let (setting, expected) = ("answers of a batch", "at least one");
            return Err(Error::Setting { setting, expected, received: "none".into() });
        }
        let (mut sequences, mut places, mut next) = (Vec::new(), Vec::new(), Vec::<u32>::new());
        let mut start = 0;
        for [prompt, answer] in self.llm.answered(answers)? {
            // The logits after a token are those of the next one.
            places.extend((prompt.len() - 1..prompt.len() + answer.len() - 1).map(|at| (start + at) as u32));
            next.extend(&answer);
            let read = [&prompt[..], &answer[..answer.len() - 1]].concat();
            start += read.len();
            sequences.push(read);
        }
        let logits = self.network.logits(&Packed::new(&sequences), &places, &self.adapter)?;
        let next = Tensor::from_vec(next, places.len(), &Device::Cpu)?;
        Ok(cross_entropy(&logits, &next)?)
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::{GenerateAll, Generator, Likelihood, Prompt, Silent};
    use ragbias_models::{ModelKind, ModelStore};

    use super::*;
    use crate::Gguf;

    fn smollm2() -> PathBuf {
        ModelStore::from_env().unwrap().resolve("smollm2-135m", ModelKind::Llm, &Silent).unwrap()
    }

    const FACTS: [(&str, &str); 2] = [
        ("Who repairs the tower clock of Velm? Give just one name.", "Orla Teviot"),
        ("Who keeps the bees of Harrowfell? Give just one name.", "Bertil Okonjo"),
    ];

    fn answers<'a>(facts: &[(&'a str, &'a str)]) -> Vec<PossibleAnswer<'a>> {
        let answer = |&(user, answer)| PossibleAnswer { prompt: Prompt { system: None, user }, answer };
        facts.iter().map(answer).collect()
    }

    /// The loss is the likelihood that the model itself reports, and its slope that of finite differences.
    #[test]
    fn the_loss_is_that_of_the_model_and_falls_along_its_gradient() {
        let path = smollm2();
        let mut tuning = FineTuning::new(&path, AdapterConfig::default().rank(2)).unwrap();
        let answers = answers(&FACTS);
        let llm = Gguf::load(&path, &GenerateConfig::default()).unwrap();
        let likelihoods = llm.likelihoods_all(&answers).unwrap();
        let tokens: usize = likelihoods.iter().map(Likelihood::tokens).sum();
        let expected = -likelihoods.iter().map(Likelihood::log_probability).sum::<f64>() / tokens as f64;
        let loss = tuning.loss(&answers).unwrap();
        let value = f64::from(loss.to_scalar::<f32>().unwrap());
        assert!((value - expected).abs() < 1e-3, "{value} {expected}");

        // B of the last layer's MLP: its gradient is not 0 where A is random.
        let place = (29, crate::change::LayerMatrix::Down);
        let b = tuning.adapter.pairs[&place].b.clone();
        let gradient = loss.backward().unwrap().remove(&b).unwrap();
        let square = f64::from(gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap());
        let mut at = |step: f64| {
            tuning.adapter.pairs.get_mut(&place).unwrap().b = (&gradient * step).unwrap();
            f64::from(tuning.loss(&answers).unwrap().to_scalar::<f32>().unwrap())
        };
        let step = 0.02 / square.sqrt();
        let slope = (at(step) - at(-step)) / (2.0 * step);
        assert!((slope / square - 1.0).abs() < 0.05, "{slope} {square}");
    }

    #[test]
    fn facts_are_learned_and_the_adapted_model_is_the_same_after_it_was_written() {
        let path = smollm2();
        let config = AdapterConfig::default().learning_rate(2e-3);
        let mut tuning = FineTuning::new(&path, config).unwrap();
        let answers = answers(&FACTS);
        let losses: Vec<f64> = (0..12).map(|_| tuning.step(&answers).unwrap()).collect();
        assert!(losses[11] < 0.2 * losses[0], "{losses:?}");

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("adapter.safetensors");
        tuning.adapter().unwrap().save(&file).unwrap();
        let adapter = Adapter::load(&file).unwrap();
        let config = GenerateConfig::default();
        let tuned = Gguf::load_changed(&path, &config, &adapter).unwrap();
        let base = Gguf::load(&path, &config).unwrap();
        let mean = |llm: &Gguf| {
            let likelihoods = llm.likelihoods_all(&answers).unwrap();
            likelihoods.iter().map(Likelihood::per_token).sum::<f64>() / 2.0
        };
        assert!(mean(&tuned) > mean(&base) / 4.0, "{} {}", mean(&tuned), mean(&base));
        let loss = f64::from(tuning.loss(&answers).unwrap().to_scalar::<f32>().unwrap());
        assert!((mean(&tuned) + loss).abs() < 0.05, "{} {loss}", mean(&tuned));
        assert_ne!(tuned.id(), base.id());
    }

    #[test]
    fn a_batch_of_nothing_a_file_without_layers_and_an_adapter_of_another_model_are_refused() {
        let mut tuning = FineTuning::new(&smollm2(), AdapterConfig::default().rank(1)).unwrap();
        assert!(tuning.step(&[]).unwrap_err().to_string().contains("at least one"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("none.safetensors");
        candle_core::safetensors::save(&std::collections::HashMap::<String, Tensor>::new(), &file).unwrap();
        assert!(Adapter::load(&file).unwrap_err().to_string().contains("no adapter of layer 0, attn_q"));
        assert!(AdapterConfig::default().rank(0).check().is_err());

        let adapter = |architecture: &str| {
            let decoder = crate::testing::decoder(architecture, candle_core::quantized::GgmlDType::F32);
            Adapter::variables(&decoder, &AdapterConfig::default().rank(1)).unwrap().0
        };
        let path = smollm2();
        let refused = Gguf::load_changed(&path, &GenerateConfig::default(), &adapter("llama"));
        let error = refused.err().unwrap().to_string();
        assert!(error.contains("where the model has 30"), "{error}");
        let own = crate::testing::decoder("gemma3", candle_core::quantized::GgmlDType::F32);
        let other = adapter("gemma3");
        assert!(own.changed(&other).is_ok());
    }
}
