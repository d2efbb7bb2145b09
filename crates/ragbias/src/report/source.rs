//! The data of a report: the files of a run folder.

use std::collections::HashMap;
use std::path::Path;

use ragbias_core::{ContentId, slug_of};
use ragbias_data::{Outcome, read_outcomes};
use ragbias_stats::{Equivalence, TargetStatus};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::choose::subject;
use crate::measured::{AnswerBias, Coverage, NothingScored};
use crate::run::{CHOICES, Manifest, is_sealed, is_whole};
use crate::{Error, Result};

/// An estimate with its 95% interval.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub(super) struct Interval {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Biased {
    #[serde(flatten)]
    pub(super) interval: Interval,
    pub(super) n: usize,
    pub(super) unscored: usize,
    #[serde(default)]
    pub(super) refused: usize,
    #[serde(default)]
    pub(super) cut: usize,
    pub(super) rates: ragbias_core::Rates,
}

impl Biased {
    /// The outcomes outside `n`, with their shares of all: `2 unscored (20%), 1 cut (10%)`; empty if all were scored.
    pub(super) fn left_out(&self) -> String {
        let Self { n, unscored, refused, cut, .. } = *self;
        let asked = n + unscored + refused + cut;
        let named = [(unscored, "unscored"), (refused, "refused"), (cut, "cut")];
        let share = |(count, name)| format!("{count} {name} ({:.0}%)", 100.0 * count as f64 / asked as f64);
        named.into_iter().filter(|(count, _)| *count > 0).map(share).collect::<Vec<_>>().join(", ")
    }
}

/// A row of `results.json`: one embedder, one LLM.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Row {
    pub(super) axis: String,
    pub(super) negative: String,
    pub(super) positive: String,
    pub(super) data: String,
    pub(super) split: String,
    pub(super) questions: usize,
    pub(super) embedder: String,
    pub(super) family: String,
    pub(super) llm: Option<String>,
    pub(super) llm_bias: Option<Biased>,
    pub(super) corpus_bias: Biased,
    pub(super) neighbourhood_bias: Biased,
    pub(super) embedder_bias: Biased,
    pub(super) rag_bias: Option<Biased>,
    #[serde(default)]
    pub(super) nothing_scored: Vec<NothingScored>,
    pub(super) position_bias: Option<f64>,
    pub(super) coverage: Option<Coverage>,
    pub(super) ndcg10: Option<f64>,
}

impl Row {
    /// Why there is no R_b, although an LLM was asked.
    pub(super) fn silent(&self) -> Option<&NothingScored> {
        self.nothing_scored.iter().find(|none| none.bias == AnswerBias::RagBias)
    }

    /// The verdict on |bias| < δ; undecided if the outcomes are not known.
    pub(super) fn verdict(&self, delta: f64) -> Equivalence {
        let Interval { low, high, .. } = self.outcome().interval;
        let judged = Equivalence::judge(low..=high, delta).ok().filter(|_| self.silent().is_none());
        judged.unwrap_or(Equivalence::Undecided)
    }

    /// The bias for the verdict: R_b, or E_b if there is none.
    pub(super) fn outcome(&self) -> &Biased {
        self.rag_bias.as_ref().unwrap_or(&self.embedder_bias)
    }
}

