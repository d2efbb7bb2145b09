//! Low-rank adapters of an LLM, trained on answers to prompts.
//!
//! Source: Hu et al., *LoRA: Low-Rank Adaptation of Large Language Models*, <https://arxiv.org/abs/2106.09685>.

mod adapted;
mod network;
mod training;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use ragbias_core::ContentHasher;
use ragbias_files::write_file;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub use self::training::FineTuning;

use crate::change::{LayerMatrix, WeightChange};
use crate::decoder::Decoder;
use crate::{Error, Result};

/// Settings of adapters and their training, by AdamW without weight decay.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `rank` | 16 | rank of each adapter | 1 to 1024 |
/// | `alpha` | 32 | an adapter's product is multiplied by alpha / rank | above 0 |
/// | `learning_rate` | 2e-4 | rate of a step after the warm-up | above 0 |
/// | `warmup` | 5 | steps in which the rate rises linearly | 0 and more |
/// | `seed` | 0 | initial values | any |
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AdapterConfig {
    /// Rank of each adapter.
    pub rank: usize,
    /// Its product is multiplied by alpha / rank.
    pub alpha: f64,
    /// Rate of a step after the warm-up.
    pub learning_rate: f64,
    /// Steps in which the rate rises linearly.
    pub warmup: usize,
    /// Seed of the initial values.
    pub seed: u64,
}

ragbias_core::setters!(AdapterConfig {
    rank: usize,
    alpha: f64,
    learning_rate: f64,
    warmup: usize,
    seed: u64,
});

impl Default for AdapterConfig {
    fn default() -> Self {
        Self { rank: 16, alpha: 32.0, learning_rate: 2e-4, warmup: 5, seed: 0 }
    }
}

impl AdapterConfig {
    /// Checks the range of every setting.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first value outside its range.
    pub fn check(&self) -> Result<()> {
        let wrong = |setting, expected, received| Err(Error::Setting { setting, expected, received });
        if !(1..=1024).contains(&self.rank) {
            return wrong("rank", "1 to 1024", self.rank.to_string());
        }
        for (setting, value) in [("alpha", self.alpha), ("learning-rate", self.learning_rate)] {
            if !(value > 0.0 && value.is_finite()) {
                return wrong(setting, "a finite number above 0", value.to_string());
            }
        }
        Ok(())
    }
}

/// Low-rank changes of all layer matrices of a model: W + scale·B·A.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// alpha / rank.
    scale: f64,
    pairs: BTreeMap<Place, Pair>,
}

/// A matrix of a layer, counted from 0.
type Place = (usize, LayerMatrix);

#[derive(Debug, Clone)]
struct Pair {
    /// `(rank, in)`.
    a: Tensor,
    /// `(out, rank)`.
    b: Tensor,
}

impl Pair {
    fn name((layer, matrix): Place, part: &str) -> String {
        format!("blk.{layer}.{matrix}.lora_{part}")
    }
}

impl Adapter {
    /// Variables for every matrix of a model: A uniform within ±1/√in, B zero, so that the model is initially the same.
    fn variables(decoder: &Decoder, config: &AdapterConfig) -> Result<(Self, Vec<Var>)> {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let (mut pairs, mut variables) = (BTreeMap::new(), Vec::new());
        for (number, layer) in decoder.layers.iter().enumerate() {
            for which in LayerMatrix::ALL {
                let (outputs, inputs) = (which.of(layer).matrix.height(), which.of(layer).matrix.width());
                let bound = 1.0 / (inputs as f32).sqrt();
                let random: Vec<f32> =
                    (0..config.rank * inputs).map(|_| rng.random_range(-bound..bound)).collect();
                let a = Var::from_vec(random, (config.rank, inputs), &Device::Cpu)?;
                let b = Var::zeros((outputs, config.rank), DType::F32, &Device::Cpu)?;
                let pair = Pair { a: a.as_tensor().clone(), b: b.as_tensor().clone() };
                pairs.insert((number, which), pair);
                variables.extend([a, b]);
            }
        }
        Ok((Self { scale: config.alpha / config.rank as f64, pairs }, variables))
    }

