//! The shared context in which all controls of a part of a run are measured.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use ragbias_core::{Axis, ContentId, Embedder, Generator, Role, message, slug, slug_of};
use ragbias_data::{Member, Split, write_file};
use ragbias_index::Exact;
use ragbias_stats::{ClusterBootstrap, Equivalence, PairedRandomisation, TargetStatus};
use serde_json::json;

use super::choice::{
    Biases, Confirmed, ControlChoice, ControlResult, FoldChoice, LeftOutControl, Predicted, Reached, subject,
};
use super::config::ChooseConfig;
use super::folds::{Folds, cross_fit};
use super::outcomes::{Outcomes, topics_of};
use super::search::{Search, crossing};
use crate::control::{
    Control, ControlKind, Draw, Erasure, FittedEraser, KnownLeans, Merge, Projection, Reranking,
    direction_of_poles,
};
use crate::evaluate::{Evaluation, TestCollection};
use crate::experiment::Part;
use crate::family::{Family, Shard};
use crate::fit::LlmFit;
use crate::input::Inputs;
use crate::measure::{MeasureConfig, bootstrap};
use crate::recipe::Recipe;
use crate::run::{CONTROLS, Manifest, sealed};
use crate::system::{Embedded, Indexed, Judged, System};
use crate::{Error, Result, Workspace};

/// A part of a run whose family has controls.
pub(super) struct Bench<'a> {
    part: &'a Part,
    recipe: Recipe,
    axis: Arc<Axis>,
    /// The corpus, and the questions for the choice.
    validation: Inputs,
    confirmation: Confirmation,
    judged: Judged,
    /// The base, indexed for the corpus and for the test collection of its utility.
    base: Base,
    family: Family,
    family_folder: PathBuf,
    members: Vec<Member>,
    config: MeasureConfig,
    /// The threshold of verdicts.
    delta: f64,
    /// The run to choose for.
    run: Option<ContentId>,
    workspace: Workspace,
}

/// What a setting is judged on.
enum Confirmation {
    /// These questions.
    Test(Inputs),
    /// The questions for the choice, fold by fold.
    Folds(Folds),
}

