//! Runs a whole experiment and writes the run folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ragbias_core::{Axis, ContentId, Generator, Progress};
use ragbias_data::{Measurement, MeasurementRow, Outcome, write_file, write_measurements, write_outcomes};
use serde::Serialize;
use serde_json::Value;

use crate::experiment::Experiment;
use crate::fit::{FitConfig, Fits, fit};
use crate::measured::{AnswerBias, Measured};
use crate::recipe::Recipe;
use crate::report::write_report;
use crate::{Result, Workspace};

mod folder;
mod manifest;
mod sealed;
mod study;

pub(crate) use folder::{CHOICES, CONTROLS, RunFolder};
pub(crate) use manifest::MANIFEST;
pub use manifest::Manifest;
pub(crate) use sealed::{is_sealed, is_whole, sealed};
use study::Study;

/// The family name of embedders without a family.
pub const BASE_FAMILY: &str = "base";

/// One measurement of a run.
#[derive(Debug, Clone, Serialize)]
pub struct PartResult {
    /// The axis.
    pub axis: String,
    /// The pole of lean −1.
    pub negative: String,
    /// The pole of lean +1.
    pub positive: String,
    /// The data set.
    pub data: String,
    /// The split of the questions.
    pub split: String,
    /// Number of questions.
    pub questions: usize,
    /// The embedder.
    pub embedder: String,
    /// Its family, or [`BASE_FAMILY`].
    pub family: String,
    /// The LLM, if one answered.
    pub llm: Option<String>,
    /// The measurement.
    #[serde(flatten)]
    pub measured: Measured,
}

/// Runs an experiment into `folder`, and returns its measurements, in the order of the file, and the lines fitted to them.
///
/// All embedders of a part retrieve first. Then each LLM answers the prompts of all of them in one pass, each distinct prompt once,
/// and the answers are scored. Stored results are not computed again. The files of the run are written at the end, and
/// replace those of an earlier run together; a choice that belongs to another run is set aside, in a folder of
/// `earlier`.
///
/// # Errors
/// Errors of any part.
pub fn run(experiment: &Experiment, folder: &Path, workspace: &Workspace) -> Result<(Vec<PartResult>, Fits)> {
    let run_folder = RunFolder::open(folder)?;
    let (files, mut llms) = (Files::read(experiment)?, Llms::new());
    let measured = measure_parts(experiment, &files, folder, workspace, &mut llms);
    // On failure too, as a note may give the reason.
    let notes = notes(&llms, workspace);
    for note in notes.values().flatten() {
        workspace.progress().note(note);
    }
    let (results, inputs) = measured?;
    let Files { axes, recipes } = files;
    let manifest = Manifest {
        version: env!("CARGO_PKG_VERSION").into(),
        commit: option_env!("RAGBIAS_COMMIT").map(str::to_owned),
        run: None,
        experiment: experiment.clone(),
        axes,
        recipes,
        inputs,
        files: BTreeMap::new(),
        notes,
    };
    let fits = write(&run_folder, manifest, &results, workspace.progress())?;
    Ok((results, fits))
}

/// The files that an experiment names, as read when the run began.
struct Files {
    /// By their name in the experiment, with the experiment's wording of prompts.
    axes: BTreeMap<String, Axis>,
    /// By their path in the experiment.
    recipes: BTreeMap<PathBuf, Recipe>,
}

impl Files {
    fn read(experiment: &Experiment) -> Result<Self> {
        let (mut axes, mut recipes) = (BTreeMap::new(), BTreeMap::new());
        for part in &experiment.parts {
            axes.insert(part.axis.clone(), experiment.axis(part)?);
            for path in &part.families {
                recipes.insert(path.clone(), Recipe::read(path)?);
            }
        }
        Ok(Self { axes, recipes })
    }
}

/// LLMs by name.
type Llms = BTreeMap<String, Arc<dyn Generator>>;

