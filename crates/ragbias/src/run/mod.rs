//! Runs a whole experiment and writes the run folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ragbias_core::{ContentId, Progress};
use ragbias_data::{Measurement, MeasurementRow, Outcome};

use crate::choose::{ChooseConfig, ControlChoice, choose};
use crate::experiment::Experiment;
use crate::fit::{FitConfig, Fits, fit};
use crate::measured::PartResult;
use crate::report::write_report;
use crate::{Result, Workspace};

mod families;
mod files;
mod folder;
mod manifest;
mod saved;
mod sealed;
mod study;

use self::families::Families;
use self::files::{Files, Llms};
use self::saved::Found;
use self::study::Study;
pub(crate) use folder::{CONTROLS, RunFolder};
pub use manifest::Manifest;
pub(crate) use saved::SavedRun;
pub(crate) use sealed::{check_choice, sealed};

/// A finished run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Run {
    /// The run folder.
    pub folder: PathBuf,
    /// Its measurements, in the order of the experiment.
    pub results: Vec<PartResult>,
    /// The lines fitted to them.
    pub fits: Fits,
}

impl Run {
    /// Reads a finished run from its folder, with its manifest, which says what was measured and with which settings.
    ///
    /// # Errors
    /// A folder that is not that of a run, or a file that has changed since, by name.
    pub fn read(folder: &Path) -> Result<(Manifest, Self)> {
        let saved = SavedRun::read(folder)?;
        let run = Self { folder: folder.into(), results: saved.results()?, fits: saved.fits()? };
        Ok((saved.manifest().clone(), run))
    }

    /// Chooses, for each LLM, a control and its setting so that R_b = 0: see [`choose()`](crate::choose()).
    ///
    /// # Errors
    /// See [`choose()`](crate::choose()).
    pub fn choose(&self, config: &ChooseConfig, workspace: &Workspace) -> Result<Vec<ControlChoice>> {
        choose(&self.folder, config, workspace)
    }

    /// The folder of the chosen control, for a [`Retriever`](crate::Retriever); `None` if none was chosen.
    pub fn control(&self, choice: &ControlChoice) -> Option<PathBuf> {
        choice.turned().map(|turned| self.folder.join(&turned.path))
    }
}

impl Experiment {
    /// Runs the experiment in the folder `runs/NAME`: see [`run()`].
    ///
    /// # Errors
    /// See [`run()`].
    pub fn run(&self, runs: impl AsRef<Path>, workspace: &Workspace) -> Result<Run> {
        run(self, &runs.as_ref().join(&self.name), workspace)
    }
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
pub fn run(experiment: &Experiment, folder: &Path, workspace: &Workspace) -> Result<Run> {
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
    Ok(Run { folder: folder.into(), results, fits })
}

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
    let mut families = Families::within(folder.join("embedders"));
    let (mut results, mut inputs) = (Vec::new(), BTreeMap::new());
    for part in &experiment.parts {
        let mut study = Study::new(experiment, part, files, llms, workspace)?;
        study.retrieve_all(&mut families)?;
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

/// Fits the lines, and writes the files of the run.
fn write(
    folder: &RunFolder,
    manifest: Manifest,
    results: &[PartResult],
    progress: &dyn Progress,
) -> Result<Fits> {
    let staging = folder.stage()?;
    let measurements: Vec<Measurement> = results.iter().map(PartResult::measurement).collect();
    let outcomes: Vec<Outcome> = results.iter().flat_map(|result| result.measured.outcomes.clone()).collect();
    let rows: Vec<MeasurementRow> = measurements.iter().map(MeasurementRow::from).collect();
    let Experiment { measure, .. } = &manifest.experiment;
    let config = FitConfig::default().seed(measure.seed).delta(manifest.experiment.delta());
    let fits = fit(&rows, &outcomes, &config)?;
    let found = Found { results, measurements: &measurements, outcomes: &outcomes, fits: &fits };
    let saved = SavedRun::write(staging.path(), manifest, &found)?;
    // A choice that belongs to the same run is kept.
    write_report(&saved, folder.path(), staging.path(), progress)?;
    if let Some(place) = folder.publish(staging)? {
        progress.note(&format!(
            "a choice was there, made of a run that found something else; it is in {} now\nhint: `ragbias choose` chooses anew",
            place.display()
        ));
    }
    Ok(fits)
}

#[cfg(test)]
mod tests;