/// The base embedder, and its retrieval.
struct Base {
    embedder: Arc<dyn Embedder>,
    embedded: Embedded,
    utility: Option<(TestCollection, Embedded)>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        folder: &Path,
        manifest: &Manifest,
        part: &'a Part,
        recipe: &Path,
        delta: f64,
        workspace: &Workspace,
    ) -> Result<Self> {
        let (models, progress) = (workspace.models(), workspace.progress());
        let (axis, recipe) = (manifest.axis(part)?, manifest.recipe(recipe)?);
        let validation = part.inputs(progress)?;
        manifest.check_inputs(folder, &validation.ids(&part.corpus_name(), part.split))?;
        // Rankings are controls here, even if the run was measured with one.
        let config = MeasureConfig { temperature: 0.0, rerank: None, ..manifest.experiment.measure };
        let embedder = models.embedder(&recipe.base, progress)?;
        let system = Self::system(&axis, part, config, workspace).embedder(Arc::clone(&embedder)).build()?;
        let indexed = system.index(&validation.corpus)?;
        let utility = (recipe.utility.as_deref())
            .map(|data| -> Result<_> {
                let set = TestCollection::load(data, None, None, progress)?;
                let embedder = Arc::clone(indexed.embedded().embedder());
                let embedded = set.embed(embedder, Arc::new(Exact), workspace)?;
                Ok((set, embedded))
            })
            .transpose()?;
        let mut family = Family::new(&recipe, workspace)?;
        let family_folder = folder.join("embedders").join(slug(&recipe.name));
        Ok(Self {
            members: family.tune(&family_folder, Shard::WHOLE)?,
            family,
            family_folder,
            confirmation: match part.folds() {
                Some(count) => {
                    Confirmation::Folds(Folds::new(&topics_of(&validation.questions), count, config.seed)?)
                }
                None => Confirmation::Test(part.inputs_of(Split::Test, progress)?),
            },
            judged: indexed.judged().clone(),
            base: Base { embedder, embedded: indexed.embedded().clone(), utility },
            axis: Arc::new(axis),
            part,
            recipe,
            validation,
            config,
            delta,
            run: manifest.run,
            workspace: workspace.clone(),
        })
    }

    fn system(
        axis: &Axis,
        part: &Part,
        config: MeasureConfig,
        workspace: &Workspace,
    ) -> crate::SystemBuilder {
        let system = System::on(axis.clone()).measured_as(config).workspace(workspace);
        match &part.scorer {
            Some(scorer) => system.document_scorer(scorer.as_str()),
            None => system,
        }
    }

    pub(super) fn axis(&self) -> &Axis {
        &self.axis
    }

    /// Chooses for one LLM, and writes what a retrieval service loads into a folder.
    pub(super) fn choose(
        &mut self,
        generator: Arc<dyn Generator>,
        line: &LlmFit,
        config: &ChooseConfig,
        into: &Path,
    ) -> Result<ControlChoice> {
        let llm = &line.of.llm;
        let system = Self::system(&self.axis, self.part, self.config, &self.workspace)
            .embedder(Arc::clone(&self.base.embedder))
            .llm(generator)
            .build()?;
        let with_llm = WithLlm { indexed: system.searching(&self.judged, &self.base.embedded), bench: self };
        let outcomes = Rc::new(with_llm.outcomes(&self.base.embedded, &self.validation)?);
        let before = outcomes.biases(self.bootstrap())?;
        let base_evaluation = self.base.evaluate(None)?;
        let name = self.recipe.base.clone();
        let base_on_test = match &self.confirmation {
            Confirmation::Test(test) => {
                with_llm.outcomes(&self.base.embedded, test)?.biases(self.bootstrap())?
            }
            Confirmation::Folds(_) => before,
        };
        let mut choice = ControlChoice {
            run: self.run,
            axis: self.axis.name.clone(),
            data: self.part.corpus_name(),
            llm: llm.clone(),
            delta: self.delta,
            status: line.conflict.target.status,
            folds: self.part.folds(),
            base: Confirmed {
                embedder: name,
                validation: before,
                test: base_on_test,
                verdict: Equivalence::of(&base_on_test.rag_bias, self.delta)?,
                ndcg10: base_evaluation.as_ref().map(|evaluation| evaluation.mean.ndcg10),
            },
            controls: Vec::new(),
            left_out: Vec::new(),
            chosen: None,
            reason: None,
        };
        // The resolution is one answer.
        let resolution = 1.0 / before.rag_bias.n() as f64;
        choice.reason = nothing_to_turn(line, &before, resolution, self.questions());
        if choice.reason.is_some() {
            return Ok(choice);
        }
        drop(with_llm);
        let target = line.conflict.target.value;
        for &kind in &config.controls {
            self.workspace.progress().note(&format!("{} with {llm}: {}", self.axis.name, kind.name()));
            let control = match self.control(kind, config, target, &before) {
                Ok(control) => control,
                Err(error @ Error::ControlNotMade { .. }) => {
                    choice.left_out.push(LeftOutControl { control: kind, reason: message(&error) });
                    continue;
                }
                Err(error) => return Err(error),
            };
            let with_llm =
                WithLlm { indexed: system.searching(&self.judged, &self.base.embedded), bench: self };
            let turned = with_llm.turn(
                control.as_ref(),
                &outcomes,
                target,
                resolution,
                config,
                base_evaluation.as_ref(),
            )?;
            let subject = subject(&self.axis.name, &self.part.corpus_name());
            let path = PathBuf::from(CONTROLS).join(slug_of(&[&subject, llm, kind.name()]));
            let turned = ControlResult { path, ..turned };
            self.save(&into.join(&turned.path), control.as_ref(), llm, &turned)?;
            choice.controls.push(turned);
        }
        choice.chosen = best(&choice.controls, resolution);
        if choice.chosen.is_none() {
            choice.reason = Some(format!("no control brings R_b to 0 on {}", self.questions()));
        }
        Ok(choice)
    }

    /// What the questions for the choice are called.
    fn questions(&self) -> &'static str {
        match self.confirmation {
            Confirmation::Test(_) => "validation topics",
            Confirmation::Folds(_) => "held-out topics",
        }
    }

    fn bootstrap(&self) -> ClusterBootstrap {
        bootstrap(self.config.seed)
    }

    /// A control of a kind, applied to the base.
    fn control(
        &mut self,
        kind: ControlKind,
        config: &ChooseConfig,
        target: Option<f64>,
        before: &Biases,
    ) -> Result<Box<dyn Control>> {
        let base = self.recipe.base.clone();
        Ok(match kind {
            ControlKind::Merge => {
                // Without a target: against the pole that the answers lean to.
                let wanted = target.unwrap_or(-before.rag_bias.value().signum());
                let upwards = wanted > before.embedder_bias.value();
                let pole = if upwards { &self.axis.positive } else { &self.axis.negative };
                let member = member_towards(&self.members, &pole.name, wanted);
                let member = member.ok_or_else(|| Error::ControlNotMade {
                    control: kind,
                    reason: format!("the family has no member towards {}", pole.name),
                })?;
                Box::new(Merge(self.family.interpolation(&self.family_folder, member)?))
            }
            ControlKind::Projection => {
                let embedder = self.base.embedded.embedder();
                let (direction, along) = if let Some(word) = &config.word {
                    let vector = embedder.embed(&[word], Role::Document)?.row(0).to_vec();
                    (vector, format!("the word {word}"))
                } else {
                    let topics = self.family.trained_topics();
                    let progress = self.workspace.progress();
                    let direction =
                        direction_of_poles(embedder.as_ref(), self.family.judged(), &topics, progress)?;
                    (direction, self.poles())
                };
                Box::new(Projection { base, direction, along })
            }
            ControlKind::Ranking => Box::new(Draw { base, seed: self.config.seed }),
            ControlKind::Erasure => {
                let (embedder, judged) = (self.base.embedded.embedder(), self.family.judged());
                let topics = self.family.trained_topics();
                let progress = self.workspace.progress();
                let fitted = FittedEraser::of_poles(embedder.as_ref(), judged, &topics, progress)?;
                Box::new(Erasure { base, fitted, sides: config.erased, of: self.poles() })
            }
            ControlKind::Reranking => {
                let leans = KnownLeans::of(&self.judged);
                Box::new(Reranking { base, seed: self.config.seed, leans })
            }
        })
    }

    /// Description of the change from one pole to the other.
    fn poles(&self) -> String {
        format!("from {} to {}", self.axis.negative.name, self.axis.positive.name)
    }

    /// Writes the files for a retrieval service.
    fn save(&self, folder: &Path, control: &dyn Control, llm: &str, turned: &ControlResult) -> Result<()> {
        let how = control.save(turned.setting, folder)?;
        let ids: [(&str, ContentId); 2] =
            [("base", self.base.embedder.id()), ("corpus", self.validation.corpus.content_id())];
        let json = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "run": self.run,
            "axis": self.axis.name,
            "llm": llm,
            "control": turned.control,
            "setting": turned.setting,
            "how": how,
            "found_on": turned.confirmed.validation,
            "test": turned.confirmed.test,
            "folds": turned.folds,
            "verdict": turned.confirmed.verdict,
            "ids": ids.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        });
        let json = serde_json::to_string_pretty(&sealed(json)).map_err(std::io::Error::from)?;
        Ok(write_file(&folder.join("control.json"), json)?)
    }
}