fn measure_parts(
    experiment: &Experiment,
    files: &Files,
    folder: &Path,
    workspace: &Workspace,
    llms: &mut Llms,
) -> Result<(Vec<PartResult>, BTreeMap<String, ContentId>)> {
    let (models, progress) = (workspace.models(), workspace.progress());
    models.check_keys(experiment.llms())?;
    for name in experiment.llms() {
        if !llms.contains_key(name.as_str()) {
            let llm = models.generator(name, &experiment.generate, &experiment.server, progress)?;
            llms.insert(name.to_string(), llm);
        }
    }
    let (mut results, mut inputs) = (Vec::new(), BTreeMap::new());
    for part in &experiment.parts {
        let mut study = Study::new(experiment, part, files, llms, workspace)?;
        study.retrieve_all(&folder.join("embedders"))?;
        results.append(&mut study.answer_all()?);
        inputs.append(&mut study.inputs);
    }
    Ok((results, inputs))
}

/// Notes on the LLMs after they have answered, by name.
fn notes(llms: &Llms, workspace: &Workspace) -> BTreeMap<String, Vec<String>> {
    let notes = llms.iter().map(|(name, llm)| (name.clone(), workspace.llm(Arc::clone(llm)).notes()));
    notes.filter(|(_, notes)| !notes.is_empty()).collect()
}
/// Files of a run whose numbers are read.
const TABLES: [&str; 5] =
    ["measurements.parquet", "measurements.csv", "outcomes.parquet", "results.json", "fit.json"];

fn write(
    folder: &RunFolder,
    mut manifest: Manifest,
    results: &[PartResult],
    progress: &dyn Progress,
) -> Result<Fits> {
    let staging = folder.stage()?;
    let place = |file: &str| staging.path().join(file);
    let mut found = serde_json::to_value(results).map_err(std::io::Error::from)?;
    let run = Manifest::id(&manifest.experiment, &manifest.inputs, &found.to_string())?;
    manifest.run = Some(run);
    for result in found.as_array_mut().into_iter().flatten() {
        result["run"] = run.to_string().into();
    }
    let measurements: Vec<Measurement> = results.iter().map(measurement).collect();
    let outcomes: Vec<Outcome> = results.iter().flat_map(|result| result.measured.outcomes.clone()).collect();
    write_measurements(&place("measurements.parquet"), &measurements, Some(run))?;
    write_measurements(&place("measurements.csv"), &measurements, Some(run))?;
    write_outcomes(&place("outcomes.parquet"), &outcomes, Some(run))?;
    write_json(&place("results.json"), &found)?;
    let rows: Vec<MeasurementRow> = measurements.iter().map(MeasurementRow::from).collect();
    let config = FitConfig { seed: manifest.experiment.measure.seed, ..FitConfig::default() };
    let fits = fit(&rows, &outcomes, &config)?;
    let mut lines = serde_json::to_value(&fits).map_err(std::io::Error::from)?;
    lines["run"] = run.to_string().into();
    write_json(&place("fit.json"), &lines)?;
    for file in TABLES {
        manifest.files.insert(file.into(), ContentId::of(&fs_err::read(place(file))?));
    }
    write_file(&place(MANIFEST), manifest.to_json()?)?;
    // A choice that belongs to the same run is kept.
    write_report(staging.path(), folder.path(), staging.path(), progress)?;
    if let Some(place) = folder.publish(staging)? {
        progress.note(&format!(
            "a choice was there, made of a run that found something else; it is in {} now\nhint: `ragbias choose --run {}` \
             chooses anew",
            place.display(),
            folder.path().display()
        ));
    }
    Ok(fits)
}

fn measurement(result: &PartResult) -> Measurement {
    let measured = &result.measured;
    Measurement {
        embedder: result.embedder.clone(),
        family: result.family.clone(),
        llm: result.llm.clone().unwrap_or_default(),
        axis: result.axis.clone(),
        corpus: result.data.clone(),
        split: result.split.clone(),
        n: result.questions,
        embedder_bias: measured.embedder_bias,
        rag_bias: measured.rag_bias,
        rag_counts: measured.counts(AnswerBias::RagBias),
        llm_bias: measured.llm_bias,
        llm_counts: measured.counts(AnswerBias::LlmBias),
        corpus_bias: measured.corpus_bias,
        ndcg10: measured.ndcg10,
    }
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let json = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    Ok(write_file(path, json)?)
}

#[cfg(test)]
mod tests;
