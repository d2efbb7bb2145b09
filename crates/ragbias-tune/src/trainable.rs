//! The variables of a training, and the encoder computed from them.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Tensor};
use ragbias_core::Embedder;
use ragbias_embed::Parameters;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Result;
use crate::base::Base;
use crate::config::{Scope, TrainConfig};

/// The weights with low-rank adapters.
const LORA_TARGETS: [&str; 2] = ["attention.self.query", "attention.self.value"];

/// The trained values of variables by name, in alphabetical order.
pub(crate) struct Trainable {
    base: Parameters,
    scope: Scope,
    /// alpha / rank.
    lora_scale: f64,
    values: Values,
}

/// Values, or gradients, of variables by name.
pub(crate) type Values = BTreeMap<String, Tensor>;

/// The name of the head's variable: M of y = x + x·Mᵀ.
pub(crate) const HEAD: &str = "head";

impl Trainable {
    /// The variables of a scope, initialised to the base's values.
    pub(crate) fn new(of: &Base, config: &TrainConfig) -> Result<Self> {
        let (base, shape) = (&of.parameters, of.shape());
        let mut values = Values::new();
        let device = base.device();
        match config.scope {
            Scope::Head => {
                let size = (of.embedder.dim(), of.embedder.dim());
                values.insert(HEAD.to_owned(), Tensor::zeros(size, DType::F32, device)?);
            }
            Scope::Lora => {
                let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
                for layer in 0..shape.num_hidden_layers {
                    for target in LORA_TARGETS {
                        let name = format!("encoder.layer.{layer}.{target}.weight");
                        let (outputs, inputs) = base.get(&name)?.dims2()?;
                        // A small and random, B zero: the encoder initially equals the base.
                        let bound = 1.0 / (inputs as f32).sqrt();
                        let random: Vec<f32> =
                            (0..config.lora_rank * inputs).map(|_| rng.random_range(-bound..bound)).collect();
                        let a = Tensor::from_vec(random, (config.lora_rank, inputs), device)?;
                        let b = Tensor::zeros((outputs, config.lora_rank), DType::F32, device)?;
                        values.insert(format!("{name}.lora_a"), a);
                        values.insert(format!("{name}.lora_b"), b);
                    }
                }
            }
            scope => {
                let trained = base.iter().filter(|(name, _)| trains(scope, name, shape.num_hidden_layers));
                values.extend(trained.map(|(name, tensor)| (name.to_owned(), tensor.clone())));
            }
        }
        let lora_scale = config.lora_alpha / config.lora_rank as f64;
        Ok(Self { base: base.clone(), scope: config.scope, lora_scale, values })
    }

    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    /// Replaces all values.
    pub(crate) fn set(&mut self, values: Values) {
        debug_assert!(values.keys().eq(self.values.keys()));
        self.values = values;
    }

    /// The encoder's weights with these values.
    pub(crate) fn parameters(&self) -> Result<Parameters> {
        let mut parameters = self.base.clone();
        match self.scope {
            Scope::Head => {}
            Scope::Lora => {
                for (weight, a, b) in self.lora() {
                    parameters.set(weight, (self.base.get(weight)? + (b.matmul(a)? * self.lora_scale)?)?)?;
                }
            }
            _ => {
                for (name, value) in &self.values {
                    parameters.set(name, value.clone())?;
                }
            }
        }
        Ok(parameters)
    }

    /// The parameters of the encoder on whose gradients those of the variables depend.
    pub(crate) fn needed(&self) -> BTreeSet<String> {
        match self.scope {
            Scope::Head => BTreeSet::new(),
            Scope::Lora => self.lora().map(|(weight, ..)| weight.to_owned()).collect(),
            _ => self.values.keys().cloned().collect(),
        }
    }

    /// The gradients of the variables, from those of the encoder's parameters. With W = W_base + s·B·A,
    /// ∂A = s·Bᵀ·∂W and ∂B = s·∂W·Aᵀ.
    pub(crate) fn gradients(&self, of_parameters: Values) -> Result<Values> {
        if self.scope != Scope::Lora {
            return Ok(of_parameters);
        }
        let mut gradients = Values::new();
        for (weight, a, b) in self.lora() {
            let Some(gradient) = of_parameters.get(weight) else { continue };
            let gradient = (gradient * self.lora_scale)?;
            gradients.insert(format!("{weight}.lora_a"), b.t()?.matmul(&gradient)?);
            gradients.insert(format!("{weight}.lora_b"), gradient.matmul(&a.t()?)?);
        }
        Ok(gradients)
    }

    /// Each adapted weight with its A and B.
    fn lora(&self) -> impl Iterator<Item = (&str, &Tensor, &Tensor)> {
        self.values.iter().filter_map(|(name, b)| {
            let weight = name.strip_suffix(".lora_b")?;
            Some((weight, &self.values[&format!("{weight}.lora_a")], b))
        })
    }

    /// The head's M, if the head is trained.
    pub(crate) fn head(&self) -> Option<&Tensor> {
        self.values.get(HEAD)
    }
}

/// Whether this parameter is trained by a scope of whole parameters.
fn trains(scope: Scope, name: &str, layers: usize) -> bool {
    let layer = || -> Option<(usize, &str)> {
        let (number, part) = name.strip_prefix("encoder.layer.")?.split_once('.')?;
        Some((number.parse().ok()?, part))
    };
    match scope {
        Scope::Full => true,
        Scope::LayersTop(n) => layer().is_some_and(|(number, _)| number + n >= layers),
        Scope::MlpTop(n) => layer().is_some_and(|(number, part)| {
            number + n >= layers && (part.starts_with("intermediate.") || part.starts_with("output."))
        }),
        Scope::Lora | Scope::Head => false,
    }
}

/// Weight decay applies to matrices, not to biases and LayerNorms.
pub(crate) fn decays(name: &str) -> bool {
    let is_bias = name.rsplit('.').next() == Some("bias");
    !is_bias && !name.contains("LayerNorm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mlp_scope_leaves_attention_alone() {
        let at = |part: &str| format!("encoder.layer.5.{part}");
        for (part, trained) in [
            ("intermediate.dense.weight", true),
            ("output.dense.bias", true),
            ("output.LayerNorm.weight", true),
            ("attention.output.dense.weight", false),
            ("attention.self.query.weight", false),
            ("attention.output.LayerNorm.bias", false),
        ] {
            assert_eq!(trains(Scope::MlpTop(1), &at(part), 6), trained, "{part}");
            assert!(trains(Scope::LayersTop(1), &at(part), 6));
            assert!(!trains(Scope::LayersTop(1), &at(part).replace(".5.", ".4."), 6));
        }
        assert!(!trains(Scope::MlpTop(6), "embeddings.LayerNorm.weight", 6));
        assert!(trains(Scope::Full, "embeddings.word_embeddings.weight", 6));
    }

    #[test]
    fn decay_spares_biases_and_norms() {
        assert!(decays("encoder.layer.0.output.dense.weight") && decays("head"));
        assert!(!decays("encoder.layer.0.output.dense.bias"));
        assert!(!decays("encoder.layer.0.output.LayerNorm.weight"));
    }
}
