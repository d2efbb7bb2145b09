//! A whole experiment, into a run folder.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ragbias_core::{Axis, ContentId, Embedder, Generator, Progress, slug};
use ragbias_data::{
    Measurement, MeasurementRow, Outcome, load_axis, write_file, write_measurements, write_outcomes,
};
use serde::Serialize;
use serde_json::Value;

use crate::experiment::{Experiment, Part};
use crate::family::{Family, Shard};
use crate::fit::{FitConfig, Fits, fit};
use crate::input::Inputs;
use crate::measure::{Labels, Measure};
use crate::measured::{AnswerBias, Measured};
use crate::memo::{StoredEmbedder, StoredGenerator, StoredScorer};
use crate::recipe::Recipe;
use crate::report::write_report;
use crate::scorer::Scorers;
use crate::{Models, Result, Store};

mod folder;
mod manifest;
mod sealed;

pub(crate) use folder::{CHOICES, CONTROLS, RunFolder};
pub(crate) use manifest::MANIFEST;
pub use manifest::Manifest;
pub(crate) use sealed::{is_sealed, is_whole, sealed};

/// The family of an embedder that belongs to none.
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
    /// Which questions.
    pub split: String,
    /// How many questions.
    pub questions: usize,
    /// The embedder.
    pub embedder: String,
    /// The family that it is a member of, or [`BASE_FAMILY`].
    pub family: String,
    /// The LLM, where one answered.
    pub llm: Option<String>,
    /// What was measured.
    #[serde(flatten)]
    pub measured: Measured,
}

/// Runs an experiment into `folder`, and gives its measurements, in the order of the file, and the lines through them.
///
/// What the store remembers is not computed again. The files of the run are written at the end, and all of them together take the
/// places of those of an earlier run; a choice that was made of another run is set aside, in a folder of `earlier`.
///
/// # Errors
/// Whatever a part fails with.
pub fn run(
    experiment: &Experiment,
    folder: &Path,
    models: &Models,
    store: &Store,
    progress: &dyn Progress,
) -> Result<(Vec<PartResult>, Fits)> {
    let run_folder = RunFolder::open(folder)?;
    let mut llms = Llms::new();
    let measured = measure_parts(experiment, folder, models, store, &mut llms, progress);
    // Where a part failed too: a note may be the reason.
    let notes = notes(&llms, store);
    for note in notes.values().flatten() {
        progress.note(note);
    }
    let (results, inputs) = measured?;
    let manifest = Manifest {
        version: env!("CARGO_PKG_VERSION").into(),
        commit: option_env!("RAGBIAS_COMMIT").map(str::to_owned),
        run: None,
        experiment: experiment.clone(),
        inputs,
        files: BTreeMap::new(),
        notes,
    };
    let fits = write(&run_folder, manifest, &results, progress)?;
    Ok((results, fits))
}

/// LLMs by name.
type Llms = BTreeMap<String, Arc<dyn Generator>>;

fn measure_parts(
    experiment: &Experiment,
    folder: &Path,
    models: &Models,
    store: &Store,
    llms: &mut Llms,
    progress: &dyn Progress,
) -> Result<(Vec<PartResult>, BTreeMap<String, ContentId>)> {
    models.check_keys(experiment.llms())?;
    let (mut results, mut inputs) = (Vec::new(), BTreeMap::new());
    for part in &experiment.parts {
        for name in &part.llms {
            if !llms.contains_key(name.as_str()) {
                let llm = models.generator(name, &experiment.generate, &experiment.server, progress)?;
                llms.insert(name.to_string(), llm);
            }
        }
        let mut run = PartRun::new(experiment, part, llms, models, store, progress)?;
        run.measure_all(&folder.join("embedders"), models)?;
        inputs.append(&mut run.inputs);
        results.append(&mut run.results);
    }
    Ok((results, inputs))
}

/// What should be known of the LLMs, now that they answered, by name.
fn notes(llms: &Llms, store: &Store) -> BTreeMap<String, Vec<String>> {
    let of = |llm: &Arc<dyn Generator>| StoredGenerator::new(llm.as_ref(), store).notes();
    let notes = llms.iter().map(|(name, llm)| (name.clone(), of(llm)));
    notes.filter(|(_, notes)| !notes.is_empty()).collect()
}

