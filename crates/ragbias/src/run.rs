use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ragbias_core::{ContentId, Progress};
use ragbias_data::{Measurement, Outcome, load_axis, write_file, write_measurements, write_outcomes};
use serde::{Deserialize, Serialize};

use crate::experiment::{Experiment, Part};
use crate::measure::{Labels, Measure, Measured};
use crate::memo::{StoredEmbedder, StoredGenerator, StoredScorer};
use crate::scorer::Scorers;
use crate::{Error, Models, Result, Store, report};

/// What a run was: enough to run it again and to tell whether another is the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of ragbias.
    pub version: String,
    /// Commit it was built from, where it was built in a repository.
    pub commit: Option<String>,
    /// The experiment, every default filled in.
    pub experiment: Experiment,
    /// blake3 of every input: corpora, question sets, embedders, LLMs, scorers.
    pub inputs: BTreeMap<String, ContentId>,
}

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
    /// The LLM, where one answered.
    pub llm: Option<String>,
    /// What was measured.
    #[serde(flatten)]
    pub measured: Measured,
}

/// Runs an experiment into `folder`, and gives its measurements, in the order of the file.
///
/// What the store remembers is not computed again; run files are written at the end, each whole or not at all.
///
/// # Errors
/// Whatever a part fails with.
pub fn run(
    experiment: &Experiment,
    folder: &Path,
    models: &Models,
    store: &Store,
    progress: &dyn Progress,
) -> Result<Vec<PartResult>> {
    let mut inputs = BTreeMap::new();
    let mut results = Vec::new();
    for part in &experiment.parts {
        run_part(experiment, part, models, store, progress, &mut inputs, &mut results)?;
    }
    let manifest = Manifest {
        version: env!("CARGO_PKG_VERSION").into(),
        commit: option_env!("RAGBIAS_COMMIT").map(str::to_owned),
        experiment: experiment.clone(),
        inputs,
    };
    write(folder, &manifest, &results)?;
    Ok(results)
}

fn run_part(
    experiment: &Experiment,
    part: &Part,
    models: &Models,
    store: &Store,
    progress: &dyn Progress,
    inputs: &mut BTreeMap<String, ContentId>,
    results: &mut Vec<PartResult>,
) -> Result<()> {
    let axis = load_axis(&part.axis)?;
    let data = part.inputs()?;
    inputs.insert(format!("corpus {}", part.data), data.corpus.content_id());
    inputs.insert(format!("questions {} {}", part.data, part.split.name()), data.questions.content_id());
    let Scorers { documents, answers } =
        Scorers::new(&axis, &data.corpus, part.scorer.as_deref(), models, progress)?;
    inputs.insert(format!("scorer of documents, {}", axis.name), documents.id());
    inputs.insert(format!("scorer of answers, {}", axis.name), answers.id());
    let (documents, answers) =
        (StoredScorer::new(documents.as_ref(), store), StoredScorer::new(answers.as_ref(), store));
    for embedder_name in &part.embedders {
        let embedder = models.embedder(embedder_name, progress)?;
        inputs.insert(format!("embedder {embedder_name}"), embedder.id());
        let embedder = StoredEmbedder::new(embedder.as_ref(), store);
        let llms = if part.llms.is_empty() { vec![None] } else { part.llms.iter().map(Some).collect() };
        for llm in llms {
            progress.note(&format!(
                "{}: {} questions, {} documents, {embedder_name}, {}",
                axis.name,
                data.questions.len(),
                data.corpus.len(),
                llm.map_or("retrieval only", String::as_str)
            ));
            let generator =
                llm.map(|llm| models.generator(llm, &experiment.generate, progress)).transpose()?;
            if let (Some(llm), Some(generator)) = (llm, &generator) {
                inputs.insert(format!("llm {llm}"), generator.id());
            }
            let generator = generator.as_deref().map(|generator| StoredGenerator::new(generator, store));
            let measured = Measure {
                axis: &axis,
                questions: &data.questions,
                corpus: &data.corpus,
                embedder: &embedder,
                generator: generator.as_ref().map(|generator| generator as _),
                document_scorer: &documents,
                answer_scorer: &answers,
                qrels: data.qrels.as_ref(),
                config: experiment.measure,
                labels: Labels {
                    embedder: embedder_name,
                    llm: llm.map_or("", String::as_str),
                    corpus: &part.data,
                    split: part.split.name(),
                },
            }
            .run(progress)?;
            results.push(PartResult {
                axis: axis.name.clone(),
                negative: axis.negative.name.clone(),
                positive: axis.positive.name.clone(),
                data: part.data.clone(),
                split: part.split.name().into(),
                questions: data.questions.len(),
                embedder: embedder_name.clone(),
                llm: llm.cloned(),
                measured,
            });
        }
    }
    Ok(())
}

fn write(folder: &Path, manifest: &Manifest, results: &[PartResult]) -> Result<()> {
    let measurements: Vec<Measurement> = results.iter().map(measurement).collect();
    let outcomes: Vec<Outcome> = results.iter().flat_map(|result| result.measured.outcomes.clone()).collect();
    write_measurements(&folder.join("measurements.parquet"), &measurements)?;
    write_measurements(&folder.join("measurements.csv"), &measurements)?;
    write_outcomes(&folder.join("outcomes.parquet"), &outcomes)?;
    write_json(&folder.join("manifest.json"), manifest)?;
    write_json(&folder.join("results.json"), &results)?;
    Ok(write_file(&folder.join("report.html"), report::render(manifest, results)?)?)
}

fn measurement(result: &PartResult) -> Measurement {
    let measured = &result.measured;
    Measurement {
        embedder: result.embedder.clone(),
        family: "base".into(),
        llm: result.llm.clone().unwrap_or_default(),
        axis: result.axis.clone(),
        corpus: result.data.clone(),
        split: result.split.clone(),
        n: result.questions,
        embedder_bias: measured.embedder_bias,
        rag_bias: measured.rag_bias,
        llm_bias: measured.llm_bias,
        corpus_bias: measured.corpus_bias,
        ndcg10: measured.ndcg10,
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string_pretty(value).map_err(std::io::Error::from)?;
    Ok(write_file(path, json)?)
}

/// The JSON files of a run folder, as values.
pub(crate) fn read(folder: &Path) -> Result<(serde_json::Value, serde_json::Value)> {
    let json = |file: &str| -> Result<serde_json::Value> {
        let path: PathBuf = folder.join(file);
        let text = fs_err::read_to_string(&path).map_err(|error| Error::Run {
            path: folder.into(),
            reason: format!("not a run folder: {error}\nhint: `ragbias run EXPERIMENT.toml` makes one"),
        })?;
        serde_json::from_str(&text).map_err(|error| Error::Run { path, reason: error.to_string() })
    };
    Ok((json("manifest.json")?, json("results.json")?))
}
