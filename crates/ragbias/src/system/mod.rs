//! A RAG system, and the stages of its measurement, each of which is computed once and builds on earlier ones.
//!
//! ```text
//! System ──index──▶ Indexed (C_b) ──retrieve──▶ Retrieved (E_b) ──answer──▶ Answers (R_b)
//!    └────────────────────────────baseline────────────────────────────────▶ Answers (L_b)
//! ```

use std::sync::Arc;

use ragbias_core::limits::{SHARE, TOP_K};
use ragbias_core::{Axis, BiasScorer, Corpus, Embedder, Generator, IndexBackend, QuestionSet};
use ragbias_data::{Qrels, load_axis};
use ragbias_generate::{GenerateConfig, ServerConfig};
use ragbias_index::Exact;
use ragbias_stats::Discount;

use crate::calibration::{Calibration, Calibrations};
use crate::fair_ranking::FairRanking;
use crate::measure::{AnswerMode, MeasureConfig};
use crate::measured::Measured;
use crate::prompt::Prompter;
use crate::ranking::{Ranking, StochasticRanking};
use crate::{Error, Models, Result, Workspace, scorer};

mod audited;
mod by_rank;
mod component;
mod embedded;
mod indexed;
mod judged;
mod labels;
mod llm;
mod pair_answers;
mod retrieved;
mod setting;
mod twins;

pub(crate) use audited::Audited;
pub use by_rank::ByRank;
pub use component::Component;
pub use embedded::Embedded;
pub use indexed::Indexed;
pub use judged::Judged;
pub use labels::Labels;
pub use llm::Answers;
pub use retrieved::Retrieved;
pub use twins::{TwinPreference, TwinsOf};

use setting::{Llm, Setting};

/// A RAG system: embedder, index, ranking, LLM, and scorers of documents and answers. A clone shares all of it.
///
/// ```
/// use std::sync::Arc;
/// use ragbias::core::testing::{EchoGenerator, HashEmbedder};
/// use ragbias::data::Dataset;
/// use ragbias::{System, index::Exact};
///
/// let set = Dataset::bundled("gender")?;
/// let rag = System::on("gender")
///     .embedder(Arc::new(HashEmbedder::new(128, 1))) // a name, a folder, or your own
///     .index(Exact)
///     .llm(Arc::new(EchoGenerator))                  // a name, a .gguf file, an address, or your own
///     .build()?;
/// let corpus = rag.index(&set.corpus)?;
/// let found = corpus.retrieve(&set.questions)?;
/// let given = found.answer()?;
/// let alone = rag.baseline(&set.questions)?;
/// assert_eq!(corpus.bias().value(), 0.0); // balanced by construction
/// println!("E_b {}, R_b {}, L_b {}", found.bias(), given.bias()?, alone.bias()?);
/// # Ok::<(), ragbias::Error>(())
/// ```
#[derive(Clone)]
pub struct System {
    setting: Setting,
    embedder: Option<Arc<dyn Embedder>>,
    backend: Arc<dyn IndexBackend>,
    ranking: Option<Arc<dyn Ranking>>,
    /// Target share and seed of a fair re-ranking, which needs the verdicts on the corpus.
    reranked: Option<(f64, u64)>,
    documents: DocumentScorer,
}

/// The scorer of documents.
#[derive(Clone)]
enum DocumentScorer {
    Given(Arc<dyn BiasScorer>),
    /// The scorer of this name; none means gold labels if all documents have one, else the axis's own.
    Named(Option<String>),
}

impl System {
    /// Begins a system measured on an axis, given by name, file or value.
    pub fn on(axis: impl Into<Component<Axis>>) -> SystemBuilder {
        SystemBuilder {
            axis: axis.into(),
            embedder: None,
            backend: Arc::new(Exact),
            llm: None,
            documents: None,
            answers: None,
            ranking: None,
            reranked: None,
            top_k: 1,
            discount: Discount::default(),
            seed: 0,
            answering: None,
            generate: GenerateConfig::default(),
            server: ServerConfig::default(),
            calibrations: Vec::new(),
            workspace: None,
        }
    }

    /// The axis.
    pub fn axis(&self) -> &Axis {
        &self.setting.axis
    }

