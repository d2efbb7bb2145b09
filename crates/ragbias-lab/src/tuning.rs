use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use ragbias::core::{
    Axis, ContentHasher, ContentId, DocId, Document, Embedder, Question, QuestionSet, Role, Verdict,
};
use ragbias::data::{Split, load_axis};
use ragbias::index::{Exact, ExactIndex};
use ragbias::tune::{
    AfterEpoch, Base, Example, MineConfig, Mined, Scope, Texts, Towards, TrainConfig, Trained, Training,
    Tuned, Weights, examples, mine,
};
use ragbias::{Inputs, Judged, System, TestCollection, Workspace, embed_all};
use serde::{Deserialize, Serialize};

use crate::bench::Bench;
use crate::error::{Error, Result};

/// What is tuned, on what: the part of an instrument's settings that several share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct TunedSetting {
    /// The base: a model's name or folder. `minilm` by default.
    pub base: String,
    /// The axis. `gender` by default.
    pub axis: String,
    /// The data: tuned on its train split. `gender-twins` by default.
    pub data: String,
    /// The split that is measured: `validation` by default; `all` where nothing is tuned.
    pub measured: Split,
    /// A test collection that nothing is tuned on, whose nDCG@10 is the utility. `politics` by default.
    pub utility: String,
}

impl Default for TunedSetting {
    fn default() -> Self {
        Self {
            base: "minilm".into(),
            axis: "gender".into(),
            data: "gender-twins".into(),
            measured: Split::Validation,
            utility: "politics".into(),
        }
    }
}

impl TunedSetting {
    /// Checks that axis and data exist.
    ///
    /// # Errors
    /// Unknown or malformed ones.
    pub fn check(&self) -> Result<()> {
        let axis = load_axis(&self.axis)?;
        Inputs::of_dataset(&self.data, self.measured, &axis, &ragbias::core::Silent)?;
        TestCollection::load(&self.utility, None, None, &ragbias::core::Silent)?;
        Ok(())
    }
}

/// The pole of an axis that has this name.
///
/// # Errors
/// An unknown axis, or none of its poles.
pub(crate) fn pole(axis: &str, name: &str) -> Result<Towards> {
    let axis = load_axis(axis)?;
    let poles = [Towards::Positive, Towards::Negative];
    poles.into_iter().find(|pole| pole.name(&axis) == name).ok_or_else(|| Error::Setting {
        setting: "towards",
        expected: "the name of one of the axis's poles",
        received: name.into(),
    })
}

/// The sign of a pole's lean.
pub(crate) fn sign(pole: Towards) -> f64 {
    match pole {
        Towards::Positive => 1.0,
        Towards::Negative => -1.0,
    }
}

/// A base with its data, from which embedders are tuned and on which they are measured.
pub struct TunedBase {
    axis: Axis,
    base: Base,
    judged: Judged,
    training: QuestionSet,
    validation: QuestionSet,
    utility: TestCollection,
    texts: Arc<Texts>,
    workspace: Workspace,
}

/// What an embedder retrieves: a lean per question, and the utility per question of another collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcomes {
    /// The lean of the document that is retrieved for each validation question; none if it is not scored.
    pub leans: Vec<Option<i32>>,
    /// nDCG@10 of each question of the utility collection.
    pub ndcg10: Vec<f64>,
}

impl Outcomes {
    /// E_b: the mean lean of the scored.
    pub fn embedder_bias(&self) -> f64 {
        let scored: Vec<i32> = self.leans.iter().flatten().copied().collect();
        f64::from(scored.iter().sum::<i32>()) / scored.len().max(1) as f64
    }

    /// Mean nDCG@10.
    pub fn utility(&self) -> f64 {
        self.ndcg10.iter().sum::<f64>() / self.ndcg10.len().max(1) as f64
    }
}