impl Base {
    /// Retrieval on the utility set, if there is one, for the base or for a control at a setting.
    fn evaluate(&self, control: Option<(&dyn Control, f64)>) -> Result<Option<Evaluation>> {
        let Some((set, embedded)) = &self.utility else { return Ok(None) };
        match control {
            Some((control, setting)) => set.evaluate(&control.turn(embedded, setting)?).map(Some),
            None => set.evaluate(embedded).map(Some),
        }
    }
}

/// Why no control need be changed, or none can be.
fn nothing_to_turn(line: &LlmFit, before: &Biases, resolution: f64, questions: &str) -> Option<String> {
    let rag_bias = before.rag_bias;
    if rag_bias.value().abs() <= resolution {
        return Some(format!(
            "R_b is within one answer of 0 on {questions} as it is ({:+.2} of {} answers)",
            rag_bias.value(),
            rag_bias.n()
        ));
    }
    let s = line.conflict.sensitivity;
    (line.conflict.target.status == TargetStatus::Unbounded).then(|| {
        format!(
            "the interval of the sensitivity holds 0 ({:+.2}, {:+.2} to {:+.2}): no E_b is known to move R_b",
            s.value, s.low, s.high
        )
    })
}

/// The base's corpus, with the LLM to choose for.
struct WithLlm<'b, 'a> {
    bench: &'b Bench<'a>,
    indexed: Indexed,
}

impl WithLlm<'_, '_> {
    /// What a searchable corpus gives for each question.
    fn outcomes(&self, embedded: &Embedded, on: &Inputs) -> Result<Outcomes> {
        let found = self.indexed.searched_as(embedded.clone()).retrieve(&on.questions)?;
        let answers = found.answer()?.verdicts().to_vec();
        Ok(Outcomes { documents: found.verdicts().to_vec(), answers, topics: topics_of(&on.questions) })
    }

