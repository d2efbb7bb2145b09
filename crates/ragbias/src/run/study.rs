use std::collections::BTreeMap;
use std::sync::Arc;

use ragbias_core::{ContentId, Embedder};

use super::families::Families;
use super::files::{Files, Llms};
use crate::experiment::{Experiment, Part};
use crate::input::Inputs;
use crate::measured::{BASE_FAMILY, Measured, PartResult};
use crate::system::{Answers, Judged, Labels, Retrieved, System};
use crate::{Result, Workspace, scorer};

/// One part of an experiment: all retrieval first, then all generation.
pub(super) struct Study<'a> {
    part: &'a Part,
    files: &'a Files,
    data: Inputs,
    judged: Judged,
    /// A system for each LLM, with its name; a single one without an LLM if only retrieval is measured.
    systems: Vec<(Option<&'a str>, System)>,
    retrieved: Vec<Member>,
    workspace: &'a Workspace,
    pub(super) inputs: BTreeMap<String, ContentId>,
}

/// An embedder and its retrieval.
struct Member {
    name: String,
    family: String,
    found: Retrieved,
}

impl<'a> Study<'a> {
    pub(super) fn new(
        experiment: &'a Experiment,
        part: &'a Part,
        files: &'a Files,
        known: &Llms,
        workspace: &'a Workspace,
    ) -> Result<Self> {
        let progress = workspace.progress();
        let (axis, data) = (&files.axes[&part.axis], part.inputs(progress)?);
        let documents = scorer::of_documents(axis, &data.corpus, part.scorer.as_deref(), workspace)?;
        let scored = |of: &str| format!("scorer of {of}, {}", axis.name);
        let mut inputs = BTreeMap::from([
            (scored("documents"), documents.id()),
            (format!("axis {}", part.axis), axis.content_id()),
        ]);
        inputs.extend(data.ids(&part.corpus_name(), part.split));
        for path in &part.calibration {
            inputs.insert(format!("calibration {}", path.display()), ContentId::of(&fs_err::read(path)?));
        }
        let calibrations = part.calibrations()?;
        let system = || {
            let system = System::on(axis.clone()).document_scorer(Arc::clone(&documents));
            let system = match &part.scorer {
                Some(name) if scorer::is_judge(name) => system.answer_scorer(Arc::clone(&documents)),
                _ => system,
            };
            system.calibrated_by(calibrations.clone()).measured_as(experiment.measure).workspace(workspace)
        };
        let mut systems = Vec::new();
        for name in &part.llms {
            let llm = &known[name.as_str()];
            inputs.insert(format!("llm {name}"), llm.id());
            let system = system().llm(Arc::clone(llm)).build()?;
            inputs.extend(system.answer_scorer().map(|answers| (scored("answers"), answers.id())));
            systems.push((Some(name.as_str()), system));
        }
        if systems.is_empty() {
            systems.push((None, system().build()?));
        }
        let judged = systems[0].1.judge(&data.corpus)?;
        Ok(Self { part, files, data, judged, systems, retrieved: Vec::new(), workspace, inputs })
    }

    /// Retrieves with every embedder, and every member of every family.
    pub(super) fn retrieve_all(&mut self, families: &mut Families) -> Result<()> {
        for name in &self.part.embedders {
            let embedder = self.workspace.models().embedder(name, self.workspace.progress())?;
            self.inputs.insert(format!("embedder {name}"), embedder.id());
            self.retrieve(name, BASE_FAMILY, self.workspace.embedder(embedder))?;
        }
        for path in &self.part.families {
            let recipe = &self.files.recipes[path];
            let tuned = families.tuned(path, recipe, self.workspace)?;
            self.inputs.insert(format!("base of family {}", recipe.name), tuned.base_id());
            for member in tuned.embedders() {
                let (name, embedder) = member?;
                self.retrieve(name, &recipe.name, embedder)?;
            }
        }
        Ok(())
    }

    fn retrieve(&mut self, name: &str, family: &str, embedder: Arc<dyn Embedder>) -> Result<()> {
        let (_, system) = &self.systems[0];
        self.workspace.progress().note(&format!(
            "{}: {} questions, {} documents, {name}",
            system.axis().name,
            self.data.questions.len(),
            self.data.corpus.len(),
        ));
        let indexed = system.embedding_with(embedder).index_judged(&self.judged)?;
        let found = indexed.retrieve_judged(&self.data.questions, self.data.qrels.as_ref())?;
        self.retrieved.push(Member { name: name.to_owned(), family: family.to_owned(), found });
        Ok(())
    }

    /// Asks every LLM, and returns the measurements embedder by embedder.
    pub(super) fn answer_all(&self) -> Result<Vec<PartResult>> {
        let all: Vec<Retrieved> = self.retrieved.iter().map(|member| member.found.clone()).collect();
        let mut answers: Vec<Option<(Answers, Vec<Answers>)>> = Vec::new();
        for (llm, system) in &self.systems {
            answers.push(match llm {
                Some(llm) => {
                    let axis = &system.axis().name;
                    self.workspace.progress().note(&format!("{axis}: {llm}, {} embedders", all.len()));
                    Some((system.baseline(&self.data.questions)?, system.answer_all(&all)?))
                }
                None => None,
            });
        }
        let mut results = Vec::new();
        for (row, member) in self.retrieved.iter().enumerate() {
            for ((llm, _), answers) in self.systems.iter().zip(&answers) {
                let alone = answers.as_ref().map(|(alone, _)| alone);
                let given = answers.as_ref().map(|(_, given)| &given[row]);
                results.push(self.result(member, *llm, alone, given));
            }
        }
        Ok(results)
    }

    fn result(
        &self,
        member: &Member,
        llm: Option<&str>,
        alone: Option<&Answers>,
        given: Option<&Answers>,
    ) -> PartResult {
        let axis = self.systems[0].1.axis();
        let (data, split) = (self.part.corpus_name(), self.part.split.name());
        let labels = Labels { embedder: &member.name, llm, corpus: &data, split };
        PartResult {
            axis: axis.name.clone(),
            negative: axis.negative.name.clone(),
            positive: axis.positive.name.clone(),
            split: split.into(),
            questions: self.data.questions.len(),
            embedder: member.name.clone(),
            family: member.family.clone(),
            llm: llm.map(str::to_owned),
            measured: Measured::new(&member.found, alone, given, self.data.qrels.as_ref(), labels),
            data,
        }
    }
}