impl TunedBase {
    /// Loads the base and the data, and prepares every text for tuning this scope.
    ///
    /// # Errors
    /// Unknown or malformed models and data; a scope that the base does not have.
    pub fn load(setting: &TunedSetting, scope: Scope, bench: &Bench) -> Result<Self> {
        let (workspace, progress) = (bench.workspace(), bench.progress());
        let axis = load_axis(&setting.axis)?;
        let train = Inputs::of_dataset(&setting.data, Split::Train, &axis, progress)?;
        let validation = Inputs::of_dataset(&setting.data, setting.measured, &axis, progress)?.questions;
        let utility = TestCollection::load(&setting.utility, None, None, progress)?;
        let base = workspace.models().base(&setting.base, progress)?;
        let system = System::on(axis.clone()).workspace(workspace).build()?;
        let judged = system.judge(&train.corpus)?;
        let questions = [train.questions.questions(), validation.questions(), utility.questions.questions()];
        let questions = questions.into_iter().flatten().map(|q| (Role::Question, q.text.clone()));
        let documents = [train.corpus.documents(), utility.corpus.documents()];
        let documents = documents.into_iter().flatten().map(|d| (Role::Document, d.full_text()));
        let cache = bench.folder().join("hidden-states");
        let texts = Arc::new(Texts::prepare(&base, scope, questions.chain(documents), &cache, progress)?);
        let workspace = workspace.clone();
        Ok(Self { axis, base, judged, training: train.questions, validation, utility, texts, workspace })
    }

    /// The axis.
    pub fn axis(&self) -> &Axis {
        &self.axis
    }

    /// The training questions.
    pub fn training(&self) -> &QuestionSet {
        &self.training
    }

    /// The questions that are measured.
    pub fn validation(&self) -> &QuestionSet {
        &self.validation
    }

    /// The documents with their verdicts.
    pub fn judged(&self) -> &Judged {
        &self.judged
    }

    /// The topic of each question that is measured.
    pub fn validation_topics(&self) -> Vec<&str> {
        self.validation.questions().iter().map(Question::cluster).collect()
    }

    /// The collection whose nDCG@10 is the utility.
    pub(crate) fn collection(&self) -> &TestCollection {
        &self.utility
    }

    /// The topic of each judged question of the utility collection, in the order of [`Outcomes::ndcg10`].
    pub(crate) fn utility_topics(&self) -> Vec<&str> {
        let questions = self.utility.questions.questions().iter();
        questions.filter(|q| self.utility.qrels.contains_key(&q.id)).map(Question::cluster).collect()
    }

    /// The hash of base and data, for the keys of what a bench keeps.
    pub fn id(&self) -> ContentId {
        ContentHasher::new("lab-tuning/1")
            .field(self.base.id().as_bytes())
            .field(self.judged.corpus().content_id().as_bytes())
            .field(self.training.content_id().as_bytes())
            .field(self.validation.content_id().as_bytes())
            .field(self.utility.corpus.content_id().as_bytes())
            .field(self.utility.questions.content_id().as_bytes())
            .finish()
    }

    /// The documents of the base near each question of a set, by verdict.
    ///
    /// # Errors
    /// Failures of the embedder.
    pub fn mined(&self, questions: &QuestionSet, config: MineConfig) -> Result<Vec<Mined>> {
        let (base, progress) = (self.base.embedder(), self.workspace.progress());
        let texts: Vec<String> = self.judged.corpus().documents().iter().map(Document::full_text).collect();
        let documents = embedded(base, &texts, Role::Document)?;
        let index = ExactIndex::by(base.similarity(), documents).map_err(ragbias::Error::from)?;
        Ok(mine(questions.questions(), &self.axis, base, &index, self.judged.verdicts(), config, progress)?)
    }

    /// Examples for tuning towards a pole.
    ///
    /// # Errors
    /// No question has documents of both kinds.
    pub fn examples(&self, mined: &[Mined], towards: Towards, config: MineConfig) -> Result<Vec<Example>> {
        Ok(examples(mined, &self.axis, towards, config)?.0)
    }