    /// Sets a control to where R_b is closest to 0 on the questions for the choice, and judges it on the others, or fold by fold.
    fn turn(
        &self,
        control: &dyn Control,
        before: &Rc<Outcomes>,
        target: Option<f64>,
        resolution: f64,
        config: &ChooseConfig,
        base_evaluation: Option<&Evaluation>,
    ) -> Result<ControlResult> {
        let Bench { validation, base, recipe, confirmation, .. } = self.bench;
        let (kind, bootstrap) = (control.kind(), self.bench.bootstrap());
        let predicted = target.map(|target| self.predict(control, target)).transpose()?.flatten();
        let unchanged = kind.neutral().map(|setting| (setting.to_bits(), Rc::clone(before)));
        let mut measured: HashMap<u64, Rc<Outcomes>> = unchanged.into_iter().collect();
        let mut measure = |setting: f64| -> Result<Rc<Outcomes>> {
            if let Some(outcomes) = measured.get(&setting.to_bits()) {
                return Ok(Rc::clone(outcomes));
            }
            let outcomes = Rc::new(self.outcomes(&control.turn(&base.embedded, setting)?, validation)?);
            measured.insert(setting.to_bits(), Rc::clone(&outcomes));
            Ok(outcomes)
        };
        let mut step = |setting: f64| measure(setting)?.step(setting, |_| true);
        let search = Search {
            kind,
            resolution,
            steps: config.steps,
            interpolate: matches!(confirmation, Confirmation::Folds(_)),
        };
        let first = predicted.map(|predicted| predicted.setting);
        let (setting, reached, trail) = search.close(step(kind.start())?, first, step)?;
        let (test, folds): (_, Vec<FoldChoice>) = match confirmation {
            Confirmation::Test(test) => {
                (self.outcomes(&control.turn(&base.embedded, setting)?, test)?, Vec::new())
            }
            Confirmation::Folds(folds) => {
                let fitted = cross_fit(folds, kind, config.steps, &mut measure)?;
                (fitted.outcomes, fitted.folds)
            }
        };
        let (evaluation, test) = (base.evaluate(Some((control, setting)))?, test.biases(bootstrap)?);
        let confirmed = Confirmed {
            embedder: format!("{} {} {setting:.4}", recipe.base, kind.name()),
            validation: measure(setting)?.biases(bootstrap)?,
            test,
            verdict: Equivalence::of(&test.rag_bias, self.bench.delta)?,
            ndcg10: evaluation.as_ref().map(|evaluation| evaluation.mean.ndcg10),
        };
        let ndcg10_p = match (&evaluation, base_evaluation) {
            (Some(new), Some(old)) => Some(new.against(old, PairedRandomisation::default())?.p.ndcg10),
            _ => None,
        };
        let path = PathBuf::new();
        Ok(ControlResult {
            control: kind,
            setting,
            predicted,
            trail,
            reached,
            confirmed,
            folds,
            ndcg10_p,
            path,
        })
    }

    /// The setting at which E_b is closest to the target on validation topics; uses retrieval only, no LLM.
    fn predict(&self, control: &dyn Control, target: f64) -> Result<Option<Predicted>> {
        let setting = crossing(control.kind(), |setting| {
            let embedded = control.turn(&self.bench.base.embedded, setting)?;
            let found = self.indexed.searched_as(embedded).retrieve(&self.bench.validation.questions)?;
            Ok(found.expected_bias().unwrap_or(found.bias().value()) - target)
        })?;
        Ok(setting.map(|setting| Predicted { target, setting }))
    }
}

/// The member whose training comes closest to an E_b; among those, the one with the highest utility.
fn member_towards<'m>(members: &'m [Member], pole: &str, wanted: f64) -> Option<&'m Member> {
    let tuned =
        || members.iter().filter(|member| member.towards.as_deref() == Some(pole) && member.merge > 0.0);
    let distance = |member: &Member| (member.embedder_bias - wanted).abs();
    let least = tuned().map(distance).min_by(f64::total_cmp)?;
    let near = tuned().filter(|member| distance(member) <= least + 0.1);
    near.max_by(|a, b| a.ndcg10.unwrap_or(0.0).total_cmp(&b.ndcg10.unwrap_or(0.0)))
}

/// Of the controls that reach 0 on validation topics, within `resolution` of the best, the one with the highest utility, and the first of
/// those that are equal.
fn best(controls: &[ControlResult], resolution: f64) -> Option<ControlKind> {
    let reaching = || controls.iter().filter(|turned| turned.reached == Reached::Zero);
    let distance = |turned: &ControlResult| turned.confirmed.validation.rag_bias.value().abs();
    let least = reaching().map(distance).min_by(f64::total_cmp)?;
    let near = reaching().filter(|turned| distance(turned) <= least + resolution);
    let utility = |turned: &ControlResult| turned.confirmed.ndcg10.unwrap_or(0.0);
    // Of equal ones the last counts: the first, seen from behind.
    near.rev().max_by(|a, b| utility(a).total_cmp(&utility(b))).map(|turned| turned.control)
}
