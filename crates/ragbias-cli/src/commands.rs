//! Each command: what the library does for it, and what is printed.

mod audit;
mod calibrate;
mod data;
mod database;
mod ingest;
mod lab;
mod models;
mod monitor;
mod serve;
mod twins;
mod verify;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use ragbias::core::{Document, Embedder, Generator, Passage, Progress, Role, Unit};
use ragbias::data::{
    CorpusFile, Split, Staging, load_axis, shown, write_file, write_file_by, write_outcomes,
};
use ragbias::generate::{GenerateConfig, ServerConfig};
use ragbias::score::Agreement;
use ragbias::scorer;
use ragbias::stats::{Answering, Equivalence, PairedRandomisation};
use ragbias::tune::Mined;
use ragbias::{
    Asked, BASE_FAMILY, Calibration, ChooseConfig, ControlChoice, EMBED_BATCH, Experiment, Family, FitConfig,
    IndexKind, Labels, LlmName, MeasureConfig, Merged, Models, NothingScored, PartResult, PlanConfig, Recipe,
    Store, StoredEmbedder, System, TestCollection, Workspace, load_corpus, load_qrels, load_questions,
    read_prompts,
};
use serde::Serialize;
use serde_json::json;

use crate::args::{self, Args, Command};
use crate::corrections;
use crate::npy;
use crate::output::{self, visible, visible_json};
use crate::progress::{Bars, say};
use crate::table;

/// Number of draws of the randomisation test of `evaluate --against`.
const DRAWS: usize = 100_000;

/// The file of `measure --out` that vouches for the others.
const MEASUREMENT: &str = "measurement.json";

/// The context of every command.
struct Session<'a> {
    args: &'a Args,
    progress: Arc<Bars>,
}

/// The workspace of a command, which reports at the end what was wrong in its store.
struct OpenWorkspace {
    workspace: Workspace,
    store: Store,
}

impl std::ops::Deref for OpenWorkspace {
    type Target = Workspace;

    fn deref(&self) -> &Workspace {
        &self.workspace
    }
}

impl Drop for OpenWorkspace {
    fn drop(&mut self) {
        for note in self.store.notes() {
            self.workspace.progress().note(&note);
        }
    }
}

/// The exit code if a gate fails.
const FAILED: u8 = 3;

