//! The variables of a training, and the encoder that they make.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var};
use ragbias_embed::{BertConfig, Parameters};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Result;
use crate::config::{Scope, TrainConfig};

/// The maps that low-rank additions belong to.
const LORA_TARGETS: [&str; 2] = ["attention.self.query", "attention.self.value"];

/// What is trained: variables by name, in alphabetical order.
pub(crate) struct Trainable {
    base: Parameters,
    scope: Scope,
    /// alpha / rank.
    lora_scale: f64,
    vars: BTreeMap<String, Var>,
}

/// The name of the head's variable: M of y = x + x·Mᵀ.
const HEAD: &str = "head";

impl Trainable {
    /// The variables of a scope, at the base's values.
    pub(crate) fn new(base: &Parameters, shape: &BertConfig, config: &TrainConfig) -> Result<Self> {
        let mut vars = BTreeMap::new();
        match config.scope {
            Scope::Head => {
                let device = base.get("embeddings.LayerNorm.weight")?.device();
                let size = (shape.hidden_size, shape.hidden_size);
                vars.insert(HEAD.to_owned(), Var::zeros(size, DType::F32, device)?);
            }
            Scope::Lora => {
                let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
                for layer in 0..shape.num_hidden_layers {
                    for target in LORA_TARGETS {
                        let name = format!("encoder.layer.{layer}.{target}.weight");
                        let (outputs, inputs) = base.get(&name)?.dims2()?;
                        let device = base.get(&name)?.device();
                        // A small and random, B at 0: the encoder starts where the base is.
                        let bound = 1.0 / (inputs as f32).sqrt();
                        let values: Vec<f32> =
                            (0..config.lora_rank * inputs).map(|_| rng.random_range(-bound..bound)).collect();
                        let a = Tensor::from_vec(values, (config.lora_rank, inputs), device)?;
                        vars.insert(format!("{name}.lora_a"), Var::from_tensor(&a)?);
                        let b = Var::zeros((outputs, config.lora_rank), DType::F32, device)?;
                        vars.insert(format!("{name}.lora_b"), b);
                    }
                }
            }
            scope => {
                for (name, tensor) in
                    base.iter().filter(|(name, _)| trains(scope, name, shape.num_hidden_layers))
                {
                    vars.insert(name.to_owned(), Var::from_tensor(tensor)?);
                }
            }
        }
        let lora_scale = config.lora_alpha / config.lora_rank as f64;
        Ok(Self { base: base.clone(), scope: config.scope, lora_scale, vars })
    }

    pub(crate) fn vars(&self) -> &BTreeMap<String, Var> {
        &self.vars
    }

    /// The encoder's weights, differentiable in the variables.
    pub(crate) fn parameters(&self) -> Result<Parameters> {
        let mut parameters = self.base.clone();
        match self.scope {
            Scope::Head => {}
            Scope::Lora => {
                for (name, b) in &self.vars {
                    if let Some(weight) = name.strip_suffix(".lora_b") {
                        let a = &self.vars[&format!("{weight}.lora_a")];
                        let addition = (b.as_tensor().matmul(a.as_tensor())? * self.lora_scale)?;
                        parameters.set(weight, (self.base.get(weight)? + addition)?)?;
                    }
                }
            }
            _ => {
                for (name, var) in &self.vars {
                    parameters.set(name, var.as_tensor().clone())?;
                }
            }
        }
        Ok(parameters)
    }

    /// The head's variable M, where the head is trained.
    pub(crate) fn head(&self) -> Option<&Tensor> {
        self.vars.get(HEAD).map(Var::as_tensor)
    }

    /// The values of all variables, cut off from them.
    pub(crate) fn snapshot(&self) -> Result<BTreeMap<String, Tensor>> {
        self.vars.iter().map(|(name, var)| Ok((name.clone(), var.as_tensor().copy()?.detach()))).collect()
    }

    /// Sets variables to these values.
    pub(crate) fn restore(&self, values: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, var) in &self.vars {
            var.set(&values[name])?;
        }
        Ok(())
    }
}

/// Whether a scope of whole parameters trains this one.
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

/// Weight decay pulls matrices towards 0, not biases and LayerNorms.
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