    /// The margin by which an embedder prefers an example's positives: the mean cosine of its question with them, less that with its
    /// negatives. Below 0, the embedder leans the other way.
    ///
    /// # Errors
    /// Failures of the embedder.
    pub fn margins(&self, embedder: &dyn Embedder, examples: &[Example]) -> Result<Vec<f64>> {
        let mean = |cosines: &[f64]| cosines.iter().sum::<f64>() / cosines.len() as f64;
        let cosines = self.cosines(embedder, examples)?;
        Ok(cosines.iter().map(|(positives, negatives)| mean(positives) - mean(negatives)).collect())
    }

    /// The contrastive loss of each example, as in training ([`TrainConfig`]), at τ = `scale`.
    ///
    /// # Errors
    /// Failures of the embedder.
    pub fn losses(&self, embedder: &dyn Embedder, examples: &[Example], scale: f64) -> Result<Vec<f64>> {
        let cosines = self.cosines(embedder, examples)?;
        Ok(cosines.iter().map(|(positives, negatives)| contrastive(positives, negatives, scale)).collect())
    }

    /// The cosines of each example's question with its positives, and with its negatives.
    fn cosines(&self, embedder: &dyn Embedder, examples: &[Example]) -> Result<Vec<(Vec<f64>, Vec<f64>)>> {
        let documents = self.judged.corpus().documents();
        // Each document is embedded once, although it is in several examples.
        let mut places: BTreeMap<DocId, usize> = BTreeMap::new();
        for id in examples.iter().flat_map(|example| example.positives.iter().chain(&example.negatives)) {
            places.insert(*id, 0);
        }
        for (place, slot) in places.values_mut().enumerate() {
            *slot = place;
        }
        let texts: Vec<String> = places.keys().map(|id| documents[id.index()].full_text()).collect();
        let documents = embedded(embedder, &texts, Role::Document)?;
        let questions: Vec<String> = examples.iter().map(|example| example.question.text.clone()).collect();
        let questions = embedded(embedder, &questions, Role::Question)?;
        let cosines = examples.iter().enumerate().map(|(row, example)| {
            let question = questions.row(row);
            let of = |ids: &[DocId]| -> Vec<f64> {
                ids.iter().map(|id| f64::from(documents.row(places[id]).dot(&question))).collect()
            };
            (of(&example.positives), of(&example.negatives))
        });
        Ok(cosines.collect())
    }

    /// The base as an embedder.
    ///
    /// # Errors
    /// None are expected.
    pub fn untuned(&self) -> Result<Tuned> {
        self.tuned(&Weights::base(), self.base.id())
    }

    /// Tunes the base on examples, without early stopping.
    ///
    /// # Errors
    /// Settings out of range; a loss that becomes non-finite.
    pub fn train(&self, config: &TrainConfig, examples: &[Example]) -> Result<Trained> {
        self.train_watched(config, examples, |_| Ok(ControlFlow::Continue(())))
    }

    /// The same, and shows the training after every epoch to `watch`, which may end it there.
    ///
    /// # Errors
    /// As for [`TunedBase::train`], and those of `watch`.
    pub(crate) fn train_watched(
        &self,
        config: &TrainConfig,
        examples: &[Example],
        watch: impl FnMut(&mut AfterEpoch<'_, '_>) -> Result<ControlFlow<()>>,
    ) -> Result<Trained> {
        let training = Training {
            base: &self.base,
            config,
            examples,
            validation: &[],
            corpus: self.judged.corpus(),
            anchors: &[],
            texts: &self.texts,
        };
        let trained = training.watched(&ragbias::core::Silent, watch)?;
        if let Some(at) = trained.diverged {
            return Err(Error::Setting {
                setting: "learning-rate",
                expected: "one at which the loss stays finite",
                received: format!("{}, non-finite in epoch {}", config.learning_rate, at.epoch),
            });
        }
        Ok(trained)
    }

    /// Weights as an embedder; `id` is the hash of how they were made.
    ///
    /// # Errors
    /// Weights of another base.
    pub fn tuned(&self, weights: &Weights, id: ContentId) -> Result<Tuned> {
        Ok(Tuned::new(&self.base, &self.texts, weights, id)?)
    }

