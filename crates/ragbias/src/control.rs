//! Knobs that move E_b continuously.

use std::path::Path;
use std::sync::Arc;

use ragbias_core::{Corpus, Embedder, Progress, Role, Verdict};
use ragbias_embed::Projected;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::embedding::embed_all;
use crate::family::Dial;
use crate::ranking::StochasticRanking;
use crate::{Error, Result};

/// What a control turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlKind {
    /// The merge weight w of a tuned embedder: 0 is the base, 1 the tuned one.
    Merge,
    /// The factor α of a question's part along a direction: 1 is the base, 0 removes it, below 0 reverses it.
    Projection,
    /// The temperature T of stochastic ranking: 0 is the base.
    Ranking,
}

impl ControlKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Merge, Self::Projection, Self::Ranking];

    /// Its name in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Projection => "projection",
            Self::Ranking => "ranking",
        }
    }

    /// The setting that changes nothing.
    pub fn neutral(self) -> f64 {
        if self == Self::Projection { 1.0 } else { 0.0 }
    }

    /// The settings furthest from it, in the order in which they are tried.
    pub fn ends(self) -> &'static [f64] {
        match self {
            Self::Merge => &[2.0],
            Self::Projection => &[-3.0, 5.0],
            Self::Ranking => &[0.5],
        }
    }
}

impl std::str::FromStr for ControlKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| Error::Setting {
            setting: "--control",
            expected: "merge, projection or ranking",
            received: text.into(),
        })
    }
}

/// A control that is ready to be turned.
pub enum Control<'a> {
    /// Of a training of a family.
    Merge(Dial<'a>),
    /// Of an embedder's questions.
    Projection {
        /// The embedder.
        base: Arc<dyn Embedder + 'a>,
        /// `(dim,)`, of any length above 0.
        direction: Vec<f32>,
        /// What the direction is, for people.
        along: String,
    },
    /// Of an embedder's ranking.
    Ranking {
        /// The embedder.
        base: Arc<dyn Embedder + 'a>,
        /// Of the draws.
        seed: u64,
    },
}

/// A control at one setting: an embedder, and how its ranking is drawn from.
pub struct Knob<'a> {
    /// The embedder.
    pub embedder: Arc<dyn Embedder + 'a>,
    /// The ranking.
    pub ranking: StochasticRanking,
}

impl<'a> Control<'a> {
    /// What it turns.
    pub fn kind(&self) -> ControlKind {
        match self {
            Self::Merge(_) => ControlKind::Merge,
            Self::Projection { .. } => ControlKind::Projection,
            Self::Ranking { .. } => ControlKind::Ranking,
        }
    }

    /// The control at a setting.
    ///
    /// # Errors
    /// Failures of the embedder.
    pub fn at(&self, setting: f64) -> Result<Knob<'_>> {
        let plain = |embedder| Knob { embedder, ranking: StochasticRanking::NONE };
        Ok(match self {
            Self::Merge(dial) => plain(Arc::new(dial.at(setting)?)),
            Self::Projection { base, direction, .. } => {
                plain(Arc::new(Projected::onto_direction(Arc::clone(base), direction, setting as f32)?))
            }
            Self::Ranking { base, seed } => Knob {
                embedder: Arc::<dyn Embedder + 'a>::clone(base),
                ranking: StochasticRanking { temperature: setting, seed: *seed },
            },
        })
    }

    /// What a retrieval service needs to do the same; a merged embedder is saved as the folder `embedder` of `folder`.
    ///
    /// # Errors
    /// Failures of the file system.
    pub fn save(&self, setting: f64, base: &str, folder: &Path) -> Result<Value> {
        Ok(match self {
            Self::Merge(dial) => {
                dial.save(setting, &folder.join("embedder"))?;
                json!({ "embedder": "embedder", "merge": setting, "training": dial.training() })
            }
            Self::Projection { direction, along, .. } => {
                json!({ "embedder": base, "projection": { "alpha": setting, "along": along, "direction": direction } })
            }
            Self::Ranking { seed, .. } => {
                json!({ "embedder": base, "ranking": { "temperature": setting, "seed": seed } })
            }
        })
    }
}

/// The direction from the negative to the positive pole: by topic, the mean vector of the documents that lean positively
/// less that of those that lean negatively; the mean of it over topics that have both.
///
/// Differences within a topic cancel what the topic is about. Source of directions out of pairs: Bolukbasi et al., *Man is
/// to computer programmer as woman is to homemaker?*, NeurIPS 2016, <https://arxiv.org/abs/1607.06520>.
///
/// # Errors
/// Where no topic has documents of both poles.
pub fn direction_of_poles(
    embedder: &dyn Embedder,
    corpus: &Corpus,
    verdicts: &[Verdict],
    topics: &[String],
    progress: &dyn Progress,
) -> Result<Vec<f32>> {
    let texts: Vec<String> = corpus.documents().iter().map(ragbias_core::Document::full_text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = embed_all(embedder, &texts, Role::Document, "embedding documents", progress)?;
    let topic_of = |row: usize| corpus.documents()[row].metadata.get("topic").and_then(Value::as_str);
    let mean = |topic: &str, pole: Verdict| -> Option<Vec<f32>> {
        let rows: Vec<usize> = (0..verdicts.len())
            .filter(|&row| verdicts[row] == pole && topic_of(row) == Some(topic))
            .collect();
        let mut sum = vec![0.0; vectors.dim()];
        for &row in &rows {
            sum.iter_mut().zip(vectors.row(row)).for_each(|(sum, x)| *sum += x / rows.len() as f32);
        }
        (!rows.is_empty()).then_some(sum)
    };
    let differences: Vec<Vec<f32>> = (topics.iter())
        .filter_map(|topic| {
            let (positive, negative) = (mean(topic, Verdict::POSITIVE)?, mean(topic, Verdict::NEGATIVE)?);
            Some(positive.iter().zip(negative).map(|(p, n)| p - n).collect())
        })
        .collect();
    if differences.is_empty() {
        return Err(Error::Setting {
            setting: "projection",
            expected: "training topics with documents of both poles",
            received: "none".into(),
        });
    }
    let n = differences.len() as f32;
    Ok((0..vectors.dim()).map(|column| differences.iter().map(|d| d[column]).sum::<f32>() / n).collect())
}
