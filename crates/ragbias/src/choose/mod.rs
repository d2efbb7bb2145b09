//! Finds the setting that makes a run's RAG system fair: predicted by the line, found on validation topics, confirmed
//! on test topics.

use std::path::Path;
use std::sync::Arc;

use ragbias_core::Generator;
use ragbias_core::limits::STEPS;
use ragbias_data::Split;
use ragbias_stats::Equivalence;

use crate::fit::{FitConfig, fit};
use crate::memo::StoredGenerator;
use crate::report::write_report;
use crate::run::{CONTROLS, RunFolder, SavedRun};
use crate::threshold::DeclaredThreshold;
use crate::{Error, Result, Workspace};

mod bench;
mod choice;
mod config;
mod folds;
mod outcomes;
mod search;

use bench::Bench;
pub(crate) use choice::subject;
pub use choice::{
    Biases, Confirmed, ControlChoice, ControlResult, FoldChoice, LeftOutControl, Predicted, Reached,
    TrailStep,
};
pub use config::ChooseConfig;

/// Chooses for every LLM of those parts of a run that have folds or validation topics, and a family, and writes `choice.json` into the run,
/// and a folder with `control.json` for every control.
///
/// The first setting is predicted from the target E_b* = −β0/s of the line. R_b is measured there, and the interval of settings in
/// which it changes its sign is bisected, on validation topics only, until |R_b| is within one answer of 0. The
/// result is measured once on test topics. A part with folds is cross-fitted instead: on each fold of its topics, R_b is taken at the
/// setting that was found on the others, and the setting that is saved is found on all of them.
///
/// An earlier choice of the run is kept until this one is complete, and is replaced in one step.
///
/// # Errors
/// Another threshold than the experiment declared; a folder that is not a run, or has no such part; data that have changed since the run; failures of components.
pub fn choose(folder: &Path, config: &ChooseConfig, workspace: &Workspace) -> Result<Vec<ControlChoice>> {
    STEPS.check("steps", config.steps)?;
    let run = RunFolder::open(folder)?;
    let saved = SavedRun::read(folder)?;
    let manifest = saved.manifest();
    let experiment = &manifest.experiment;
    let delta = DeclaredThreshold::or(experiment.threshold.as_ref(), config.delta)?;
    Equivalence::judge(0.0..=0.0, delta)?;
    workspace.models().check_keys(experiment.llms())?;
    let staging = run.stage()?;
    let fit_config = FitConfig::default().delta(delta);
    let fits = fit(&saved.measurements()?, &saved.outcomes()?, &fit_config)?;
    let mut choices = Vec::new();
    for part in &experiment.parts {
        let Some(recipe) = part.families.first() else { continue };
        let chooses = part.split == Split::Validation || part.folds().is_some();
        if !chooses || part.llms.is_empty() {
            continue;
        }
        let mut bench = Bench::new(folder, manifest, part, recipe, delta, workspace)?;
        for llm in &part.llms {
            let line = fits.fits.iter().find(|fit| {
                fit.of.llm == llm.as_str()
                    && fit.of.axis == bench.axis().name
                    && fit.of.corpus.as_deref() == Some(part.corpus_name().as_str())
                    && fit.of.split.as_deref() == Some(part.split.name())
            });
            let line = line.ok_or_else(|| Error::Run {
                path: folder.into(),
                reason: format!("no line of {} with {llm} on {} topics", part.axis, part.split.name()),
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
            reason: "no part with a family and an LLM, and with folds or validation topics\nhint: a [[part]] with split = \"held-out\", families and \
                     llms, as in experiments/gender-twins.toml, or with split = \"validation\", as in experiments/gender.toml"
                .into(),
        });
    }
    SavedRun::write_choices(staging.path(), &choices)?;
    write_report(&saved, staging.path(), staging.path(), workspace.progress())?;
    // If no control was changed, existing ones must go.
    fs_err::create_dir_all(staging.path().join(CONTROLS))?;
    run.publish_of(manifest, staging)?;
    Ok(choices)
}