    /// Weights merged with the base's: w = 1 are the weights themselves.
    ///
    /// # Errors
    /// Weights of another base.
    pub fn merged(&self, weights: &Weights, w: f64) -> Result<Weights> {
        Ok(weights.merged(&self.base, w)?)
    }

    /// The lean of the document that an embedder retrieves for each question; none if it is not scored.
    ///
    /// # Errors
    /// Failures of the embedder or the index.
    pub(crate) fn leans(&self, embedder: Tuned, questions: &QuestionSet) -> Result<Vec<Option<i32>>> {
        self.leans_by(&(Arc::new(embedder) as Arc<dyn Embedder>), questions)
    }

    fn leans_by(&self, embedder: &Arc<dyn Embedder>, questions: &QuestionSet) -> Result<Vec<Option<i32>>> {
        let quiet = Workspace::new(self.workspace.models().clone());
        let system =
            System::on(self.axis.clone()).embedder(Arc::clone(embedder)).workspace(&quiet).build()?;
        let found = system.index_judged(&self.judged)?.retrieve(questions)?;
        Ok(found.verdicts().iter().map(|verdict: &Verdict| verdict.lean().map(|lean| lean as i32)).collect())
    }

    /// What an embedder retrieves for the validation questions, and its utility.
    ///
    /// # Errors
    /// Failures of the embedder or the index.
    pub fn measure(&self, embedder: impl Embedder + 'static) -> Result<Outcomes> {
        let embedder: Arc<dyn Embedder> = Arc::new(embedder);
        let leans = self.leans_by(&embedder, &self.validation)?;
        Ok(Outcomes { leans, ndcg10: self.utility(embedder)? })
    }

    /// nDCG@10 of each question of the utility collection.
    ///
    /// # Errors
    /// Failures of the embedder or the index.
    pub fn utility(&self, embedder: Arc<dyn Embedder>) -> Result<Vec<f64>> {
        let quiet = Workspace::new(self.workspace.models().clone());
        let embedded = self.utility.embed(embedder, Arc::new(Exact), &quiet)?;
        let evaluation = self.utility.evaluate(&embedded)?;
        Ok(evaluation.per_question.iter().map(|(_, metrics)| metrics.ndcg10).collect())
    }

    /// The base.
    pub fn base(&self) -> &Base {
        &self.base
    }
}

/// Unit vectors of texts.
pub(crate) fn embedded(
    embedder: &dyn Embedder,
    texts: &[String],
    role: Role,
) -> Result<ragbias::core::Embeddings> {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    Ok(embed_all(embedder, &texts, role, "embedding", &ragbias::core::Silent)?.normalised()?)
}

/// −log( Σe^{τ·c⁺} / (Σe^{τ·c⁺} + Σe^{τ·c⁻}) ), without overflow.
fn contrastive(positives: &[f64], negatives: &[f64], scale: f64) -> f64 {
    let log_sum = |cosines: &[f64]| {
        let most = cosines.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        scale * most + cosines.iter().map(|cosine| (scale * (cosine - most)).exp()).sum::<f64>().ln()
    };
    let (positive, negative) = (log_sum(positives), log_sum(negatives));
    let odds = negative - positive;
    // log(1 + e^x) is x + log(1 + e^−x).
    if odds > 0.0 { odds + (-odds).exp().ln_1p() } else { odds.exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_is_that_of_its_formula_and_does_not_overflow() {
        let (positives, negatives) = ([0.6, 0.4], [0.5, 0.1]);
        let sum = |cosines: &[f64]| cosines.iter().map(|c: &f64| (50.0 * c).exp()).sum::<f64>();
        let expected = -(sum(&positives) / (sum(&positives) + sum(&negatives))).ln();
        assert!((contrastive(&positives, &negatives, 50.0) - expected).abs() < 1e-12);
        assert!((contrastive(&[-1.0], &[1.0], 5000.0) - 10_000.0).abs() < 1e-6);
    }
}
