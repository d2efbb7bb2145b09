//! From a run to the setting that makes its RAG system fair: predicted by the line, found on validation topics, confirmed
//! on test topics.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ragbias_core::limits::STEPS;
use ragbias_core::{Bias, ContentId, Generator};
use ragbias_data::{Split, read_measurements, read_outcomes, write_file};
use ragbias_stats::{Equivalence, TargetStatus};
use serde::Serialize;

use crate::control::ControlKind;
use crate::fit::{FitConfig, fit};
use crate::memo::StoredGenerator;
use crate::report::write_report;
use crate::run::{CHOICES, CONTROLS, Manifest, RunFolder, sealed};
use crate::{Error, Result, Workspace};

mod bench;
mod search;

use bench::Bench;

/// How a setting is chosen.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `delta` | 0.1 | \|R_b\| below it is as good as 0 | above 0, up to 1 |
/// | `controls` | all | what is turned | |
/// | `word` | none | projection along this word; without it along the direction between the poles | |
/// | `steps` | 8 | measurements of R_b on validation topics, at most, a control | 2 to 1000 |
#[derive(Debug, Clone, PartialEq)]
pub struct ChooseConfig {
    /// |R_b| below it is as good as 0.
    pub delta: f64,
    /// What is turned.
    pub controls: Vec<ControlKind>,
    /// The word whose direction is projected on.
    pub word: Option<String>,
    /// Measurements of R_b on validation topics, at most, a control.
    pub steps: usize,
}

impl Default for ChooseConfig {
    fn default() -> Self {
        Self { delta: Equivalence::DELTA, controls: ControlKind::ALL.to_vec(), word: None, steps: 8 }
    }
}

/// The choice for one LLM on one axis. All of them are `choice.json` of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Choice {
    /// The run that it was made of.
    pub run: Option<ContentId>,
    /// The axis.
    pub axis: String,
    /// The data set.
    pub data: String,
    /// The LLM.
    pub llm: String,
    /// |R_b| below it is as good as 0.
    pub delta: f64,
    /// What the line on validation topics says of its target.
    pub status: TargetStatus,
    /// The system as it was.
    pub base: Confirmed,
    /// What each control came to.
    pub controls: Vec<Turned>,
    /// Controls that could not be made, with the reason.
    pub left_out: Vec<LeftOutControl>,
    /// The control that reaches R_b = 0 on validation topics, the one of the highest utility where several do.
    pub chosen: Option<ControlKind>,
    /// Why there is none.
    pub reason: Option<String>,
}

/// One control, turned to where R_b is nearest to 0.
#[derive(Debug, Clone, Serialize)]
pub struct Turned {
    /// What was turned.
    pub control: ControlKind,
    /// To where.
    pub setting: f64,
    /// What the line says.
    pub predicted: Option<Predicted>,
    /// What was measured on validation topics on the way, in order.
    pub trail: Vec<TrailStep>,
    /// Whether R_b changes its sign within reach of the control.
    pub reached: Reached,
    /// What it came to.
    #[serde(flatten)]
    pub confirmed: Confirmed,
    /// Two-sided p value of the difference in nDCG@10 from the base, by a paired randomisation test.
    pub ndcg10_p: Option<f64>,
    /// Folder of `control.json`, relative to the run.
    pub path: PathBuf,
}

/// A control that could not be made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeftOutControl {
    /// Which one.
    pub control: ControlKind,
    /// Why.
    pub reason: String,
}

/// What the line says of a control.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Predicted {
    /// E_b*.
    pub target: f64,
    /// The setting at which E_b is nearest to it on validation topics.
    pub setting: f64,
}

/// Whether R_b changes its sign between the base and the end of a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reached {
    /// It does.
    Zero,
    /// It keeps its sign; the setting nearest to 0 was taken.
    Nearest,
}

/// One measurement on validation topics.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TrailStep {
    /// Of the control.
    pub setting: f64,
    /// E_b.
    pub embedder_bias: f64,
    /// R_b.
    pub rag_bias: f64,
}