    /// The embedder, if there is one.
    pub fn embedder(&self) -> Option<&Arc<dyn Embedder>> {
        self.embedder.as_ref()
    }

    /// The scorer of answers, if an LLM gives answers that are not choices.
    pub fn answer_scorer(&self) -> Option<&Arc<dyn BiasScorer>> {
        self.setting.llm.as_ref()?.scorer.as_ref()
    }

    /// The LLM, if there is one.
    pub fn llm(&self) -> Option<&Arc<dyn Generator>> {
        self.setting.llm.as_ref().map(|llm| &llm.generator)
    }

    /// The same system with another embedder.
    #[must_use]
    pub fn embedding_with(&self, embedder: Arc<dyn Embedder>) -> Self {
        Self { embedder: Some(embedder), ..self.clone() }
    }

    /// Scores every document: C_b, which does not depend on the embedder.
    ///
    /// # Errors
    /// A failure of the scorer, a corpus in which it can score nothing, or calibrations of other scorers.
    pub fn judge(&self, corpus: &Corpus) -> Result<Judged> {
        let scorer = match &self.documents {
            DocumentScorer::Given(scorer) => Arc::clone(scorer),
            DocumentScorer::Named(name) => {
                scorer::of_documents(self.axis(), corpus, name.as_deref(), &self.setting.workspace)?
            }
        };
        let answers = self.answer_scorer().map(AsRef::as_ref);
        let Setting { calibrations, workspace, .. } = &self.setting;
        calibrations.check(&self.axis().name, scorer.as_ref(), answers, workspace.progress())?;
        Judged::new(corpus, scorer.as_ref(), self.setting.bootstrap())
    }

    /// Scores, embeds and indexes a corpus.
    ///
    /// # Errors
    /// Failures of the scorer, the embedder or the index.
    pub fn index(&self, corpus: &Corpus) -> Result<Indexed> {
        self.index_judged(&self.judge(corpus)?)
    }

    /// Embeds and indexes a scored corpus.
    ///
    /// # Errors
    /// A system without an embedder, failures of the embedder or the index.
    pub fn index_judged(&self, judged: &Judged) -> Result<Indexed> {
        let embedded = Embedded::new(
            judged.corpus(),
            self.embedder.clone().ok_or(Error::NoEmbedder)?,
            Arc::clone(&self.backend),
            &self.setting.workspace,
        )?;
        let ranking = match self.reranked {
            Some((share, seed)) => Some(Arc::new(FairRanking::new(share, seed, judged.leans())) as _),
            None => self.ranking.clone(),
        };
        let embedded = embedded.ranked_by(ranking);
        Ok(Indexed::new(self.setting.clone(), judged.clone(), embedded))
    }

    /// A scored corpus that was embedded for this system or another.
    pub fn searching(&self, judged: &Judged, embedded: &Embedded) -> Indexed {
        Indexed::new(self.setting.clone(), judged.clone(), embedded.clone())
    }

    /// Asks the LLM of this system all questions of several retrievals, in one pass in which each distinct prompt is asked once:
    /// R_b of each.
    ///
    /// # Errors
    /// A system without an LLM; a failure of the LLM or the scorer.
    pub fn answer_all(&self, all: &[Retrieved]) -> Result<Vec<Answers>> {
        retrieved::answer_all(&self.setting, all)
    }

    /// Asks the LLM every question without context: L_b.
    ///
    /// # Errors
    /// A system without an LLM, questions without the choices that the axis requires, a failure of the LLM or the scorer.
    pub fn baseline(&self, questions: &QuestionSet) -> Result<Answers> {
        retrieved::baseline(&self.setting, questions)
    }

    /// Runs all stages; if the system has an LLM, with and without context.
    ///
    /// Problems are found before the LLM is asked, which may cost money.
    ///
    /// # Errors
    /// Those of each stage.
    pub fn measure(
        &self,
        corpus: &Corpus,
        questions: &QuestionSet,
        qrels: Option<&Qrels>,
        labels: Labels<'_>,
    ) -> Result<Measured> {
        self.setting.check(questions)?;
        let found = self.index(corpus)?.retrieve_judged(questions, qrels)?;
        let (alone, given) = match &self.setting.llm {
            Some(_) => (Some(self.baseline(questions)?), Some(found.answer()?)),
            None => (None, None),
        };
        Ok(Measured::new(&found, alone.as_ref(), given.as_ref(), qrels, labels))
    }
}

