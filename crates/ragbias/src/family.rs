use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use ragbias_core::{
    Axis, ContentHasher, ContentId, Corpus, DocId, Document, Embedder, Question, QuestionSet, Role,
};
use ragbias_data::{Dataset, Member, MinedRow, Split, write_family, write_file, write_mined};
use ragbias_index::{Exact, ExactIndex};
use ragbias_tune::{Base, Example, Mined, Scope, Texts, Training, Tuned, Weights, examples, mine};
use serde::{Deserialize, Serialize};

mod interpolation;
mod reversal;
mod saved;
mod shard;

pub use self::interpolation::Interpolation;
pub use self::shard::Shard;

use self::reversal::warn_of_reversal;
use self::saved::{MemberCard, member_folder, state_file};
use crate::embedding::embed_all;
use crate::evaluate::TestCollection;
use crate::input::load_dataset;
use crate::measure::bootstrap;
use crate::recipe::{Planned, Recipe};
use crate::{Error, Judged, Result, System, Workspace, scorer};

/// A family in progress, with everything that its members share.
pub struct Family {
    recipe: Recipe,
    axis: Axis,
    base: Base,
    /// The training examples.
    train: QuestionSet,
    /// The validation examples.
    validation: QuestionSet,
    data: Dataset,
    utility: Option<TestCollection>,
    /// The data's documents, scored by the recipe's scorer.
    judged: Judged,
    /// Texts for the members of each scope that was trained or loaded.
    texts: HashMap<Scope, Arc<Texts>>,
    workspace: Workspace,
}

/// The content of `family.json`, which identifies the family of a folder.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct FamilyFile {
    family: String,
    base: String,
    base_id: ContentId,
}

impl Family {
    /// Loads the base, the data and the scorer of a recipe.
    ///
    /// # Errors
    /// Unknown or malformed models and data, scopes that the base does not support.
    pub fn new(recipe: &Recipe, workspace: &Workspace) -> Result<Self> {
        let (models, progress) = (workspace.models(), workspace.progress());
        let axis = recipe.load_axis()?;
        let data = load_dataset(&recipe.data, &axis, progress)?;
        let utility = recipe
            .utility
            .as_deref()
            .map(|data| TestCollection::load(data, None, None, progress))
            .transpose()?;
        let base = models.base(&recipe.base, progress)?;
        for planned in recipe.plan()? {
            planned.config.check(base.layers())?;
            base.check(planned.config.scope)?;
        }
        let scorer = scorer::of_documents(&axis, &data.corpus, recipe.scorer.as_deref(), workspace)?;
        Ok(Self {
            recipe: recipe.clone(),
            base,
            train: data.split(Split::Train)?,
            validation: data.split(Split::Validation)?,
            utility,
            judged: Judged::new(&data.corpus, scorer.as_ref(), bootstrap(0))?,
            data,
            axis,
            texts: HashMap::new(),
            workspace: workspace.clone(),
        })
    }

    /// Hash of the base.
    pub fn base_id(&self) -> ContentId {
        self.base.id()
    }

    /// Mines the training questions, and writes a table of the results.
    ///
    /// # Errors
    /// Failures of the embedder, the scorer or the file system.
    pub fn mine(&self, path: &Path) -> Result<Vec<Mined>> {
        let mined = self.mined(self.train.questions())?;
        let verdicts = self.judged.verdicts();
        let id = |document: DocId| self.data.corpus.document(document).id.clone();
        let rows = mined.iter().flat_map(|mined| {
            let all = mined.positive.iter().chain(&mined.neutral).chain(&mined.negative);
            all.map(|&document| MinedRow {
                question: mined.question.id.clone(),
                topic: mined.question.cluster().into(),
                document: id(document),
                lean: verdicts[document.index()].lean().map(|lean| lean as i32),
            })
        });
        write_mined(path, &rows.collect::<Vec<_>>())?;
        Ok(mined)
    }

    /// The data's documents, scored by the recipe's scorer.
    pub fn judged(&self) -> &Judged {
        &self.judged
    }