/// A line of `fit.json`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Line {
    llm: String,
    axis: String,
    corpus: Option<String>,
    split: Option<String>,
    pub(super) n: usize,
    pub(super) sensitivity: Interval,
    pub(super) intercept: Interval,
    pub(super) residual_conflict: Interval,
    /// None if all R_b are equal.
    pub(super) r_squared: Option<f64>,
    pub(super) target: Target,
    #[serde(default)]
    pub(super) band: Vec<BandPoint>,
    pub(super) linearity: Option<Linearity>,
    pub(super) equivalence: Option<Counts>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Target {
    pub(super) value: Option<f64>,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    pub(super) status: TargetStatus,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct BandPoint {
    pub(super) embedder_bias: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Linearity {
    pub(super) lack_of_fit: Option<LackOfFit>,
    pub(super) prediction_error: f64,
    pub(super) saturated: usize,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct LackOfFit {
    pub(super) p: f64,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub(super) struct Counts {
    pub(super) delta: f64,
    pub(super) debiased: usize,
    pub(super) biased: usize,
    pub(super) undecided: usize,
}

#[derive(Debug, Clone, Deserialize)]
struct LeftOut {
    llm: String,
    axis: String,
    split: Option<String>,
    reason: String,
}

/// Two LLMs' sensitivities.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Compared {
    pub(super) axis: String,
    pub(super) split: Option<String>,
    pub(super) first: String,
    pub(super) second: String,
    pub(super) difference: Interval,
    pub(super) p_holm: f64,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct FitFile {
    fits: Vec<Line>,
    comparisons: Vec<Compared>,
    left_out: Vec<LeftOut>,
}

/// An element of `choice.json`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Choice {
    /// The id of its run; none if an earlier version wrote it.
    #[serde(default)]
    run: Option<ContentId>,
    axis: String,
    /// The same.
    data: Option<String>,
    llm: String,
    pub(super) delta: f64,
    pub(super) base: Confirmed,
    pub(super) controls: Vec<Turned>,
    pub(super) chosen: Option<String>,
    pub(super) reason: Option<String>,
}

impl Choice {
    fn is_of(&self, row: &Row, llm: &str) -> bool {
        self.llm == llm && self.axis == row.axis && self.data.as_ref().is_none_or(|data| *data == row.data)
    }

    /// The control that was chosen.
    pub(super) fn turned(&self) -> Option<&Turned> {
        self.controls.iter().find(|turned| Some(&turned.control) == self.chosen.as_ref())
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Turned {
    pub(super) control: String,
    pub(super) setting: f64,
    pub(super) reached: String,
    #[serde(flatten)]
    pub(super) confirmed: Confirmed,
    pub(super) ndcg10_p: Option<f64>,
}

/// A system on validation and on test topics.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Confirmed {
    pub(super) validation: Biases,
    pub(super) test: Biases,
    pub(super) verdict: Equivalence,
    pub(super) ndcg10: Option<f64>,
}

impl Confirmed {
    pub(super) fn on(&self, split: &str) -> Option<&Biases> {
        match split {
            "validation" => Some(&self.validation),
            "test" => Some(&self.test),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Biases {
    pub(super) embedder_bias: Biased,
    pub(super) rag_bias: Biased,
}

/// All embedders with one LLM on one part of the questions.
pub(super) struct System {
    pub(super) rows: Vec<Row>,
    pub(super) line: Option<Line>,
    /// Why there is no line.
    pub(super) no_line: Option<String>,
    pub(super) choice: Option<Choice>,
    pub(super) outcomes: Vec<Outcome>,
}

impl System {
    /// The unchanged system: the first embedder without a family, else the first of all.
    pub(super) fn base(&self) -> &Row {
        self.rows.iter().find(|row| is_base(row)).unwrap_or(&self.rows[0])
    }

    pub(super) fn delta(&self) -> f64 {
        let counts = self.line.as_ref().and_then(|line| line.equivalence);
        let choice = self.choice.as_ref().map(|choice| choice.delta);
        choice.or(counts.map(|counts| counts.delta)).unwrap_or(Equivalence::DELTA)
    }

    pub(super) fn verdict(&self) -> Equivalence {
        self.base().verdict(self.delta())
    }

    /// A name for files and anchors, unique within the report.
    pub(super) fn id(&self) -> String {
        let row = self.base();
        let axis = subject(&row.axis, &row.data);
        match &row.llm {
            Some(llm) => slug_of(&[&axis, llm, &row.split]),
            None => slug_of(&[&axis, &row.split]),
        }
    }
}

pub(super) fn is_base(row: &Row) -> bool {
    row.family == crate::run::BASE_FAMILY
}

/// The identity of a system.
#[derive(PartialEq, Eq, Hash)]
struct Of {
    axis: String,
    data: String,
    split: String,
    /// Empty if only retrieval was measured.
    llm: String,
}

impl Of {
    fn row(row: &Row) -> Self {
        Self {
            axis: row.axis.clone(),
            data: row.data.clone(),
            split: row.split.clone(),
            llm: row.llm.clone().unwrap_or_default(),
        }
    }

    fn outcome(outcome: &Outcome) -> Self {
        Self {
            axis: outcome.axis.clone(),
            data: outcome.corpus.clone(),
            split: outcome.split.clone(),
            llm: outcome.llm.clone(),
        }
    }
}

/// A run folder, read.
pub(super) struct Source {
    pub(super) manifest: Manifest,
    pub(super) systems: Vec<System>,
    pub(super) comparisons: Vec<Compared>,
}

impl Source {
    /// `manifest.json` and `results.json` are required; lines and outcomes are optional, as are the choices of this run in the
    /// folder of choices.
    pub(super) fn read(folder: &Path, choices: &Path) -> Result<Self> {
        let manifest = Manifest::read(folder)?;
        let rows: Vec<Row> = required(&manifest, folder, "results.json")?;
        let fits: FitFile = optional(&manifest, folder, "fit.json")?.unwrap_or_default();
        let choices = choices_of(&manifest, choices)?;
        let path = folder.join("outcomes.parquet");
        let outcomes = if path.is_file() {
            manifest.check(folder, "outcomes.parquet")?;
            read_outcomes(&path)?
        } else {
            Vec::new()
        };

        let mut asked: HashMap<Of, Vec<Outcome>> = HashMap::new();
        for outcome in outcomes {
            asked.entry(Of::outcome(&outcome)).or_default().push(outcome);
        }
        let (mut systems, mut places): (Vec<System>, HashMap<Of, usize>) = (Vec::new(), HashMap::new());
        for row in rows {
            let of = Of::row(&row);
            if let Some(place) = places.get(&of) {
                systems[*place].rows.push(row);
                continue;
            }
            let is = |of: &Option<String>, value: &str| of.as_deref().is_none_or(|of| of == value);
            let line = fits.fits.iter().find(|line| {
                line.llm == of.llm
                    && line.axis == of.axis
                    && is(&line.corpus, &of.data)
                    && is(&line.split, &of.split)
            });
            let left = fits
                .left_out
                .iter()
                .find(|left| left.llm == of.llm && left.axis == of.axis && is(&left.split, &of.split));
            systems.push(System {
                line: line.cloned(),
                no_line: left.map(|left| left.reason.clone()),
                choice: choices.iter().find(|choice| choice.is_of(&row, &of.llm)).cloned(),
                outcomes: asked.remove(&of).unwrap_or_default(),
                rows: vec![row],
            });
            places.insert(of, systems.len() - 1);
        }
        Ok(Self { manifest, systems, comparisons: fits.comparisons })
    }
}

fn required<T: DeserializeOwned>(manifest: &Manifest, folder: &Path, file: &str) -> Result<T> {
    let path = folder.join(file);
    let text = fs_err::read_to_string(&path).map_err(|error| Error::Run {
        path: folder.into(),
        reason: format!("not a whole run: {error}\nhint: `ragbias run EXPERIMENT.toml` makes one"),
    })?;
    manifest.check(folder, file)?;
    serde_json::from_str(&text).map_err(|error| Error::Run { path, reason: error.to_string() })
}

fn optional<T: DeserializeOwned>(manifest: &Manifest, folder: &Path, file: &str) -> Result<Option<T>> {
    folder.join(file).is_file().then(|| required(manifest, folder, file)).transpose()
}

/// The choices in a folder that belong to this run.
fn choices_of(manifest: &Manifest, folder: &Path) -> Result<Vec<Choice>> {
    let path = folder.join(CHOICES);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = fs_err::read_to_string(&path)?;
    let wrong = |error: serde_json::Error| Error::Run { path: path.clone(), reason: error.to_string() };
    let values: Vec<Value> = serde_json::from_str(&text).map_err(wrong)?;
    let mut choices = Vec::new();
    for value in values {
        if is_sealed(&value) && !is_whole(&value) {
            return Err(Error::Run {
                path,
                reason: "not what was written here: damaged, or changed since\nhint: `ragbias choose` writes it again".into(),
            });
        }
        choices.push(serde_json::from_value::<Choice>(value).map_err(wrong)?);
    }
    choices.retain(|choice| choice.run == manifest.run);
    Ok(choices)
}
