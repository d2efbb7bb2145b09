//! From a run to the setting that makes its RAG system fair: predicted by the line, found on validation topics, confirmed
//! on test topics.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ragbias_core::limits::STEPS;
use ragbias_core::{Axis, Bias, ContentId, Embedder, Generator, Progress, slug, slug_of};
use ragbias_data::{Member, Split, load_axis, read_measurements, read_outcomes, write_file};
use ragbias_stats::{Equivalence, PairedRandomisation, TargetStatus};
use serde::Serialize;
use serde_json::json;

use crate::control::{Control, ControlKind, Knob, direction_of_poles};
use crate::evaluate::{Evaluation, TestCollection};
use crate::experiment::Part;
use crate::family::{Family, Shard};
use crate::fit::{FitConfig, LlmFit, fit};
use crate::input::Inputs;
use crate::measure::{IndexKind, Labels, Measure, MeasureConfig};
use crate::measured::{AnswerBias, Measured};
use crate::memo::{StoredEmbedder, StoredGenerator, StoredScorer};
use crate::ranking::StochasticRanking;
use crate::recipe::Recipe;
use crate::report::write_report;
use crate::run::{CHOICES, CONTROLS, Manifest, RunFolder, sealed};
use crate::scorer::Scorers;
use crate::{Error, Models, Result, Store};

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
pub fn choose(
    folder: &Path,
    config: &ChooseConfig,
    models: &Models,
    store: &Store,
    progress: &dyn Progress,
) -> Result<Vec<Choice>> {
    STEPS.check("steps", config.steps)?;
    Equivalence::judge(0.0..=0.0, config.delta)?;
    let run = RunFolder::open(folder)?;
    let manifest = Manifest::read(folder)?;
    let experiment = &manifest.experiment;
    models.check_keys(experiment.llms())?;
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
        let recipe = Recipe::read(recipe)?;
        let mut bench = Bench::new(&manifest, part, &recipe, models, store, progress)?;
        manifest.check_inputs(folder, &bench.validation.ids(&part.data, part.split))?;
        let mut family = Family::new(&recipe, models, store, progress)?;
        let members = family.tune(&bench.family_folder(folder), Shard::WHOLE, progress)?;
        for llm in &part.llms {
            let line = fits.fits.iter().find(|fit| {
                fit.of.llm == llm.as_str()
                    && fit.of.axis == bench.axis.name
                    && fit.of.corpus.as_ref() == Some(&part.data)
                    && fit.of.split.as_deref() == Some(Split::Validation.name())
            });
            let line = line.ok_or_else(|| Error::Run {
                path: folder.into(),
                reason: format!("no line of {} with {llm} on validation topics", part.axis),
            })?;
            bench.generator =
                Some(models.generator(llm, &experiment.generate, &experiment.server, progress)?);
            let choice = bench.choose(folder, staging.path(), config, line, &mut family, &members);
            // Where it failed too: a note may be the reason.
            if let Some(generator) = &bench.generator {
                for note in StoredGenerator::new(generator.as_ref(), store).notes() {
                    progress.note(&note);
                }
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
    write_report(folder, staging.path(), staging.path(), progress)?;
    // Where no control was turned, there are none now either.
    fs_err::create_dir_all(staging.path().join(CONTROLS))?;
    run.publish_of(&manifest, staging)?;
    Ok(choices)
}

/// An axis on a data set, by the name of both unless it is the same.
pub(crate) fn subject(axis: &str, data: &str) -> String {
    if axis == data { axis.into() } else { format!("{axis} on {data}") }
}

/// What all controls of a part are measured with.
struct Bench<'a> {
    part: &'a Part,
    recipe: &'a Recipe,
    axis: Axis,
    validation: Inputs,
    test: Inputs,
    scorers: Scorers,
    base: Arc<dyn Embedder>,
    utility: Option<TestCollection>,
    /// The LLM of the moment.
    generator: Option<Arc<dyn Generator>>,
    config: MeasureConfig,
    /// The run that is chosen for.
    run: Option<ContentId>,
    store: &'a Store,
    progress: &'a dyn Progress,
}

impl<'a> Bench<'a> {
    fn new(
        manifest: &Manifest,
        part: &'a Part,
        recipe: &'a Recipe,
        models: &Models,
        store: &'a Store,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let (axis, validation) = (load_axis(&part.axis)?, part.inputs(progress)?);
        let scorers = Scorers::new(&axis, &validation.corpus, part.scorer.as_deref(), models, progress)?;
        Ok(Self {
            test: Inputs::of_dataset(&part.data, Split::Test, &axis, progress)?,
            base: models.embedder(&recipe.base, progress)?,
            utility: recipe
                .utility
                .as_deref()
                .map(|data| TestCollection::load(data, None, None, progress))
                .transpose()?,
            generator: None,
            config: manifest.experiment.measure,
            run: manifest.run,
            part,
            recipe,
            axis,
            validation,
            scorers,
            store,
            progress,
        })
    }

    fn family_folder(&self, run: &Path) -> PathBuf {
        run.join("embedders").join(slug(&self.recipe.name))
    }

    /// Chooses for one LLM; what a retrieval service loads is written into a folder.
    fn choose(
        &self,
        run: &Path,
        into: &Path,
        config: &ChooseConfig,
        line: &LlmFit,
        family: &mut Family<'_>,
        members: &[Member],
    ) -> Result<Choice> {
        let llm = &line.of.llm;
        let stored: Arc<dyn Embedder + '_> = Arc::new(StoredEmbedder::new(self.base.as_ref(), self.store));
        let base = Knob { embedder: Arc::clone(&stored), ranking: StochasticRanking::NONE };
        let before = self.biases(&base, &self.validation)?;
        let base_evaluation = self.evaluate(&base)?;
        let mut choice = Choice {
            run: self.run,
            axis: self.axis.name.clone(),
            data: self.part.data.clone(),
            llm: llm.clone(),
            delta: config.delta,
            status: line.conflict.target.status,
            base: self.confirm(
                &base,
                before,
                base_evaluation.as_ref(),
                self.recipe.base.clone(),
                config.delta,
            )?,
            controls: Vec::new(),
            chosen: None,
            reason: None,
        };
        // An answer more or less is no difference.
        let resolution = 1.0 / before.rag_bias.n() as f64;
        if before.rag_bias.value().abs() <= resolution {
            choice.reason = Some(format!(
                "R_b is within one answer of 0 on validation topics as it is ({:+.2} of {} answers)",
                before.rag_bias.value(),
                before.rag_bias.n()
            ));
            return Ok(choice);
        }
        if choice.status == TargetStatus::Unbounded {
            let s = line.conflict.sensitivity;
            choice.reason = Some(format!(
                "the interval of the sensitivity holds 0 ({:+.2}, {:+.2} to {:+.2}): no E_b is known to move R_b",
                s.value, s.low, s.high
            ));
            return Ok(choice);
        }
        let target = line.conflict.target.value;
        for &kind in &config.controls {
            self.progress.note(&format!("{} with {llm}: {}", self.axis.name, kind.name()));
            let control = match kind {
                ControlKind::Merge => {
                    // Without a target: away from the pole that the answers lean to.
                    let wanted = target.unwrap_or(-before.rag_bias.value().signum());
                    let upwards = wanted > before.embedder_bias.value();
                    let pole = if upwards { &self.axis.positive } else { &self.axis.negative };
                    let Some(member) = member_towards(members, &pole.name, wanted) else { continue };
                    Control::Merge(family.dial(&self.family_folder(run), member, self.progress)?)
                }
                ControlKind::Projection => self.projection(&stored, config, family)?,
                ControlKind::Ranking => {
                    Control::Ranking { base: Arc::clone(&stored), seed: self.config.seed }
                }
            };
            let predicted = target.map(|target| self.predict(&control, target)).transpose()?.flatten();
            let (setting, reached, trail) =
                self.close(&control, before, predicted, resolution, config.steps)?;
            let subject = subject(&self.axis.name, &self.part.data);
            let path = PathBuf::from(CONTROLS).join(slug_of(&[&subject, llm, kind.name()]));
            let knob = control.at(setting)?;
            let evaluation = self.evaluate(&knob)?;
            let name = format!("{} {} {setting:.4}", self.recipe.base, kind.name());
            let after = self.biases(&knob, &self.validation)?;
            let confirmed = self.confirm(&knob, after, evaluation.as_ref(), name, config.delta)?;
            let ndcg10_p = match (&evaluation, &base_evaluation) {
                (Some(new), Some(old)) => Some(new.against(old, PairedRandomisation::default())?.p.ndcg10),
                _ => None,
            };
            let turned =
                Turned { control: kind, setting, predicted, trail, reached, confirmed, ndcg10_p, path };
            self.save(&into.join(&turned.path), &control, llm, &turned)?;
            choice.controls.push(turned);
        }
        choice.chosen = best(&choice.controls, resolution);
        if choice.chosen.is_none() {
            choice.reason = Some("no control brings R_b to 0 on validation topics".into());
        }
        Ok(choice)
    }

    fn projection<'s>(
        &self,
        base: &Arc<dyn Embedder + 's>,
        config: &ChooseConfig,
        family: &Family<'_>,
    ) -> Result<Control<'s>> {
        let (direction, along) = if let Some(word) = &config.word {
            let vector = base.embed(&[word], ragbias_core::Role::Document)?.row(0).to_vec();
            (vector, format!("the word {word}"))
        } else {
            let verdicts = family.verdicts()?;
            let topics = family.trained_topics();
            let direction = direction_of_poles(
                base.as_ref(),
                &self.validation.corpus,
                &verdicts,
                &topics,
                self.progress,
            )?;
            (direction, format!("from {} to {}", self.axis.negative.name, self.axis.positive.name))
        };
        Ok(Control::Projection { base: Arc::clone(base), direction, along })
    }

    /// The setting at which E_b is nearest to the target on validation topics; retrieval alone, no LLM.
    fn predict(&self, control: &Control<'_>, target: f64) -> Result<Option<Predicted>> {
        let distance = |setting: f64| -> Result<f64> {
            let measured = self.measure(&control.at(setting)?, &self.validation, false)?;
            Ok(measured.expected_embedder_bias.unwrap_or(measured.embedder_bias.value()) - target)
        };
        let neutral = control.kind().neutral();
        let at_neutral = distance(neutral)?;
        for &end in control.kind().ends() {
            let (mut low, mut high) = (neutral, end);
            if at_neutral * distance(end)? > 0.0 {
                continue;
            }
            for _ in 0..8 {
                let middle = f64::midpoint(low, high);
                if at_neutral * distance(middle)? > 0.0 {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            return Ok(Some(Predicted { target, setting: f64::midpoint(low, high) }));
        }
        Ok(None)
    }

    /// Turns a control until R_b on validation topics is within `resolution` of 0; gives the nearest setting.
    fn close(
        &self,
        control: &Control<'_>,
        before: Biases,
        predicted: Option<Predicted>,
        resolution: f64,
        steps: usize,
    ) -> Result<(f64, Reached, Vec<TrailStep>)> {
        let neutral = control.kind().neutral();
        let start = before.rag_bias.value();
        let mut trail = vec![TrailStep {
            setting: neutral,
            embedder_bias: before.embedder_bias.value(),
            rag_bias: start,
        }];
        let at = |setting: f64, trail: &mut Vec<TrailStep>| -> Result<f64> {
            let biases = self.biases(&control.at(setting)?, &self.validation)?;
            let (embedder_bias, rag_bias) = (biases.embedder_bias.value(), biases.rag_bias.value());
            trail.push(TrailStep { setting, embedder_bias, rag_bias });
            Ok(rag_bias)
        };
        let mut first = predicted.map(|predicted| predicted.setting);
        let mut bracket = None;
        if start.abs() > resolution {
            for &end in control.kind().ends() {
                // A prediction within reach on this side may save the way to the end.
                let tried = first.filter(|setting| (setting - neutral) * (end - neutral) > 0.0);
                for setting in tried.into_iter().chain([end]) {
                    if at(setting, &mut trail)? * start <= 0.0 {
                        bracket = Some((neutral, setting));
                        first = None;
                        break;
                    }
                }
                if bracket.is_some() {
                    break;
                }
            }
        }
        let near = |trail: &[TrailStep]| trail.iter().any(|step| step.rag_bias.abs() <= resolution);
        if let Some((mut same, mut other)) = bracket {
            // The last setting of the same sign is nearer than the base.
            let side = trail.iter().filter(|step| {
                step.rag_bias * start > 0.0 && (step.setting - neutral) * (other - neutral) > 0.0
            });
            same = side
                .map(|step| step.setting)
                .fold(same, |a, b| if (b - neutral).abs() > (a - neutral).abs() { b } else { a });
            while trail.len() <= steps && !near(&trail) {
                let middle = f64::midpoint(same, other);
                if at(middle, &mut trail)? * start > 0.0 {
                    same = middle;
                } else {
                    other = middle;
                }
            }
        }
        let reached = if bracket.is_some() || near(&trail) { Reached::Zero } else { Reached::Nearest };
        let nearest = trail.iter().min_by(|a, b| a.rag_bias.abs().total_cmp(&b.rag_bias.abs()));
        Ok((nearest.map_or(neutral, |step| step.setting), reached, trail))
    }

    /// E_b and R_b of a control's setting.
    fn biases(&self, knob: &Knob<'_>, on: &Inputs) -> Result<Biases> {
        let measured = self.measure(knob, on, true)?;
        if let Some(none) = measured.nothing_scored.iter().find(|none| none.bias == AnswerBias::RagBias) {
            return Err(Error::NothingScored(*none));
        }
        let rag_bias = measured.rag_bias.ok_or(Error::Setting {
            setting: "llms",
            expected: "an LLM that answers",
            received: "none".into(),
        })?;
        Ok(Biases { embedder_bias: measured.embedder_bias, rag_bias })
    }

    fn measure(&self, knob: &Knob<'_>, on: &Inputs, ask: bool) -> Result<Measured> {
        let generator = self.generator.as_deref().filter(|_| ask);
        let generator = generator.map(|generator| StoredGenerator::new(generator, self.store));
        Measure {
            axis: &self.axis,
            questions: &on.questions,
            corpus: &on.corpus,
            embedder: knob.embedder.as_ref(),
            generator: generator.as_ref().map(|generator| generator as _),
            document_scorer: &StoredScorer::new(self.scorers.documents.as_ref(), self.store),
            answer_scorer: &StoredScorer::new(self.scorers.answers.as_ref(), self.store),
            qrels: None,
            config: MeasureConfig { temperature: knob.ranking.temperature, ..self.config },
            labels: Labels { corpus: &self.part.data, ..Labels::default() },
        }
        .run(self.progress)
    }

    fn evaluate(&self, knob: &Knob<'_>) -> Result<Option<Evaluation>> {
        let evaluate = |set: &TestCollection| {
            set.evaluate_ranked(knob.embedder.as_ref(), IndexKind::Exact, knob.ranking, self.progress)
        };
        self.utility.as_ref().map(evaluate).transpose()
    }

    fn confirm(
        &self,
        knob: &Knob<'_>,
        validation: Biases,
        evaluation: Option<&Evaluation>,
        embedder: String,
        delta: f64,
    ) -> Result<Confirmed> {
        let test = self.biases(knob, &self.test)?;
        Ok(Confirmed {
            embedder,
            validation,
            test,
            verdict: Equivalence::judge(test.rag_bias.low()..=test.rag_bias.high(), delta)?,
            ndcg10: evaluation.map(|evaluation| evaluation.mean.ndcg10),
        })
    }

    /// Writes what a retrieval service loads.
    fn save(&self, folder: &Path, control: &Control<'_>, llm: &str, turned: &Turned) -> Result<()> {
        let how = control.save(turned.setting, &self.recipe.base, folder)?;
        let ids: [(&str, ContentId); 2] =
            [("base", self.base.id()), ("corpus", self.validation.corpus.content_id())];
        let json = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "run": self.run,
            "axis": self.axis.name,
            "llm": llm,
            "control": turned.control,
            "setting": turned.setting,
            "how": how,
            "test": turned.confirmed.test,
            "verdict": turned.confirmed.verdict,
            "ids": ids.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        });
        let json = serde_json::to_string_pretty(&sealed(json)).map_err(std::io::Error::from)?;
        Ok(write_file(&folder.join("control.json"), json)?)
    }
}