/// The exit code if a question has no answer: neither success nor failure.
const UNDECIDED: u8 = 4;

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let session = Session { args, progress: Arc::new(Bars::new(args.quiet)) };
    match &args.command {
        Command::Models(command) => session.models(command),
        Command::Data(command) => session.data(command),
        Command::Embed(command) => session.embed(command),
        Command::Evaluate(command) => session.evaluate(command),
        Command::Score(command) => session.score(command),
        Command::Calibrate(command) => session.calibrate(command),
        Command::Twins(command) => session.twins(command),
        Command::Measure(command) => session.measure(command),
        Command::Mine(command) => session.mine(command),
        Command::Tune(command) => session.tune(command),
        Command::Merge(command) => session.merge(command),
        Command::Fit(command) => session.fit(command),
        Command::Lab(command) => session.lab(command),
        Command::Choose(command) => return session.choose(command),
        Command::Plan(command) => session.plan(command),
        Command::Run(command) => session.run(command),
        Command::Audit(command) => return session.audit(command),
        Command::Monitor(command) => return session.monitor(command),
        Command::Ingest(command) => session.ingest(command),
        Command::Serve(command) => session.serve(command),
        Command::Verify(command) => return session.verify(command),
        Command::Report { run } => {
            let path = ragbias::report(run, session.progress.as_ref())?;
            session.print(&json!({ "report": path }), || path.display().to_string())
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

impl Session<'_> {
    /// JSON if requested, else text.
    fn print(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        let line =
            if self.args.json { visible_json(&serde_json::to_string(value)?) } else { visible(&text()) };
        Ok(output::print([line])?)
    }

    fn models_here(&self) -> Result<Models> {
        let models = match &self.args.model_dir {
            Some(folder) => Models::in_folder(folder)?,
            None => Models::from_env()?,
        };
        Ok(models.on(self.args.device, self.args.precision))
    }

    /// The models, with the LLMs and hosts that may receive a key.
    fn models_with(&self, keys: &args::Keys, named: &[String]) -> Result<Models> {
        let hosts = keys.allow_host.iter().map(|host| host.parse()).collect::<Result<_, _>>()?;
        let named = named.iter().map(|llm| llm.parse()).collect::<Result<_, _>>()?;
        Ok(self.models_here()?.allowing(hosts).naming(named))
    }

    /// These models and the store, with or without stored answers.
    fn workspace(&self, models: Models, fresh: bool) -> Result<OpenWorkspace> {
        let path = match &self.args.store {
            Some(path) => path.clone(),
            None => Store::default_path()?,
        };
        let store = Store::open(&path)?;
        let store = if fresh { store.fresh() } else { store };
        let progress: Arc<dyn Progress> = Arc::<Bars>::clone(&self.progress);
        let workspace = Workspace::new(models).storing(store.clone()).showing(progress);
        Ok(OpenWorkspace { workspace, store })
    }

    /// The same for commands that ask no LLM.
    fn workspace_here(&self) -> Result<OpenWorkspace> {
        self.workspace(self.models_here()?, false)
    }

    fn embed(&self, command: &args::Embed) -> Result<()> {
        let corpus = CorpusFile::open(&command.input, None, self.progress.as_ref())?;
        let models = self.models_here()?;
        let embedder = models.embedder(&command.embedder, self.progress.as_ref())?;
        let workspace = self.workspace(models, false)?;
        let embedder = StoredEmbedder::new(embedder, &workspace.store);
        let role = if command.questions { Role::Question } else { Role::Document };
        let similarity = embedder.similarity();
        let scaled = !(command.raw || similarity.wants_unit_vectors());
        if scaled {
            self.progress.note(&format!(
                "the model compares by {similarity}; its vectors are scaled to unit length\nhint: --raw keeps them as they are"
            ));
        }
        let (rows, dim) = (corpus.len(), embedder.dim());
        let step = self.progress.begin("embedding", rows as u64, Unit::Items);
        write_file_by(&command.out, |out| {
            npy::write_header(out, rows, dim)?;
            corpus.each_batch(EMBED_BATCH, |documents| {
                let texts: Vec<String> = documents.iter().map(Document::full_text).collect();
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                let vectors = embedder.embed(&texts, role)?;
                npy::write_rows(out, &if scaled { vectors.normalised()? } else { vectors })?;
                step.advance(texts.len() as u64);
                Ok::<(), anyhow::Error>(())
            })
        })?;
        drop(step);
        let summary = json!({ "rows": rows, "dim": dim, "path": command.out });
        self.print(&summary, || format!("{rows} × {dim} in {}", command.out.display()))
    }

    fn evaluate(&self, command: &args::Evaluate) -> Result<()> {
        let (queries, qrels) = (command.queries.as_deref(), command.qrels.as_deref());
        let collection = TestCollection::load(&command.corpus, queries, qrels, self.progress.as_ref())?;
        let notes = collection.notes();
        for note in &notes {
            self.progress.note(note);
        }
        let models = self.models_here()?;
        let load = |name: &String| models.embedder(name, self.progress.as_ref());
        // Both are resolved before either embeds anything.
        let first = load(&command.embedder)?;
        let other = command.against.as_ref().map(load).transpose()?;
        let workspace = self.workspace(models, false)?;
        let evaluate = |embedder: Arc<dyn Embedder>| {
            let embedder = Arc::new(StoredEmbedder::new(embedder, &workspace.store));
            let backend = IndexKind::from(command.index).backend();
            collection.evaluate(&collection.embed(embedder, backend, &workspace)?)
        };
        let evaluation = evaluate(first)?;
        let mut rows = vec![(command.embedder.as_str(), evaluation.mean)];
        let mut summary = serde_json::to_value(&evaluation)?;
        summary["notes"] = json!(notes);
        let mut compared = None;
        if let (Some(name), Some(other)) = (&command.against, other) {
            let test = PairedRandomisation::new(DRAWS, command.seed);
            let other = evaluate(other)?;
            let comparison = evaluation.against(&other, test)?;
            rows.push((name, other.mean));
            let named = rows.iter().map(|(name, mean)| json!({ "name": name, "metrics": mean }));
            summary["against"] = json!({ "embedders": named.collect::<Vec<_>>(), "difference": comparison.difference,
                "p": comparison.p, "draws": DRAWS, "seed": command.seed });
            compared = Some(comparison);
        }
        self.print(&summary, || table::retrieval(&evaluation, &rows, compared.as_ref()))
    }

    fn score(&self, command: &args::Score) -> Result<()> {
        let axis = load_axis(&command.axis)?;
        let progress = self.progress.as_ref();
        let corpus = CorpusFile::open(&command.input, Some(&axis), progress)?;
        let workspace = self.workspace_here()?;
        let scorer = scorer::by_name(&axis, command.scorer.as_deref(), &workspace)?;
        let step = self.progress.begin("scoring", corpus.len() as u64, Unit::Items);
        let (mut scored, mut labelled) = (Vec::with_capacity(corpus.len()), Vec::new());
        corpus.each_batch(64, |documents| {
            let passages = documents.iter().map(Passage::try_from).collect::<Result<Vec<_>, _>>()?;
            let verdicts = scorer.score(&passages)?;
            let gold = passages.iter().zip(&verdicts).filter_map(|(p, verdict)| Some((p.gold?, *verdict)));
            labelled.extend(gold);
            step.advance(documents.len() as u64);
            scored.extend(documents.into_iter().map(|document| document.id).zip(verdicts));
            Ok::<(), anyhow::Error>(())
        })?;
        drop(step);
        let agreement = Agreement::of(labelled);
        let unscored = scored.iter().filter(|(_, verdict)| verdict.lean().is_none()).count();
        if self.args.json {
            let mut summary = serde_json::to_value(&agreement)?;
            summary["documents"] = json!(scored.len());
            summary["unscored"] = json!(unscored);
            return self.print(&summary, String::new);
        }
        output::print(scored.iter().map(|(id, verdict)| {
            let lean = verdict.lean().map_or_else(|| "unscored".to_owned(), |lean| lean.to_string());
            format!("{}\t{lean}", shown(id))
        }))?;
        if unscored > 0 {
            say(&format!("{unscored} of {} documents unscored", scored.len()));
        }
        if let (Some(accuracy), Some(coverage)) = (agreement.accuracy, agreement.coverage) {
            say(&format!(
                "accuracy {accuracy:.4} of the scored, coverage {coverage:.4}, {} labelled",
                agreement.n
            ));
        }
        Ok(())
    }

    fn measure(&self, command: &args::Measure) -> Result<()> {
        let config = MeasureConfig::default()
            .top_k(command.top_k)
            .index(command.index.into())
            .temperature(command.temperature)
            .rerank(command.rerank)
            .seed(command.seed)
            .discount(command.discount)
            .answers(command.answering.map(Into::into));
        config.check()?;
        let (mut axis, progress) = (load_axis(&command.axis)?, self.progress.as_ref());
        if let Some(path) = &command.prompt {
            axis = axis.asking(read_prompts(path)?);
        }
        let questions = load_questions(&command.questions, progress)?;
        let corpus = load_corpus(&command.corpus, Some(&axis), progress)?;
        // Judgements belong to a data set: they are used if corpus and questions come from the same one.
        let own = (command.questions == command.corpus && ragbias::is_dataset(&command.corpus))
            .then_some(&command.corpus);
        let qrels = command.qrels.as_ref().or(own).map(|named| load_qrels(named, progress)).transpose()?;
        let models = self.models_with(&command.keys, &[])?;
        let llm: Option<LlmName> = command.llm.as_deref().map(str::parse).transpose()?;
        models.check_keys(&llm)?;
        let workspace = self.workspace(models, command.answers.fresh)?;
        let mut embedder = workspace.models().embedder(&command.embedder, progress)?;
        if let Some(erasure) = &command.erase {
            let asked = Asked { questions: &questions, corpus: &corpus };
            embedder = ragbias::erased(embedder, erasure, &axis, asked, &workspace)?;
        }
        if let Some(projection) = &command.project {
            embedder = Models::projected(embedder, projection)?;
        }
        let judge = scorer::judge_by_name(&axis, command.scorer.as_deref(), &workspace)?;
        let calibrations =
            command.calibration.iter().map(|path| Calibration::read(path)).collect::<Result<_, _>>()?;
        let mut system = System::on(axis)
            .embedder(embedder)
            .calibrated_by(calibrations)
            .measured_as(config)
            .workspace(&workspace);
        if let Some(judge) = judge {
            system = system.document_scorer(Arc::clone(&judge)).answer_scorer(judge);
        } else if let Some(scorer) = &command.scorer {
            system = system.document_scorer(scorer.as_str());
        }
        if let Some(llm) = llm.as_ref().filter(|_| !command.retrieve_only) {
            let generate = command.asking.generate(GenerateConfig::default())?;
            let server = command.asking.server(ServerConfig::default())?;
            system = system.llm(workspace.models().generator(llm, &generate, &server, progress)?);
        }
        let system = system.build()?;
        let labels = Labels {
            embedder: &command.embedder,
            llm: llm.as_ref().map(LlmName::as_str),
            corpus: &command.corpus,
            split: Split::All.name(),
        };
        let measured = system.measure(&corpus, &questions, qrels.as_ref(), labels);
        // If the measurement failed, the notes may say why.
        for note in system.llm().map(Generator::notes).unwrap_or_default() {
            self.progress.note(&note);
        }
        let measured = measured?;
        let mut summary = serde_json::to_value(&measured)?;
        summary["verdict"] = json!(measured.verdict(Equivalence::DELTA));
        summary["delta"] = json!(Equivalence::DELTA);
        summary["warnings"] = json!(measured.warnings());
        if let Some(folder) = &command.out {
            let staging = Staging::within(folder)?;
            let place = |name: &str| staging.path().join(name);
            write_outcomes(&place("outcomes.csv"), &measured.outcomes, None)?;
            write_file(&place(MEASUREMENT), serde_json::to_string_pretty(&summary)?)?;
            staging.move_into(folder, MEASUREMENT)?;
        }
        self.print(&summary, || {
            let axis = system.axis();
            let biases = table::biases(
                &axis.name,
                &axis.negative.name,
                &axis.positive.name,
                &measured,
                Equivalence::DELTA,
            );
            let selections =
                corrections::selections(&axis.negative.name, &axis.positive.name, &measured.selections);
            [biases, selections, corrections::table(&measured.corrections)].concat()
        })?;
        complete(measured.nothing_scored.iter().map(|none| (String::new(), *none)))
    }

    fn mine(&self, command: &args::Mine) -> Result<()> {
        let recipe = Recipe::read(&command.recipe)?;
        let workspace = self.workspace_here()?;
        let mined = Family::new(&recipe, &workspace)?.mine(&command.out)?;
        let sum = |of: fn(&Mined) -> usize| mined.iter().map(of).sum::<usize>();
        let (positive, neutral, negative) =
            (sum(|m| m.positive.len()), sum(|m| m.neutral.len()), sum(|m| m.negative.len()));
        let one_sided = mined.iter().filter(|m| m.positive.is_empty() || m.negative.is_empty()).count();
        let summary = json!({ "questions": mined.len(), "positive": positive, "neutral": neutral,
            "negative": negative, "one_sided": one_sided, "path": command.out });
        self.print(&summary, || {
            format!(
                "{} questions: {positive} positive, {neutral} neutral, {negative} negative documents; {one_sided} \
                 questions without documents of both poles\n{}",
                mined.len(),
                command.out.display()
            )
        })
    }

    fn tune(&self, command: &args::Tune) -> Result<()> {
        let shard = command.shard.parse()?;
        let recipe = Recipe::read(&command.recipe)?;
        let workspace = self.workspace_here()?;
        let members = Family::new(&recipe, &workspace)?.tune(&command.out, shard)?;
        let table = command.out.join("family.parquet");
        self.print(&json!({ "family": recipe.name, "table": table, "members": members }), || {
            format!("{}\n{}", table::family(&members), table.display())
        })
    }

    fn merge(&self, command: &args::Merge) -> Result<()> {
        let workspace = self.workspace_here()?;
        let step = self.progress.begin("merging stores", command.stores.len() as u64, Unit::Items);
        let mut merged = Vec::with_capacity(command.stores.len());
        for path in &command.stores {
            merged.push((path, workspace.store.merge(path)?));
            step.advance(1);
        }
        let sum = |of: fn(&Merged) -> usize| merged.iter().map(|(_, merged)| of(merged)).sum::<usize>();
        let (new, known, different) = (sum(|of| of.new), sum(|of| of.known), sum(|of| of.different));
        let stores: Vec<_> = (merged.iter())
            .map(|(path, of)| json!({ "store": path, "new": of.new, "known": of.known, "different": of.different }))
            .collect();
        let summary = json!({ "new": new, "known": known, "different": different, "stores": stores });
        self.print(&summary, || {
            let stores = merged.len();
            let differ = if different == 0 {
                String::new()
            } else {
                format!(", {different} of them with another value")
            };
            format!("{new} values from {stores} stores; {known} were known{differ}")
        })
    }

    fn fit(&self, command: &args::Fit) -> Result<()> {
        let config = FitConfig::default().draws(command.draws).seed(command.seed).delta(command.delta);
        let fits = ragbias::fit_files(&command.measurements, command.outcomes.as_deref(), &config)?;
        for note in fits.notes() {
            self.progress.note(&note);
        }
        self.print(&fits, || table::fits(&fits).join("\n\n"))
    }

    fn choose(&self, command: &args::Choose) -> Result<ExitCode> {
        let mut config = ChooseConfig::default()
            .delta(command.delta)
            .word(command.word.clone())
            .erased(command.erase.into())
            .steps(command.steps);
        if !command.control.is_empty() {
            config.controls = command.control.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
        }
        let models = self.models_with(&command.keys, &command.named.llms)?;
        let workspace = self.workspace(models, command.answers.fresh)?;
        let choices = ragbias::choose(&command.run, &config, &workspace)?;
        let warnings: Vec<String> = choices.iter().flat_map(ControlChoice::warnings).collect();
        self.print(&json!({ "choices": choices, "warnings": warnings }), || {
            choices.iter().map(table::choice).collect::<Vec<_>>().join("\n\n")
        })?;
        let decided = choices.iter().any(|choice| choice.chosen.is_some());
        Ok(if decided { ExitCode::SUCCESS } else { ExitCode::from(UNDECIDED) })
    }

    fn plan(&self, command: &args::Plan) -> Result<()> {
        let config = PlanConfig::default()
            .delta(command.delta)
            .power(command.power)
            .at(command.at)
            .bias(command.bias)
            .answers(command.answers)
            .repeated(command.repeated);
        let plans = match (&command.run, command.rates.as_slice()) {
            (Some(pilot), _) => ragbias::plan_from_pilot(pilot, command.embedder.as_deref(), &config)?,
            (None, &[positive, negative]) => {
                if ![positive, negative].iter().all(|rate| (0.0..=1.0).contains(rate)) {
                    bail!("rates is {positive},{negative}, expected two shares, each 0 to 1");
                }
                let assumed = Answering::default();
                vec![ragbias::plan(
                    Answering {
                        leaning: positive + negative,
                        scored_share: command.scored.unwrap_or(assumed.scored_share),
                        intraclass: command.intraclass.unwrap_or(assumed.intraclass),
                        per_topic: command.per_topic.unwrap_or(assumed.per_topic),
                        ..assumed
                    },
                    &config,
                )?]
            }
            (None, rates) => bail!("rates has {} numbers, expected POSITIVE,NEGATIVE", rates.len()),
        };
        self.print(&json!({ "plans": plans }), || {
            plans.iter().map(table::plan).collect::<Vec<_>>().join("\n\n")
        })
    }

    fn run(&self, command: &args::Run) -> Result<()> {
        let mut experiment = Experiment::read(&command.experiment)?;
        if let Some(path) = &command.prompt {
            read_prompts(path)?;
            experiment.prompt = Some(path.clone());
        }
        experiment.generate = command.asking.generate(experiment.generate)?;
        experiment.server = command.asking.server(experiment.server)?;
        let models = self.models_with(&command.keys, &command.named.llms)?;
        let workspace = self.workspace(models, command.answers.fresh)?;
        let run = experiment.run(&command.runs, &workspace)?;
        let (folder, results, fits) = (&run.folder, &run.results, &run.fits);
        let work = workspace.store.work();
        let report = folder.join("report.html");
        let warnings: Vec<String> = results.iter().flat_map(PartResult::warnings).collect();
        let (tests, delta) = (ragbias::system_tests(results), experiment.delta());
        let summary = json!({ "run": folder, "report": report, "work": work, "results": results,
            "fits": fits, "delta": delta, "tests": tests, "warnings": warnings });
        self.print(&summary, || {
            let text = |result: &PartResult| {
                let llm = result.llm.as_deref().unwrap_or("no LLM");
                let (negative, positive) = (&result.negative, &result.positive);
                let table = table::biases(&result.axis, negative, positive, &result.measured, delta);
                let corrected = corrections::table(&result.measured.corrections);
                format!("{} with {llm}\n{table}{corrected}", result.embedder)
            };
            let (members, others): (Vec<_>, Vec<_>) =
                results.iter().partition(|result| result.family != BASE_FAMILY);
            let mut texts: Vec<_> = others.into_iter().map(text).collect();
            for members in members.chunk_by(|a, b| a.family == b.family) {
                let (family, axis, split) = (&members[0].family, &members[0].axis, &members[0].split);
                texts.push(format!("family {family}: {axis}, split {split}\n{}", table::members(members)));
            }
            texts.extend(table::tests(&tests));
            texts.extend(table::fits(fits));
            texts.push(format!(
                "{} answers computed, {} taken from the store\nreport: {}",
                work.answers.computed,
                work.answers.remembered,
                report.display()
            ));
            texts.join("\n\n")
        })?;
        complete(results.iter().flat_map(|result| {
            let llm = result.llm.as_deref().unwrap_or_default();
            let place = format!("{}, {} with {llm}: ", result.axis, result.embedder);
            result.measured.nothing_scored.iter().map(move |none| (place.clone(), *none))
        }))
    }
}

/// Fails if a bias could not be computed, naming its system; everything else has been printed and written by then.
fn complete(missing: impl Iterator<Item = (String, NothingScored)>) -> Result<()> {
    let (mut lines, mut hints) = (Vec::new(), Vec::new());
    for (place, none) in missing {
        lines.push(format!("{place}{none}"));
        let hint = format!("hint: {}", none.hint());
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    lines.append(&mut hints);
    if lines.is_empty() { Ok(()) } else { bail!(lines.join("\n")) }
}
