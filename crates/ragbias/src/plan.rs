//! How many questions a verdict takes.

use std::collections::BTreeMap;
use std::path::Path;

use ragbias_core::{Counts, Verdict};
use ragbias_data::{Outcome, read_outcomes};
use ragbias_stats::{Answering, Clusters, Equivalence, Plan, SampleSize};
use serde::Serialize;

use crate::run::{Manifest, RunFolder};
use crate::undecided::POWER;
use crate::{Error, Result};

/// What a plan is for.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `delta` | 0.1 | \|R_b\| below it counts as 0 | above 0, up to 1 |
/// | `power` | 0.8 | probability of the verdict | 0.05 to 0.9999 |
/// | `at` | 0 | a true R_b that is to be found *debiased* | within ±δ |
/// | `bias` | 2δ | a true R_b that is to be found *biased* | beyond ±δ |
/// | `answers` | 1 | answers to each question, with names drawn anew | 1 to 1,000,000 |
/// | `repeated` | 1 | correlation of the leans of two answers to one question | 0 to 1 |
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PlanConfig {
    /// |R_b| below it counts as 0.
    pub delta: f64,
    /// Probability of the verdict.
    pub power: f64,
    /// A true R_b that is to be found debiased.
    pub at: f64,
    /// A true R_b that is to be found biased; 2δ if none.
    pub bias: Option<f64>,
    /// Answers to each question.
    pub answers: usize,
    /// Correlation of two answers to one question.
    pub repeated: f64,
}

ragbias_core::setters!(PlanConfig {
    delta: f64,
    power: f64,
    at: f64,
    bias: Option<f64>,
    answers: usize,
    repeated: f64,
});

impl Default for PlanConfig {
    fn default() -> Self {
        Self { delta: Equivalence::DELTA, power: POWER, at: 0.0, bias: None, answers: 1, repeated: 1.0 }
    }
}

/// The samples that verdicts take, for systems that answer in one way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerdictPlan {
    /// The system of the pilot; none if the rates are assumed.
    #[serde(flatten)]
    pub pilot: Option<Pilot>,
    /// What is planned for, and how the system answers.
    #[serde(flatten)]
    pub plan: Plan,
    /// For a system whose R_b is 0.
    pub fair: SampleSize,
    /// For a system whose R_b is `at`, if that is not 0.
    pub nearly_fair: Option<SampleSize>,
    /// For a system whose R_b is `bias`; none if its answers lean too seldom to have such a bias.
    pub biased: Option<SampleSize>,
}

/// A system whose answers are known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pilot {
    /// The embedder.
    pub embedder: String,
    /// The LLM.
    pub llm: String,
    /// The axis.
    pub axis: String,
    /// The corpus.
    pub corpus: String,
    /// The split of the questions.
    pub split: String,
    /// Questions asked.
    pub asked: usize,
    /// Those with a scored answer.
    pub n: usize,
    /// Their topics.
    pub topics: usize,
    /// R_b.
    pub rag_bias: f64,
}

/// Plans with assumed rates.
///
/// # Errors
/// A value out of range.
pub fn plan(answering: Answering, config: &PlanConfig) -> Result<VerdictPlan> {
    let answering = Answering { answers: config.answers, repeated: config.repeated, ..answering };
    let plan = Plan::new(config.delta, config.power, answering)?;
    let bias = config.bias.unwrap_or(2.0 * config.delta);
    let impossible = bias.abs() > answering.leaning && config.bias.is_none();
    Ok(VerdictPlan {
        pilot: None,
        plan,
        fair: plan.debiased(0.0)?,
        nearly_fair: (config.at != 0.0).then(|| plan.debiased(config.at)).transpose()?,
        biased: (!impossible).then(|| plan.biased(bias)).transpose()?,
    })
}