    fn mined(&self, questions: &[Question]) -> Result<Vec<Mined>> {
        let (embedder, progress) = (self.base(), self.workspace.progress());
        let texts: Vec<String> = self.data.corpus.documents().iter().map(Document::full_text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let documents =
            embed_all(embedder.as_ref(), &texts, Role::Document, "embedding documents", progress)?;
        let index = ExactIndex::by(embedder.similarity(), documents)?;
        Ok(mine(
            questions,
            &self.axis,
            embedder.as_ref(),
            &index,
            self.judged.verdicts(),
            self.recipe.mine,
            progress,
        )?)
    }

    /// Trains, measures and saves every missing member of the shard, and writes `family.parquet` and
    /// `family.csv` with all existing members.
    ///
    /// An interrupted process is resumed: finished members are kept, and a training in progress continues from
    /// its last epoch. A member counts as finished if every file is as it was saved; a damaged one is reported, and made
    /// again.
    ///
    /// # Errors
    /// A folder with another family, a pole without training examples, failures of the file system.
    /// A folder that holds another family, a pole that no example leads to, failures of the file system.
    pub fn tune(&mut self, out: &Path, shard: Shard) -> Result<Vec<Member>> {
        let workspace = self.workspace.clone();
        let progress = workspace.progress();
        self.claim(out)?;
        let plan = self.recipe.plan()?;
        self.say_size(&plan, out)?;
        let mined = self.mine(&out.join("mined.parquet"))?;
        let mined_for_validation = self.mined(self.validation.questions())?;
        let base_row = self.base_row()?;
        let shard: Vec<&Planned> = plan
            .iter()
            .enumerate()
            .filter(|(i, _)| i % shard.count + 1 == shard.index)
            .map(|(_, p)| p)
            .collect();
        let mut found: HashMap<String, Member> = HashMap::new();
        for (number, planned) in shard.iter().enumerate() {
            let (training, skipped) = examples(&mined, &self.axis, planned.towards, self.recipe.mine)?;
            // Validation questions without documents of both kinds have no validation loss.
            let validation = examples(&mined_for_validation, &self.axis, planned.towards, self.recipe.mine);
            let validation = validation.map(|(examples, _)| examples).unwrap_or_default();
            let id = self.id(planned, &training)?;
            let mut missing = Vec::new();
            for &w in &planned.merge {
                let name = planned.member(w);
                match MemberCard::find(out, &name, "it is made again", progress) {
                    Some(card) if card.id == id => drop(found.insert(name, card.member)),
                    _ => missing.push(w),
                }
            }
            progress.note(&format!(
                "{} of {}: {}, {} questions ({skipped} without documents of both kinds){}",
                number + 1,
                shard.len(),
                planned.name,
                training.len(),
                if missing.is_empty() { ", done before" } else { "" }
            ));
            if missing.is_empty() {
                continue;
            }
            self.prepare(planned.config.scope, out)?;
            let planned_training = PlannedTraining { planned, training, validation, id };
            self.train_members(out, &planned_training, &missing, &base_row)?;
        }
        let mut rows = vec![base_row];
        for planned in &plan {
            for &w in &planned.merge {
                let name = planned.member(w);
                let other = || MemberCard::find(out, &name, "it is left out of the table", progress);
                rows.extend(found.remove(&name).or_else(|| other().map(|card| card.member)));
            }
        }
        write_family(&out.join("family.parquet"), &rows)?;
        write_family(&out.join("family.csv"), &rows)?;
        Ok(rows)
    }

    /// Reports the disk space of a family if it is large: every member has the weights of all layers.
    fn say_size(&self, plan: &[Planned], out: &Path) -> Result<()> {
        const MUCH: u64 = 1_000_000_000;
        let members: u64 = plan.iter().map(|planned| planned.merge.len() as u64).sum();
        let mut each = 0;
        for entry in fs_err::read_dir(self.base.folder())? {
            // A link in the hub's cache has the size of its target.
            each += fs_err::metadata(entry?.path())
                .map_or(0, |metadata| if metadata.is_file() { metadata.len() } else { 0 });
        }
        if members * each > MUCH {
            self.workspace.progress().note(&format!(
                "{members} members of {} MB each: {:.1} GB in {} where the file system cannot share the base's bytes",
                each / 1_000_000,
                (members * each) as f64 / 1e9,
                out.display()
            ));
        }
        Ok(())
    }

    /// Checks that the folder belongs to this family of this base.
    fn claim(&self, out: &Path) -> Result<()> {
        let ours = FamilyFile {
            family: self.recipe.name.clone(),
            base: self.recipe.base.clone(),
            base_id: self.base.id(),
        };
        let path = out.join("family.json");
        if path.is_file() {
            let text = fs_err::read_to_string(&path)?;
            let wrong = |reason: String| Error::Run { path: path.clone(), reason };
            let theirs: FamilyFile = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
            if theirs != ours {
                return Err(wrong(format!(
                    "this folder holds the family `{}` of the base `{}` ({}), not `{}` of `{}` ({})\nhint: give \
                     another folder to `out`",
                    theirs.family,
                    theirs.base,
                    theirs.base_id.short(),
                    ours.family,
                    ours.base,
                    ours.base_id.short()
                )));
            }
            return Ok(());
        }
        let json = serde_json::to_string_pretty(&ours).map_err(std::io::Error::from)?;
        Ok(write_file(&path, json)?)
    }

    /// A member as an embedder, by its row in the family's table; the base's own row is the base.
    ///
    /// For known texts it starts from the shared hidden states, stored in half precision, so a cosine
    /// may differ from that of the saved checkpoint in the fourth digit.
    ///
    /// # Errors
    /// A member that is not in the folder, or whose files have changed since it was saved.
    pub fn embedder(&mut self, out: &Path, member: &Member) -> Result<Tuned> {
        let scope = member.scope.as_deref().map_or(Ok(Scope::Head), str::parse)?;
        self.prepare(scope, out)?;
        let folder = member_folder(out, &member.member);
        let (weights, id) = if member.scope.is_none() {
            (Weights::base(), self.base.id())
        } else {
            let card = MemberCard::read(&folder)?;
            let id =
                ContentHasher::new("tuned/1").field(card.id.as_bytes()).field(member.merge.to_le_bytes());
            (Weights::load(&self.base, &folder)?, id.finish())
        };
        Ok(Tuned::new(&self.base, &self.texts[&scope], &weights, id)?)
    }

    /// The embedders at every merge weight of a member's training.
    ///
    /// # Errors
    /// Those of [`Family::embedder`]; a member that is the base.
    pub fn interpolation(&mut self, out: &Path, member: &Member) -> Result<Interpolation> {
        let scope: Scope = member.scope.as_deref().map_or(Ok(Scope::Head), str::parse)?;
        self.prepare(scope, out)?;
        let folder = member_folder(out, &member.member);
        if member.merge == 0.0 {
            let reason = "the base itself, which has no training".into();
            return Err(Error::Run { path: folder, reason });
        }
        let card = MemberCard::read(&folder)?;
        let training =
            member.member.rsplit_once("-w").map_or(member.member.as_str(), |(training, _)| training);
        Ok(Interpolation {
            weights: Weights::load(&self.base, &folder)?,
            base: self.base.clone(),
            texts: Arc::clone(&self.texts[&scope]),
            loaded: member.merge,
            id: card.id,
            training: training.to_owned(),
        })
    }

    /// Topics that members were trained on, in alphabetical order.
    pub fn trained_topics(&self) -> Vec<String> {
        let topics: std::collections::BTreeSet<&str> =
            self.train.questions().iter().map(Question::cluster).collect();
        topics.into_iter().map(str::to_owned).collect()
    }

    /// Prepares every text used to train or measure members of a scope, unless already done.
    fn prepare(&mut self, scope: Scope, out: &Path) -> Result<()> {
        if self.texts.contains_key(&scope) {
            return Ok(());
        }
        let of = |questions: &QuestionSet, corpus: &Corpus| -> Vec<(Role, String)> {
            let questions = questions.questions().iter().map(|q| (Role::Question, q.text.clone()));
            let documents = corpus.documents().iter().map(|d| (Role::Document, d.full_text()));
            questions.chain(documents).collect()
        };
        let mut all = of(&self.data.questions, &self.data.corpus);
        all.extend(self.utility.iter().flat_map(|set| of(&set.questions, &set.corpus)));
        let progress = self.workspace.progress();
        let texts = Texts::prepare(&self.base, scope, all, &out.join(".cache"), progress)?;
        self.texts.insert(scope, Arc::new(texts));
        Ok(())
    }

    /// Everything that determines a training and the measurement of its members: base, settings, examples, data.
    fn id(&self, planned: &Planned, examples: &[Example]) -> Result<ContentId> {
        let config = serde_json::to_vec(&planned.config).map_err(std::io::Error::from)?;
        let mut id = ContentHasher::new("member/1").field(self.base.id().as_bytes()).field(config);
        for example in examples {
            id = id
                .field(&example.question.text)
                .field(format!("{:?} {:?}", example.positives, example.negatives));
        }
        let mut id =
            id.field(self.data.corpus.content_id().as_bytes()).field(self.validation.content_id().as_bytes());
        if let Some(set) = &self.utility {
            id = id.field(set.corpus.content_id().as_bytes()).field(set.questions.content_id().as_bytes());
        }
        Ok(id.finish())
    }

    /// Trains, and measures and saves the members of these merge weights.
    fn train_members(
        &self,
        out: &Path,
        planned_training: &PlannedTraining<'_>,
        merge: &[f64],
        base_row: &Member,
    ) -> Result<()> {
        let progress = self.workspace.progress();
        let &PlannedTraining { planned, id, .. } = planned_training;
        let texts = &self.texts[&planned.config.scope];
        let anchors: Vec<String> = self
            .utility
            .iter()
            .flat_map(|set| set.corpus.documents().iter().map(Document::full_text))
            .collect();
        let state = state_file(out, &planned.name);
        let training = Training {
            base: &self.base,
            config: &planned.config,
            examples: &planned_training.training,
            validation: &planned_training.validation,
            corpus: &self.data.corpus,
            anchors: &anchors,
            texts,
        };
        let trained = training.run(Some(&state), progress)?;
        if let Some(diverged) = trained.diverged {
            progress.note(&format!(
                "{}: the loss became non-finite at batch {} of epoch {}; the weights before it are kept\nhint: a smaller \
                 learning-rate, or a smaller clip",
                planned.name, diverged.batch, diverged.epoch
            ));
        }
        for &w in merge {
            let weights = trained.weights.merged(&self.base, w)?;
            let mut member = self.measure(Arc::new(Tuned::new(&self.base, texts, &weights, id)?))?;
            member.member = planned.member(w);
            member.towards = Some(planned.towards.name(&self.axis).into());
            member.scope = Some(planned.config.scope.to_string());
            member.learning_rate = planned.config.learning_rate;
            member.epochs = planned.config.epochs as u32;
            member.merge = w;
            member.seed = planned.config.seed;
            member.losses = trained.curve.iter().map(|epoch| epoch.loss).collect();
            member.validation_losses = trained.curve.iter().filter_map(|epoch| epoch.validation).collect();
            member.diverged = trained.diverged.is_some();
            member.seconds = trained.curve.iter().map(|epoch| epoch.seconds).sum();
            warn_of_reversal(&member, planned, base_row, progress);
            let card = MemberCard {
                version: env!("CARGO_PKG_VERSION").into(),
                id,
                base_id: self.base.id(),
                measured_on: self.measured_on(),
                member,
            };
            let json = serde_json::to_value(&card).map_err(std::io::Error::from)?;
            weights.save(&self.base, &member_folder(out, &card.member.member), json)?;
        }
        fs_err::remove_file(state).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        Ok(())
    }

    fn measured_on(&self) -> String {
        let utility =
            self.recipe.utility.as_deref().map_or(String::new(), |data| format!("; nDCG@10 on {data}"));
        format!("E_b on the validation split of {}{utility}", self.recipe.data)
    }

    /// The base as the first row of the family's table.
    fn base_row(&self) -> Result<Member> {
        let mut row = self.measure(self.base())?;
        row.member.clone_from(&self.recipe.base);
        Ok(row)
    }

    /// The base as an embedder.
    fn base(&self) -> Arc<dyn Embedder> {
        self.workspace.embedder(self.base.embedder().clone())
    }

    /// E_b on the validation split, nDCG@10 on the utility set.
    fn measure(&self, embedder: Arc<dyn Embedder>) -> Result<Member> {
        let system = System::on(self.axis.clone())
            .embedder(Arc::clone(&embedder))
            .workspace(&self.workspace.without_store())
            .build()?;
        let bias = system.index_judged(&self.judged)?.retrieve(&self.validation)?.bias();
        let evaluate =
            |set: &TestCollection| set.evaluate(&set.embed(embedder, Arc::new(Exact), &self.workspace)?);
        let ndcg10 =
            self.utility.as_ref().map(evaluate).transpose()?.map(|evaluation| evaluation.mean.ndcg10);
        Ok(Member {
            member: String::new(),
            family: self.recipe.name.clone(),
            base: self.recipe.base.clone(),
            axis: self.axis.name.clone(),
            towards: None,
            scope: None,
            learning_rate: 0.0,
            epochs: 0,
            merge: 0.0,
            seed: 0,
            losses: Vec::new(),
            validation_losses: Vec::new(),
            diverged: false,
            seconds: 0.0,
            n: bias.n() as u32,
            embedder_bias: bias.value(),
            embedder_bias_low: bias.low(),
            embedder_bias_high: bias.high(),
            ndcg10,
        })
    }
}

/// One planned training, with its examples.
struct PlannedTraining<'p> {
    planned: &'p Planned,
    training: Vec<Example>,
    /// The validation examples.
    validation: Vec<Example>,
    id: ContentId,
}
