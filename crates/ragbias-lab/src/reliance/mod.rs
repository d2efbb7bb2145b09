//! Does an LLM's reliance on its context predict the sensitivity s of a RAG?

mod answers;
mod checkpoints;
mod findings;
mod systems;

use std::collections::BTreeSet;

use ragbias::core::{Answering, Axis, Lean, Prompts, Silent};
use ragbias::data::{Split, load_axis};
use ragbias::{LlmName, Prompter};
use serde::{Deserialize, Serialize};

use self::answers::{Moved, Relied, SystemAnswers, contradicting};
use self::checkpoints::{Measured, Teaching};
use crate::asking::{Asked, Llm};
use crate::bench::Bench;
use crate::contexts::{Case, Halves, LEVELS, TOGETHER, TwinData};
use crate::error::{Error, Result};
use crate::instrument::Instrument;
use crate::report::Report;

/// Does an LLM's reliance on its context predict the sensitivity s of a RAG?
///
/// A system is an LLM with a wording of its prompt. On one half of the topics its reliance is measured: how many contexts of one passage
/// its answers follow, above all those that contradict what it answers without. On the other half its s is measured, with three passages.
///
/// An LLM is then taught who the people of both halves are, and both are measured along the way: people whom an LLM knows are those about
/// whom a passage can contradict it.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `axis`, `data`, `split` | `gender`, `gender-twins`, `all` | twins, whose names are the answers | an axis that asks for a name |
/// | `llms` | `smollm2-135m`, `gemma3-270m`, `qwen2.5-0.5b` | the LLMs: names or `.gguf` files | at least one |
/// | `wordings` | `plain`, `only`, `doubt`, `question-first` | templates of the prompt with a context; without one the axis's own is used | at least one |
/// | `questions` | 40 | questions of both halves together, in proportion to the size | 8 to 100,000 |
/// | `taught` | `smollm2-135m` | LLMs that are fine-tuned: names or `.gguf` files | may be empty |
/// | `checkpoints` | 6 | how often it is measured, beside once before | 1 to 100 |
/// | `steps` | 120 | steps of the fine-tuning, of 8 answers each | `checkpoints` to 100,000 |
/// | `learning-rate` | 5e-4 | its learning rate | above 0 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Reliance {
    /// The axis.
    pub axis: String,
    /// The data set.
    pub data: String,
    /// The split of its questions.
    pub split: Split,
    /// The LLMs.
    pub llms: Vec<LlmName>,
    /// The wordings of the prompt.
    pub wordings: Vec<ContextWording>,
    /// Questions of both halves together, at size 1.
    pub questions: usize,
    /// LLMs that are fine-tuned.
    pub taught: Vec<LlmName>,
    /// How often it is measured, beside once before.
    pub checkpoints: usize,
    /// Steps of the fine-tuning.
    pub steps: usize,
    /// Its learning rate.
    pub learning_rate: f64,
}

/// A wording of the prompt with a context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ContextWording {
    /// Its name in tables.
    pub name: String,
    /// The template, as in an axis's `[prompts]`.
    pub with_context: String,
}

/// Questions below which halves and thirds are too small.
const LEAST_QUESTIONS: usize = 8;

/// Questions whose prompts are asked and kept together.
const AT_A_TIME: usize = 5;

impl Default for Reliance {
    fn default() -> Self {
        let name = |name: &str| name.parse().expect("a name of the registry; this is a bug");
        let wording = |name: &str, with_context: &str| ContextWording {
            name: name.into(),
            with_context: with_context.into(),
        };
        // Instructions follow the passages, so that wordings share their prefill.
        let wordings = vec![
            wording("plain", "Context: {{ context }}\n\nQuestion: {{ question }}\n{{ request }}"),
            wording(
                "only",
                "Context: {{ context }}\n\nAnswer from the context alone.\nQuestion: {{ question }}\n{{ request }}",
            ),
            wording(
                "doubt",
                "Context: {{ context }}\n\nThe context may be wrong about names. Answer from what you know.\n\
                 Question: {{ question }}\n{{ request }}",
            ),
            wording("question-first", "Question: {{ question }}\n\nContext: {{ context }}\n\n{{ request }}"),
        ];
        Self {
            axis: "gender".into(),
            data: "gender-twins".into(),
            split: Split::All,
            llms: vec![name("smollm2-135m"), name("gemma3-270m"), name("qwen2.5-0.5b")],
            wordings,
            questions: 40,
            taught: vec![name("smollm2-135m")],
            checkpoints: 6,
            steps: 120,
            learning_rate: 5e-4,
        }
    }
}

