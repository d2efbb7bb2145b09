use ragbias_core::{Bias, Verdict};
use ragbias_stats::{Estimate, ScoredTopics, impact_ratio, minimum_detectable};
use serde::{Deserialize, Serialize};

/// Resamples of the interval of an impact ratio.
const DRAWS: usize = 4000;

/// A bias and the verdicts behind it.
pub(crate) struct Scored<'a> {
    /// Its name in JSON.
    pub(crate) name: &'static str,
    pub(crate) bias: Bias,
    /// The topic and the verdict of each text.
    pub(crate) texts: Vec<(&'a str, Verdict)>,
    /// Whether each verdict is that on one text, as opposed to a majority.
    pub(crate) is_single: bool,
}

/// The symbol of a bias by its name in JSON.
pub(crate) fn symbol(name: &str) -> &'static str {
    match name {
        "llm_bias" => "L_b",
        "corpus_bias" => "C_b",
        "neighbourhood_bias" => "C_b of the 20 nearest",
        "embedder_bias" => "E_b",
        _ => "R_b",
    }
}

/// How often each pole is selected: a bias as an audit states it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Which: `llm_bias`, `embedder_bias` or `rag_bias`.
    pub bias: String,
    /// Selection rate of the negative pole: the share of the scored texts that lean to it.
    pub negative: f64,
    /// Selection rate of the positive pole.
    pub positive: f64,
    /// The least rate over the greatest; none for fewer than two topics, or if neither pole is selected.
    pub impact_ratio: Option<Estimate>,
    /// The smallest absolute bias that a measurement of this precision finds with a probability of 80%.
    pub minimum_detectable_bias: f64,
}

impl Selection {
    pub(crate) fn of(scored: &Scored<'_>, seed: u64) -> Self {
        let rates = scored.bias.rates();
        Self {
            bias: scored.name.into(),
            negative: rates.negative,
            positive: rates.positive,
            impact_ratio: impact_ratio(&ScoredTopics::new(scored.texts.iter().copied()), DRAWS, seed),
            minimum_detectable_bias: minimum_detectable(scored.bias.into()),
        }
    }

    /// Its symbol.
    pub fn symbol(&self) -> &'static str {
        symbol(&self.bias)
    }
}
