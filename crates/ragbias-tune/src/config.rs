//! Settings of a training.

use std::fmt;
use std::str::FromStr;

use ragbias_core::limits::{BATCH, EPOCHS, LORA_RANK, PATIENCE, WARMUP};
use serde::{Deserialize, Serialize};

use crate::sharpness::Sharpness;
use crate::{Error, Result};

/// Which parameters are trained; all others are frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// Every parameter.
    Full,
    /// The MLPs of the top N layers, with their LayerNorms; attention stays frozen.
    MlpTop(usize),
    /// The top N layers, attention included.
    LayersTop(usize),
    /// Low-rank adapters on the query and value projections of all layers, merged into them when saved.
    Lora,
    /// A linear map of the pooled vector, initialised to the identity.
    Head,
}

impl Scope {
    /// Checks the scope against an encoder of this many layers.
    ///
    /// # Errors
    /// [`Error::Setting`] for more layers than there are, or none.
    pub fn check(self, layers: usize) -> Result<()> {
        match self {
            Self::MlpTop(n) | Self::LayersTop(n) if n == 0 || n > layers => Err(Error::Setting {
                setting: "scope",
                expected: format!("1 to {layers} top layers"),
                received: self.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("full"),
            Self::MlpTop(n) => write!(f, "mlp-top-{n}"),
            Self::LayersTop(n) => write!(f, "layers-top-{n}"),
            Self::Lora => f.write_str("lora"),
            Self::Head => f.write_str("head"),
        }
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbered = |prefix: &str| text.strip_prefix(prefix).and_then(|n| n.parse().ok());
        match text {
            "full" => Ok(Self::Full),
            "lora" => Ok(Self::Lora),
            "head" => Ok(Self::Head),
            _ => numbered("mlp-top-")
                .map(Self::MlpTop)
                .or_else(|| numbered("layers-top-").map(Self::LayersTop))
                .ok_or_else(|| Error::Setting {
                    setting: "scope",
                    expected: "full, mlp-top-N, layers-top-N, lora or head".into(),
                    received: text.into(),
                }),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

/// Settings of a training.
///
/// Loss of a question q with documents d⁺ that lean to the pole and d⁻ that do not, averaged over a batch:
/// −log( Σe^{τ·cos(q,d⁺)} / (Σe^{τ·cos(q,d⁺)} + Σe^{τ·cos(q,d⁻)}) ), τ = `scale`. Source: Kim, Springer, Raghunathan, Sap,
/// *Mitigating Bias in RAG: Controlling the Embedder*, Findings of ACL 2025. The optimiser is AdamW (Loshchilov & Hutter,
/// 2019, <https://arxiv.org/abs/1711.05101>), β = (0.9, 0.999), ε = 1e-8, with a linear warm-up and a linear decay to 0
/// over all steps; weight decay does not apply to biases and LayerNorms.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `scope` | | which parameters are trained | `full`, `mlp-top-N`, `layers-top-N`, `lora`, `head` |
/// | `learning_rate` | | peak learning rate | above 0 |
/// | `epochs` | | passes over all questions | 1 to 10,000 |
/// | `batch` | 8 | questions per step | 1 to 4,096 |
/// | `accumulate` | 1 | parts in which a batch is computed, to save memory | 1 to `batch` |
/// | `warmup` | 10 | steps until the peak learning rate | 0 to 1,000,000,000 |
/// | `weight_decay` | 0.01 | weight decay | ≥ 0 |
/// | `clip` | 1.0 | maximum norm of the gradient | above 0 |
/// | `scale` | 50 | τ | above 0 |
/// | `sam` | 0 | radius ρ of sharpness-aware minimisation; 0: none | ≥ 0 |
/// | `sharpness` | sam | its form; see [`Sharpness`] | `sam`, `asam`, `one-sam`, `one-sam-logits`, `one-sam-jacobian`, `penalty` |
/// | `anchor` | 0 | weight of 1 − cos between new and old vectors of unrelated texts | ≥ 0 |
/// | `patience` | none | epochs without a better validation loss after which training stops | 1 to 10,000 |
/// | `lora_rank`, `lora_alpha` | 8, 16 | rank and scale of `lora` | 1 to 1,024, above 0 |
/// | `seed` | 0 | order of questions, initial values of `lora` | any |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct TrainConfig {
    /// Which parameters are trained.
    pub scope: Scope,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Passes over all questions.
    pub epochs: usize,
    /// Questions per step.
    #[serde(default = "defaults::batch")]
    pub batch: usize,
    /// Parts in which a batch is computed.
    #[serde(default = "defaults::one")]
    pub accumulate: usize,
    /// Steps until the peak learning rate.
    #[serde(default = "defaults::warmup")]
    pub warmup: usize,
    /// Weight decay.
    #[serde(default = "defaults::weight_decay")]
    pub weight_decay: f64,
    /// Maximum norm of the gradient.
    #[serde(default = "defaults::clip")]
    pub clip: f64,
    /// τ.
    #[serde(default = "defaults::scale")]
    pub scale: f64,
    /// ρ.
    #[serde(default)]
    pub sam: f64,
    /// What ρ is the radius of. Absent from states and members of the default, which stay as they are.
    #[serde(default, skip_serializing_if = "Sharpness::is_sam")]
    pub sharpness: Sharpness,
    /// Weight of the anchor term.
    #[serde(default)]
    pub anchor: f64,
    /// Epochs without a better validation loss after which training stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Rank of `lora`.
    #[serde(default = "defaults::lora_rank")]
    pub lora_rank: usize,
    /// Scale of `lora`: its product is multiplied by alpha / rank.
    #[serde(default = "defaults::lora_alpha")]
    pub lora_alpha: f64,
    /// Order of questions, initial values of `lora`.
    #[serde(default)]
    pub seed: u64,
}

ragbias_core::setters!(TrainConfig {
    batch: usize,
    accumulate: usize,
    warmup: usize,
    weight_decay: f64,
    clip: f64,
    scale: f64,
    sam: f64,
    sharpness: Sharpness,
    anchor: f64,
    patience: Option<usize>,
    lora_rank: usize,
    lora_alpha: f64,
    seed: u64,
});

mod defaults {
    pub(super) fn batch() -> usize {
        8
    }
    pub(super) fn one() -> usize {
        1
    }
    pub(super) fn warmup() -> usize {
        10
    }
    pub(super) fn weight_decay() -> f64 {
        0.01
    }
    pub(super) fn clip() -> f64 {
        1.0
    }
    pub(super) fn scale() -> f64 {
        50.0
    }
    pub(super) fn lora_rank() -> usize {
        8
    }
    pub(super) fn lora_alpha() -> f64 {
        16.0
    }
}

impl TrainConfig {
    /// The defaults for a scope, a learning rate and a number of epochs.
    pub fn new(scope: Scope, learning_rate: f64, epochs: usize) -> Self {
        Self {
            scope,
            learning_rate,
            epochs,
            batch: defaults::batch(),
            accumulate: 1,
            warmup: defaults::warmup(),
            weight_decay: defaults::weight_decay(),
            clip: defaults::clip(),
            scale: defaults::scale(),
            sam: 0.0,
            sharpness: Sharpness::Sam,
            anchor: 0.0,
            patience: None,
            lora_rank: defaults::lora_rank(),
            lora_alpha: defaults::lora_alpha(),
            seed: 0,
        }
    }

    /// Checks the range of every setting for an encoder with this many layers.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first value outside its range.
    pub fn check(&self, layers: usize) -> Result<()> {
        self.scope.check(layers)?;
        let positive = [
            ("learning-rate", self.learning_rate),
            ("clip", self.clip),
            ("scale", self.scale),
            ("lora-alpha", self.lora_alpha),
        ];
        for (setting, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                return Err(wrong(setting, "a finite number above 0", value));
            }
        }
        for (setting, value) in
            [("weight-decay", self.weight_decay), ("sam", self.sam), ("anchor", self.anchor)]
        {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(wrong(setting, "a finite number of at least 0", value));
            }
        }
        if self.anchor > 0.0 && self.sam > 0.0 && self.sharpness.is_per_example() {
            let expected = format!("0 with {}, which is of examples alone", self.sharpness);
            return Err(wrong("anchor", &expected, self.anchor));
        }
        EPOCHS.check("epochs", self.epochs)?;
        BATCH.check("batch", self.batch)?;
        WARMUP.check("warmup", self.warmup)?;
        LORA_RANK.check("lora-rank", self.lora_rank)?;
        if !(1..=self.batch).contains(&self.accumulate) {
            return Err(wrong("accumulate", "1 to `batch`", self.accumulate));
        }
        if let Some(patience) = self.patience {
            PATIENCE.check("patience", patience)?;
        }
        Ok(())
    }
}

fn wrong(setting: &'static str, expected: &str, received: impl ToString) -> Error {
    Error::Setting { setting, expected: expected.into(), received: received.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_written_as_it_is_read() {
        for text in ["full", "mlp-top-3", "layers-top-1", "lora", "head"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        let error = "mlp-top".parse::<Scope>().unwrap_err().to_string();
        assert_eq!(error, "scope is mlp-top, expected full, mlp-top-N, layers-top-N, lora or head");
        assert!("mlp-top-7".parse::<Scope>().unwrap().check(6).is_err());
    }

    #[test]
    fn settings_outside_their_range_are_refused() {
        let good = TrainConfig::new(Scope::Head, 1e-3, 5);
        good.check(6).unwrap();
        for bad in [
            TrainConfig { learning_rate: f64::NAN, ..good.clone() },
            TrainConfig { epochs: 0, ..good.clone() },
            TrainConfig { accumulate: 9, ..good.clone() },
            TrainConfig { sam: -0.1, ..good.clone() },
            TrainConfig { anchor: f64::INFINITY, ..good.clone() },
            TrainConfig { anchor: 0.1, sam: 0.1, sharpness: Sharpness::OneSam, ..good.clone() },
            TrainConfig { epochs: 1_000_000_000, ..good.clone() },
            TrainConfig { batch: usize::MAX, ..good.clone() },
            TrainConfig { warmup: usize::MAX, ..good.clone() },
            TrainConfig { patience: Some(usize::MAX), ..good.clone() },
            TrainConfig { lora_rank: 1 << 40, ..good },
        ] {
            assert!(bad.check(6).is_err(), "{bad:?}");
        }
    }
}