/// The member whose training towards a pole leads to an E_b: of those nearest to it the one of the highest utility.
fn member_towards<'m>(members: &'m [Member], pole: &str, wanted: f64) -> Option<&'m Member> {
    let tuned = || members.iter().filter(|member| member.towards == pole && member.merge > 0.0);
    let distance = |member: &Member| (member.embedder_bias - wanted).abs();
    let least = tuned().map(distance).min_by(f64::total_cmp)?;
    let near = tuned().filter(|member| distance(member) <= least + 0.1);
    near.max_by(|a, b| a.ndcg10.unwrap_or(0.0).total_cmp(&b.ndcg10.unwrap_or(0.0)))
}

/// Of the controls that reach 0 on validation topics, within `resolution` of the nearest, that of the highest utility.
fn best(controls: &[Turned], resolution: f64) -> Option<ControlKind> {
    let reaching = || controls.iter().filter(|turned| turned.reached == Reached::Zero);
    let distance = |turned: &Turned| turned.confirmed.validation.rag_bias.value().abs();
    let least = reaching().map(distance).min_by(f64::total_cmp)?;
    let near = reaching().filter(|turned| distance(turned) <= least + resolution);
    let utility = |turned: &Turned| turned.confirmed.ndcg10.unwrap_or(0.0);
    near.max_by(|a, b| utility(a).total_cmp(&utility(b))).map(|turned| turned.control)
}