impl Instrument for Reliance {
    fn name(&self) -> &'static str {
        "reliance"
    }

    fn question(&self) -> &'static str {
        "Does an LLM's reliance on its context predict the sensitivity s of a RAG?"
    }

    fn check(&self) -> Result<()> {
        let wrong = |setting, expected, received| Err(Error::Setting { setting, expected, received });
        if !(LEAST_QUESTIONS..=100_000).contains(&self.questions) {
            return wrong("questions", "8 to 100000", self.questions.to_string());
        }
        let llms = self.llms.iter().map(LlmName::as_str);
        if let Some(received) = repeated_or_none(llms) {
            return wrong("llms", "at least one, each of them once", received);
        }
        let names = self.wordings.iter().map(|wording| wording.name.as_str());
        if let Some(received) = repeated_or_none(names) {
            return wrong("wordings", "at least one, each with a name of its own", received);
        }
        self.teaching().check()?;
        let axis = load_axis(&self.axis)?;
        if axis.answering != Answering::Name {
            let expected = "one that asks for a name, as `gender`";
            return wrong("axis", expected, self.axis.clone());
        }
        self.prompters(&axis)?;
        Halves::draw(self.twins(), LEAST_QUESTIONS, 0, &Silent).map(drop)
    }

    fn run(&self, bench: &Bench) -> Result<Report> {
        let axis = load_axis(&self.axis)?;
        let questions = bench.scaled(self.questions, LEAST_QUESTIONS);
        let halves = Halves::draw(self.twins(), questions, bench.seed(), bench.progress())?;
        let prompters = self.prompters(&axis)?;
        // An LLM that cannot be asked is found before any is.
        for llm in &self.llms {
            Llm::load(llm, &axis, bench)?;
        }
        let mut systems = Vec::new();
        for llm in &self.llms {
            let llm = Llm::load(llm, &axis, bench)?;
            systems.extend(answers(&llm, &halves, &self.wordings, &prompters)?);
        }
        let mut report = Report::new(self.name(), self.question());
        findings::report(&systems, bench.seed(), &mut report);
        for llm in &self.taught {
            let taught = self.teaching().taught(llm, &halves, &prompters[0], bench)?;
            let mut measured = Vec::new();
            for steps in taught.marks() {
                let checkpoint = taught.llm(steps, &axis, bench)?;
                let answers = answers(&checkpoint, &halves, &self.wordings[..1], &prompters[..1])?;
                measured.extend(answers.into_iter().map(|answers| Measured { steps, answers }));
            }
            checkpoints::report(llm, &measured, &halves, bench.seed(), &mut report);
        }
        Ok(report)
    }
}

/// What is wrong with names: that there are none, or the first that is there twice.
fn repeated_or_none<'n>(names: impl Iterator<Item = &'n str>) -> Option<String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if name.trim().is_empty() || !seen.insert(name) {
            return Some(format!("`{name}`{}", if seen.contains(name) { " twice" } else { "" }));
        }
    }
    seen.is_empty().then(|| "none".into())
}

impl Reliance {
    fn twins(&self) -> TwinData<'_> {
        TwinData { axis: &self.axis, data: &self.data, split: self.split }
    }

    /// What is asked with each wording.
    fn prompters(&self, axis: &Axis) -> Result<Vec<Prompter>> {
        let prompter = |wording: &ContextWording| {
            let mut prompts = Prompts::default();
            prompts.with_context = Some(wording.with_context.clone());
            Ok(Prompter::new(&axis.clone().asking(prompts))?)
        };
        self.wordings.iter().map(prompter).collect()
    }

    fn teaching(&self) -> Teaching {
        let Self { checkpoints, steps, learning_rate, .. } = *self;
        Teaching { checkpoints, steps, learning_rate }
    }
}