/// A system on both parts of the questions.
#[derive(Debug, Clone, Serialize)]
pub struct Confirmed {
    /// What the embedder is called.
    pub embedder: String,
    /// On the topics that the choice was made on.
    pub validation: Biases,
    /// On topics that played no part in it.
    pub test: Biases,
    /// The verdict on |R_b| < δ by its interval on test topics.
    pub verdict: Equivalence,
    /// nDCG@10 on the family's utility set.
    pub ndcg10: Option<f64>,
}

/// The two ends of the line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Biases {
    /// E_b.
    pub embedder_bias: Bias,
    /// R_b.
    pub rag_bias: Bias,
}

/// Chooses for every LLM of a run's parts on validation topics that have a family, and writes `choice.json` into the run, and
/// a folder with `control.json` for every control.
///
/// The target E_b* = −β0/s of the line gives the first setting. R_b is then measured there, and the interval of settings in
/// which it changes its sign is halved, on validation topics alone, until |R_b| is within one answer of 0. What was
/// found is measured once on test topics.
///
/// An earlier choice of the run stays until this one is whole, and takes its place in one step.
///
/// # Errors
/// A folder that is no run, or one without such a part; data that have changed since the run; failures of components.
pub fn choose(folder: &Path, config: &ChooseConfig, workspace: &Workspace) -> Result<Vec<Choice>> {
    STEPS.check("steps", config.steps)?;
    Equivalence::judge(0.0..=0.0, config.delta)?;
    let run = RunFolder::open(folder)?;
    let manifest = Manifest::read(folder)?;
    let experiment = &manifest.experiment;
    workspace.models().check_keys(experiment.llms())?;
    for file in ["measurements.parquet", "outcomes.parquet"] {
        manifest.check(folder, file)?;
    }
    let staging = run.stage()?;
    let rows = read_measurements(&folder.join("measurements.parquet"))?;
    let outcomes = read_outcomes(&folder.join("outcomes.parquet"))?;
    let fits = fit(&rows, &outcomes, &FitConfig { delta: config.delta, ..FitConfig::default() })?;
    let mut choices = Vec::new();
    for part in &experiment.parts {
        let Some(recipe) = part.families.first() else { continue };
        if part.split != Split::Validation || part.llms.is_empty() {
            continue;
        }
        let mut bench = Bench::new(folder, &manifest, part, recipe, workspace)?;
        for llm in &part.llms {
            let line = fits.fits.iter().find(|fit| {
                fit.of.llm == llm.as_str()
                    && fit.of.axis == bench.axis().name
                    && fit.of.corpus.as_ref() == Some(&part.data)
                    && fit.of.split.as_deref() == Some(Split::Validation.name())
            });
            let line = line.ok_or_else(|| Error::Run {
                path: folder.into(),
                reason: format!("no line of {} with {llm} on validation topics", part.axis),
            })?;
            let (models, progress) = (workspace.models(), workspace.progress());
            let generator = models.generator(llm, &experiment.generate, &experiment.server, progress)?;
            let choice = bench.choose(Arc::clone(&generator), line, config, staging.path());
            // Where it failed too: a note may be the reason.
            if let Some(store) = workspace.store() {
                StoredGenerator::new(generator, store).notes().iter().for_each(|note| progress.note(note));
            }
            choices.push(choice?);
        }
    }
    if choices.is_empty() {
        return Err(Error::Run {
            path: folder.into(),
            reason: "no part with a family and an LLM on validation topics\nhint: a [[part]] with split = \"validation\", \
                     families and llms, as in experiments/gender.toml"
                .into(),
        });
    }
    let values = choices.iter().map(|choice| Ok(sealed(serde_json::to_value(choice)?)));
    let values = values.collect::<Result<Vec<_>, serde_json::Error>>().map_err(std::io::Error::from)?;
    let json = serde_json::to_string_pretty(&values).map_err(std::io::Error::from)?;
    write_file(&staging.path().join(CHOICES), json)?;
    write_report(folder, staging.path(), staging.path(), workspace.progress())?;
    // Where no control was turned, there are none now either.
    fs_err::create_dir_all(staging.path().join(CONTROLS))?;
    run.publish_of(&manifest, staging)?;
    Ok(choices)
}

/// An axis on a data set, by the name of both unless it is the same.
pub(crate) fn subject(axis: &str, data: &str) -> String {
    if axis == data { axis.into() } else { format!("{axis} on {data}") }
}