/// Builds a system; see [`System::on`].
#[must_use]
pub struct SystemBuilder {
    axis: Component<Axis>,
    embedder: Option<Component<dyn Embedder>>,
    backend: Arc<dyn IndexBackend>,
    llm: Option<Component<dyn Generator>>,
    documents: Option<Component<dyn BiasScorer>>,
    answers: Option<Component<dyn BiasScorer>>,
    ranking: Option<Arc<dyn Ranking>>,
    reranked: Option<(f64, u64)>,
    top_k: usize,
    discount: Discount,
    seed: u64,
    answering: Option<AnswerMode>,
    generate: GenerateConfig,
    server: ServerConfig,
    calibrations: Vec<Calibration>,
    workspace: Option<Workspace>,
}

impl SystemBuilder {
    /// Sets the embedder: a name of the registry, a hub id, a folder, or a value. Without it, only L_b can be
    /// measured.
    pub fn embedder(self, embedder: impl Into<Component<dyn Embedder>>) -> Self {
        Self { embedder: Some(embedder.into()), ..self }
    }

    /// Sets the index; exact search by default.
    pub fn index(self, backend: impl IndexBackend + 'static) -> Self {
        Self { backend: Arc::new(backend), ..self }
    }

    /// Sets the LLM: a name of the registry, a `.gguf` file, an address, or a value. Without it, L_b and R_b cannot be
    /// measured.
    pub fn llm(self, llm: impl Into<Component<dyn Generator>>) -> Self {
        Self { llm: Some(llm.into()), ..self }
    }

    /// Sets the scorer of documents. By default gold labels if every document has one, else the axis's own scorer. A judge given
    /// by name, `judge:LLM`, also scores answers unless they have another scorer; a key is sent to its address only if the models
    /// [allow](Models::allowing) it.
    pub fn document_scorer(self, scorer: impl Into<Component<dyn BiasScorer>>) -> Self {
        Self { documents: Some(scorer.into()), ..self }
    }

    /// Sets the scorer of answers that are not choices. By default the axis's own scorer.
    pub fn answer_scorer(self, scorer: impl Into<Component<dyn BiasScorer>>) -> Self {
        Self { answers: Some(scorer.into()), ..self }
    }

    /// Sets the ranking of the nearest documents; by default the order of the index.
    pub fn ranking(self, ranking: impl Ranking + 'static) -> Self {
        Self { ranking: Some(Arc::new(ranking)), reranked: None, ..self }
    }

    /// Sets the number of documents given to the LLM, 1 to 1000; E_b takes the majority of each pole over them. 1 by default.
    pub fn top_k(self, top_k: usize) -> Self {
        Self { top_k, ..self }
    }

    /// Sets how much attention each rank gets, for the exposure of the poles with more than one document.
    pub fn discount(self, discount: Discount) -> Self {
        Self { discount, ..self }
    }

    /// Sets the seed of the bootstrap; 0 by default.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Sets how the LLM's answers are read; by default, as the axis asks for them.
    pub fn answering(self, mode: AnswerMode) -> Self {
        Self { answering: Some(mode), ..self }
    }

    /// Sets index, ranking, top k, discount, seed and how answers are read as in an experiment.
    pub fn measured_as(self, config: MeasureConfig) -> Self {
        let MeasureConfig { top_k, index, temperature, rerank, seed, discount, answers } = config;
        let ranking = StochasticRanking::at(temperature, seed);
        let reranked = rerank.map(|share| (share, seed));
        Self {
            top_k,
            backend: index.backend(),
            ranking,
            reranked,
            seed,
            discount,
            answering: answers,
            ..self
        }
    }

    /// Sets how an LLM given by name generates.
    pub fn generate(self, config: GenerateConfig) -> Self {
        Self { generate: config, ..self }
    }

    /// Sets how an LLM given by address is asked.
    pub fn server(self, config: ServerConfig) -> Self {
        Self { server: config, ..self }
    }