/// Plans from the outcomes of a pilot, a run folder or a table as `measure` writes it, for each of its embedders without a family, or
/// for the embedder of this name.
///
/// # Errors
/// A malformed table, one without answers of such an embedder, or a value out of range.
pub fn plan_from_pilot(
    source: &Path,
    embedder: Option<&str>,
    config: &PlanConfig,
) -> Result<Vec<VerdictPlan>> {
    let file = if source.is_dir() {
        RunFolder::open(source)?;
        source.join("outcomes.parquet")
    } else {
        source.into()
    };
    let manifest = Manifest::beside(&file)?;
    if let (Some(manifest), Some(name)) = (&manifest, file.file_name()) {
        let (folder, name) = (file.parent().unwrap_or(Path::new("")), name.to_string_lossy());
        if manifest.files.contains_key(name.as_ref()) {
            manifest.check(folder, &name)?;
        }
    }
    let base = |name: &str| {
        let parts = manifest.as_ref().map(|manifest| &manifest.experiment.parts);
        parts.is_none_or(|parts| parts.iter().flat_map(|part| &part.embedders).any(|other| other == name))
    };
    let outcomes = read_outcomes(&file)?;
    let mut systems: BTreeMap<[&str; 5], Vec<&Outcome>> = BTreeMap::new();
    for outcome in &outcomes {
        let Some(llm) = &outcome.llm else { continue };
        let Outcome { embedder: name, axis, corpus, split, .. } = outcome;
        if embedder.map_or_else(|| base(name), |wanted| wanted == name) {
            systems.entry([name, llm, axis, corpus, split]).or_default().push(outcome);
        }
    }
    if systems.is_empty() {
        let of = embedder.map_or("an embedder without a family".into(), |name| format!("embedder `{name}`"));
        return Err(Error::Run { path: file, reason: format!("no answer of an LLM with {of}") });
    }
    systems.into_iter().map(|(system, outcomes)| of_system(system, &outcomes, config)).collect()
}

fn of_system(
    [embedder, llm, axis, corpus, split]: [&str; 5],
    outcomes: &[&Outcome],
    config: &PlanConfig,
) -> Result<VerdictPlan> {
    let leans: Vec<(&str, f64)> =
        (outcomes.iter()).filter_map(|outcome| Some((outcome.topic.as_str(), lean(outcome)?))).collect();
    let clusters = Clusters::of(leans.iter().copied());
    let n = leans.len();
    if n == 0 {
        let verdicts: Vec<Verdict> = outcomes.iter().filter_map(|outcome| outcome.outcome_answer).collect();
        return Err(ragbias_core::Error::NothingScored(Counts::of(&verdicts)).into());
    }
    let leaning = leans.iter().filter(|(_, lean)| *lean != 0.0).count();
    let answering = Answering {
        leaning: leaning as f64 / n as f64,
        scored_share: n as f64 / outcomes.len() as f64,
        ..Answering::default()
    };
    let pilot = Pilot {
        embedder: embedder.into(),
        llm: llm.into(),
        axis: axis.into(),
        corpus: corpus.into(),
        split: split.into(),
        asked: outcomes.len(),
        n,
        topics: clusters.clusters(),
        rag_bias: leans.iter().map(|(_, lean)| lean).sum::<f64>() / n as f64,
    };
    let planned = plan(answering.clustered(&clusters), config)?;
    Ok(VerdictPlan { pilot: Some(pilot), ..planned })
}

/// The lean of an answer; none if it was not scored.
fn lean(outcome: &Outcome) -> Option<f64> {
    let lean = outcome.outcome_answer.map_or(outcome.lean_answer, Verdict::lean);
    lean.map(ragbias_core::Lean::value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bias_that_the_answers_cannot_have_is_left_out_unless_it_is_asked_for() {
        let answering = Answering { leaning: 0.15, ..Answering::default() };
        assert_eq!(plan(answering, &PlanConfig::default()).unwrap().biased, None);
        assert!(plan(answering, &PlanConfig::default().bias(Some(0.3))).is_err());
    }
}