    /// The same values, which no further training changes.
    fn copied(&self) -> Result<Self> {
        let copy =
            |pair: &Pair| Ok::<_, Error>(Pair { a: pair.a.copy()?.detach(), b: pair.b.copy()?.detach() });
        let pairs = self.pairs.iter().map(|(place, pair)| Ok((*place, copy(pair)?)));
        Ok(Self { scale: self.scale, pairs: pairs.collect::<Result<_>>()? })
    }

    /// Writes the values as a safetensors file: `blk.N.attn_q.lora_a` (rank, in) and `….lora_b` (out, rank), multiplied by √(alpha / rank) each.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let root = self.scale.sqrt();
        let mut tensors = std::collections::HashMap::new();
        for (place, pair) in &self.pairs {
            tensors.insert(Pair::name(*place, "a"), (&pair.a * root)?);
            tensors.insert(Pair::name(*place, "b"), (&pair.b * root)?);
        }
        let bytes = safetensors::serialize(&tensors, None).map_err(candle_core::Error::from)?;
        Ok(write_file(path, bytes)?)
    }

    /// Reads what [`Adapter::save`] has written.
    ///
    /// # Errors
    /// A file that is damaged, or lacks a matrix of a layer.
    pub fn load(path: &Path) -> Result<Self> {
        let tensors = candle_core::safetensors::load(path, &Device::Cpu)?;
        let mut pairs = BTreeMap::new();
        for layer in 0.. {
            for matrix in LayerMatrix::ALL {
                let part = |part| tensors.get(&Pair::name((layer, matrix), part));
                let (Some(a), Some(b)) = (part("a"), part("b")) else {
                    if 2 * pairs.len() == tensors.len() && matrix == LayerMatrix::Query && layer > 0 {
                        return Ok(Self { scale: 1.0, pairs });
                    }
                    let reason = format!("no adapter of layer {layer}, {matrix}");
                    return Err(Error::File { path: path.into(), reason });
                };
                let pair = Pair { a: a.to_dtype(DType::F32)?, b: b.to_dtype(DType::F32)? };
                pairs.insert((layer, matrix), pair);
            }
        }
        unreachable!("a file has finitely many layers; this is a bug")
    }
}

impl WeightChange for Adapter {
    fn fingerprint(&self) -> Vec<u8> {
        let mut id = ContentHasher::new("adapter/1").field(self.scale.to_le_bytes());
        for pair in self.pairs.values() {
            for tensor in [&pair.a, &pair.b] {
                let values = tensor.flatten_all().and_then(|all| all.to_vec1::<f32>());
                let values = values.expect("values in f32; this is a bug");
                id = id.field(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
            }
        }
        id.finish().as_bytes().to_vec()
    }

    fn layers(&self) -> Option<usize> {
        Some(self.pairs.len() / LayerMatrix::ALL.len())
    }

    fn change(&self, layer: usize, matrix: LayerMatrix, width: usize, weights: &mut [f32]) -> Result<()> {
        let Pair { a, b } = &self.pairs[&(layer, matrix)];
        let (own, rows) = ((b.dim(0)?, a.dim(1)?), weights.len() / width);
        if own != (rows, width) {
            let received = format!("for {own:?} in {matrix} of layer {layer}, which is {:?}", (rows, width));
            let expected = "one for matrices of the model's sizes";
            return Err(Error::Setting { setting: "the change of weights", expected, received });
        }
        let product = b.matmul(a)?.flatten_all()?.to_vec1::<f32>()?;
        let scale = self.scale as f32;
        weights.iter_mut().zip(product).for_each(|(weight, change)| *weight += scale * change);
        Ok(())
    }
}