    /// Corrects biases for the errors of their scorers: see [`Correction`](crate::Correction).
    pub fn calibrated_by(self, calibrations: Vec<Calibration>) -> Self {
        Self { calibrations, ..self }
    }

    /// Sets models, store and progress. By default, models are those of [`Models::from_env`], nothing is stored and no
    /// progress is shown.
    pub fn workspace(self, workspace: &Workspace) -> Self {
        Self { workspace: Some(workspace.clone()), ..self }
    }

    /// Resolves every component by name, downloading missing ones, and checks that they match. Nothing is computed yet.
    ///
    /// # Errors
    /// Unknown names, settings out of range, a scorer of another axis, an axis whose answers no scorer can score.
    pub fn build(self) -> Result<System> {
        let workspace = match self.workspace {
            Some(workspace) => workspace,
            None => Workspace::new(Models::from_env()?),
        };
        let axis = match self.axis {
            Component::Given(axis) => axis,
            Component::Named(name) => Arc::new(load_axis(&name)?),
        };
        let answers = AnswerMode::on(&axis, self.answering)?;
        TOP_K.check("top-k", self.top_k)?;
        if let Some(ranking) = &self.ranking {
            ranking.check()?;
        }
        if let Some((share, _)) = self.reranked {
            SHARE.check("rerank", share)?;
        }
        let (models, progress) = (workspace.models(), workspace.progress());
        let scorer = |part: Component<dyn BiasScorer>| -> Result<Arc<dyn BiasScorer>> {
            let scorer = match part {
                Component::Given(scorer) => scorer,
                Component::Named(name) => scorer::by_name_of_file(&axis, &name, &workspace)?,
            };
            if scorer.axis() != axis.name {
                let (expected, received) = (axis.name.clone(), scorer.axis().into());
                return Err(Error::ScorerAxis { expected, received });
            }
            Ok(workspace.scorer(scorer))
        };
        let mut of_answers = self.answers;
        let documents = match self.documents {
            Some(Component::Named(name)) if scorer::is_judge(&name) => {
                let judge = scorer(Component::Named(name))?;
                of_answers = of_answers.or_else(|| Some(Component::Given(Arc::clone(&judge))));
                DocumentScorer::Given(judge)
            }
            Some(Component::Named(name)) => {
                scorer::check_name(&axis, &name)?;
                DocumentScorer::Named(Some(name))
            }
            Some(given) => DocumentScorer::Given(scorer(given)?),
            None => DocumentScorer::Named(None),
        };
        let embedder = match self.embedder {
            None => None,
            Some(Component::Given(embedder)) => Some(workspace.embedder(embedder)),
            Some(Component::Named(name)) => Some(workspace.embedder(models.embedder(&name, progress)?)),
        };
        let llm = match self.llm {
            None => None,
            Some(part) => {
                let scorer = match (answers, of_answers) {
                    (AnswerMode::Choice | AnswerMode::Pair, _) => None,
                    (AnswerMode::Text, Some(part)) => Some(scorer(part)?),
                    (AnswerMode::Text, None) => {
                        Some(scorer(Component::Given(scorer::of_answers(&axis, &workspace)?))?)
                    }
                };
                let generator = match part {
                    Component::Given(generator) => generator,
                    Component::Named(name) => {
                        models.generator(&name.parse()?, &self.generate, &self.server, progress)?
                    }
                };
                if answers == AnswerMode::Pair {
                    // Nothing is asked: an LLM that cannot be is found before any work.
                    generator.likelihoods(&[], &|_, _| Ok(()))?;
                }
                Some(Llm { generator: workspace.llm(generator), scorer })
            }
        };
        let prompter = Arc::new(Prompter::new(&axis)?);
        let calibrations = Calibrations::new(self.calibrations);
        let setting = Setting {
            axis,
            prompter,
            answers,
            top_k: self.top_k,
            discount: self.discount,
            seed: self.seed,
            llm,
            calibrations,
            workspace,
        };
        Ok(System {
            setting,
            embedder,
            backend: self.backend,
            ranking: self.ranking,
            reranked: self.reranked,
            documents,
        })
    }
}

#[cfg(test)]
mod pair_tests;
#[cfg(test)]
mod tests;
