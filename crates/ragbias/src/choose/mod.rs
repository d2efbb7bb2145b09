//! Finds the setting that makes a run's RAG system fair: predicted by the line, found on validation topics, confirmed
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

/// Settings of a choice.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `delta` | 0.1 | \|R_b\| below it counts as 0 | above 0, up to 1 |
/// | `controls` | all | the controls to try | |
/// | `word` | none | projection along this word; by default along the direction between the poles | |
/// | `steps` | 8 | maximum measurements of R_b on validation topics per control | 2 to 1000 |
#[derive(Debug, Clone, PartialEq)]
pub struct ChooseConfig {
    /// |R_b| below it counts as 0.
    pub delta: f64,
    /// The controls to try.
    pub controls: Vec<ControlKind>,
    /// The word whose direction is used for projection.
    pub word: Option<String>,
    /// Maximum measurements of R_b on validation topics per control.
    pub steps: usize,
}

impl Default for ChooseConfig {
    fn default() -> Self {
        Self { delta: Equivalence::DELTA, controls: ControlKind::ALL.to_vec(), word: None, steps: 8 }
    }
}

/// The choice for one LLM on one axis. `choice.json` of a run contains all of them.
#[derive(Debug, Clone, Serialize)]
pub struct Choice {
    /// The id of its run.
    pub run: Option<ContentId>,
    /// The axis.
    pub axis: String,
    /// The data set.
    pub data: String,
    /// The LLM.
    pub llm: String,
    /// |R_b| below it counts as 0.
    pub delta: f64,
    /// The status of the target of the line on validation topics.
    pub status: TargetStatus,
    /// The unchanged system.
    pub base: Confirmed,
    /// The result of each control.
    pub controls: Vec<Turned>,
    /// Controls that could not be made, with the reason.
    pub left_out: Vec<LeftOutControl>,
    /// The control that reaches R_b = 0 on validation topics, the one with the highest utility if several do.
    pub chosen: Option<ControlKind>,
    /// The reason if there is none.
    pub reason: Option<String>,
}

/// One control, at the setting where R_b is closest to 0.
#[derive(Debug, Clone, Serialize)]
pub struct Turned {
    /// The control.
    pub control: ControlKind,
    /// Its setting.
    pub setting: f64,
    /// The prediction of the line.
    pub predicted: Option<Predicted>,
    /// All measurements on validation topics, in order.
    pub trail: Vec<TrailStep>,
    /// Whether R_b changes its sign within the range of the control.
    pub reached: Reached,
    /// The resulting system.
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
    /// Its kind.
    pub control: ControlKind,
    /// The reason.
    pub reason: String,
}

/// The prediction of the line for a control.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Predicted {
    /// E_b*.
    pub target: f64,
    /// The setting at which E_b is closest to it on validation topics.
    pub setting: f64,
}

/// Whether R_b changes its sign between the base and the extreme setting of a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reached {
    /// It does.
    Zero,
    /// It keeps its sign; the setting closest to 0 was used.
    Nearest,
}

/// One measurement on validation topics.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TrailStep {
    /// Setting of the control.
    pub setting: f64,
    /// E_b.
    pub embedder_bias: f64,
    /// R_b.
    pub rag_bias: f64,
}

/// A system on validation and test topics.
#[derive(Debug, Clone, Serialize)]
pub struct Confirmed {
    /// Name of the embedder.
    pub embedder: String,
    /// On the topics used for the choice.
    pub validation: Biases,
    /// On topics that played no part in the choice.
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

/// Chooses for every LLM of those parts of a run that have validation topics and a family, and writes `choice.json` into the run,
/// and a folder with `control.json` for every control.
///
/// The first setting is predicted from the target E_b* = −β0/s of the line. R_b is measured there, and the interval of settings in
/// which it changes its sign is bisected, on validation topics only, until |R_b| is within one answer of 0. The
/// result is measured once on test topics.
///
/// An earlier choice of the run is kept until this one is complete, and is replaced in one step.
///
/// # Errors
/// A folder that is not a run, or has no such part; data that have changed since the run; failures of components.
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
            // On failure too, as a note may give the reason.
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
    // If no control was changed, existing ones must go.
    fs_err::create_dir_all(staging.path().join(CONTROLS))?;
    run.publish_of(&manifest, staging)?;
    Ok(choices)
}

/// An axis and its data set, by both names unless they are the same.
pub(crate) fn subject(axis: &str, data: &str) -> String {
    if axis == data { axis.into() } else { format!("{axis} on {data}") }
}