/// One part of an experiment: what all of its embedders are measured with.
struct PartRun<'a> {
    experiment: &'a Experiment,
    part: &'a Part,
    axis: Axis,
    data: Inputs,
    scorers: Scorers,
    /// LLMs by name; one without a name and a model where only retrieval is measured.
    llms: Vec<(&'a str, Option<Arc<dyn Generator>>)>,
    store: &'a Store,
    progress: &'a dyn Progress,
    inputs: BTreeMap<String, ContentId>,
    results: Vec<PartResult>,
}

impl<'a> PartRun<'a> {
    fn new(
        experiment: &'a Experiment,
        part: &'a Part,
        known: &Llms,
        models: &Models,
        store: &'a Store,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let (axis, data) = (load_axis(&part.axis)?, part.inputs(progress)?);
        let scorers = Scorers::new(&axis, &data.corpus, part.scorer.as_deref(), models, progress)?;
        let mut inputs = BTreeMap::from([
            (format!("scorer of documents, {}", axis.name), scorers.documents.id()),
            (format!("scorer of answers, {}", axis.name), scorers.answers.id()),
        ]);
        inputs.extend(data.ids(&part.data, part.split));
        let mut llms = Vec::new();
        for name in &part.llms {
            let llm = &known[name.as_str()];
            inputs.insert(format!("llm {name}"), llm.id());
            llms.push((name.as_str(), Some(Arc::clone(llm))));
        }
        if llms.is_empty() {
            llms.push(("", None));
        }
        Ok(Self { experiment, part, axis, data, scorers, llms, store, progress, inputs, results: Vec::new() })
    }

    /// Measures every embedder, and every member of every family, which is tuned into a folder of `families` first.
    fn measure_all(&mut self, families: &Path, models: &Models) -> Result<()> {
        for name in &self.part.embedders {
            let embedder = models.embedder(name, self.progress)?;
            self.inputs.insert(format!("embedder {name}"), embedder.id());
            self.measure(name, BASE_FAMILY, &StoredEmbedder::new(embedder.as_ref(), self.store))?;
        }
        for path in &self.part.families {
            let recipe = Recipe::read(path)?;
            let folder = families.join(slug(&recipe.name));
            let mut family = Family::new(&recipe, models, self.store, self.progress)?;
            self.inputs.insert(format!("base of family {}", recipe.name), family.base_id());
            // The base's own row is first: it is measured where the part names it as an embedder.
            for member in family.tune(&folder, Shard::WHOLE, self.progress)?.iter().skip(1) {
                let embedder = family.embedder(&folder, member, self.progress)?;
                self.measure(&member.member, &recipe.name, &embedder)?;
            }
        }
        Ok(())
    }

    fn measure(&mut self, name: &str, family: &str, embedder: &dyn Embedder) -> Result<()> {
        for (llm, generator) in &self.llms {
            self.progress.note(&format!(
                "{}: {} questions, {} documents, {name}, {}",
                self.axis.name,
                self.data.questions.len(),
                self.data.corpus.len(),
                if llm.is_empty() { "retrieval only" } else { llm }
            ));
            let generator = generator.as_deref().map(|generator| StoredGenerator::new(generator, self.store));
            let measured = Measure {
                axis: &self.axis,
                questions: &self.data.questions,
                corpus: &self.data.corpus,
                embedder,
                generator: generator.as_ref().map(|generator| generator as _),
                document_scorer: &StoredScorer::new(self.scorers.documents.as_ref(), self.store),
                answer_scorer: &StoredScorer::new(self.scorers.answers.as_ref(), self.store),
                qrels: self.data.qrels.as_ref(),
                config: self.experiment.measure,
                labels: Labels {
                    embedder: name,
                    llm,
                    corpus: &self.part.data,
                    split: self.part.split.name(),
                },
            }
            .run(self.progress)?;
            self.results.push(PartResult {
                axis: self.axis.name.clone(),
                negative: self.axis.negative.name.clone(),
                positive: self.axis.positive.name.clone(),
                data: self.part.data.clone(),
                split: self.part.split.name().into(),
                questions: self.data.questions.len(),
                embedder: name.into(),
                family: family.into(),
                llm: (!llm.is_empty()).then(|| (*llm).to_owned()),
                measured,
            });
        }
        Ok(())
    }
}

/// Files of a run that numbers are read from.
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
    // A choice that was made of the same run is still its choice.
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