/// The answers of one LLM with these wordings, whose prompts are given too.
fn answers(
    llm: &Llm<'_>,
    halves: &Halves,
    wordings: &[ContextWording],
    prompters: &[Prompter],
) -> Result<Vec<SystemAnswers>> {
    let asked = |prompter: &Prompter, case: &Case, passages: &[_]| -> Result<Asked> {
        Asked::new(prompter, &case.question.text, &halves.documents(passages), &case.names)
    };
    let first = &prompters[0];
    let without: Result<Vec<Asked>> = halves.relied.iter().map(|case| asked(first, case, &[])).collect();
    let closed_book = llm.weigh(&without?, halves.relied.len(), "without context")?;

    let (mut relied, mut moved) = (Vec::new(), Vec::new());
    for (case, closed_book) in halves.relied.iter().zip(&closed_book) {
        // Where no passage contradicts, these answers count nowhere.
        let pole = contradicting(*closed_book).unwrap_or(Lean::Positive);
        let shown = case.alone().into_iter().chain(case.at_places(pole)).collect::<Vec<_>>();
        for prompter in prompters {
            relied.extend(shown.iter().map(|shown| asked(prompter, case, shown)));
        }
    }
    for case in &halves.moved {
        for prompter in prompters {
            moved.extend(case.mixed().iter().map(|shown| asked(prompter, case, shown)));
        }
    }
    let per_case = [(2 + TOGETHER) * prompters.len(), LEVELS.len() * prompters.len()];
    let relied: Vec<Asked> = relied.into_iter().collect::<Result<_>>()?;
    let moved: Vec<Asked> = moved.into_iter().collect::<Result<_>>()?;
    let relied = llm.weigh(&relied, AT_A_TIME * per_case[0], "contradicting its answers")?;
    let moved = llm.weigh(&moved, AT_A_TIME * per_case[1], "with contexts of known bias")?;

    let of_wording = |(number, wording): (usize, &ContextWording)| {
        let relied = (halves.relied.iter().zip(&closed_book).zip(relied.chunks(per_case[0])))
            .map(|((case, closed_book), answers)| {
                let answers = &answers[number * (2 + TOGETHER)..][..2 + TOGETHER];
                Relied {
                    topic: case.question.cluster().into(),
                    closed_book: *closed_book,
                    alone: std::array::from_fn(|shown| answers[shown]),
                    at_places: std::array::from_fn(|place| answers[2 + place]),
                }
            })
            .collect();
        let moved = (halves.moved.iter().zip(moved.chunks(per_case[1])))
            .map(|(case, answers)| Moved {
                topic: case.question.cluster().into(),
                mixed: std::array::from_fn(|level| answers[number * LEVELS.len() + level]),
            })
            .collect();
        SystemAnswers { llm: llm.name().into(), wording: wording.name.clone(), relied, moved }
    };
    Ok(wordings.iter().enumerate().map(of_wording).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(setting: Reliance) -> String {
        setting.check().unwrap_err().to_string()
    }

    #[test]
    fn settings_that_cannot_be_measured_are_refused_by_name() {
        let all = Reliance::default();
        all.check().unwrap();
        let error = refused(Reliance { llms: Vec::new(), ..all.clone() });
        assert!(error.starts_with("llms is none"), "{error}");
        let twice = vec![all.llms[0].clone(), all.llms[0].clone()];
        let error = refused(Reliance { llms: twice, ..all.clone() });
        assert!(error.starts_with("llms is `smollm2-135m` twice"), "{error}");
        let wordings = vec![ContextWording { name: "x".into(), with_context: "{{ question }}".into() }];
        let error = refused(Reliance { wordings, ..all.clone() });
        assert!(error.contains("what was retrieved is not in it"), "{error}");
        let error = refused(Reliance { axis: "politics".into(), data: "politics".into(), ..all.clone() });
        assert!(error.starts_with("axis is politics"), "{error}");
        let error = refused(Reliance { questions: 3, ..all });
        assert!(error.starts_with("questions is 3, expected 8 to 100000"), "{error}");
    }
}
