//! The questions behind every point, as JSON: in the page up to a limit, and beyond it in files that the page loads.
//!
//! A page of questions holds one system's outcomes with some of its embedders, in row order: each string once, and outcomes as
//! indices into them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use ragbias_core::{Lean, Silent, Verdict};
use ragbias_data::{Outcome, write_file};
use serde::Serialize;

use super::source::{Source, System};
use crate::Result;
use crate::input::Inputs;
use crate::measured::PartResult;

/// Maximum bytes of questions in the page itself.
const ROOM: usize = 2 << 20;

/// Approximate bytes of questions in a file.
const FILE: usize = 1 << 20;

/// Maximum characters shown of a text.
const SHOWN: usize = 700;

/// The questions in the page.
#[derive(Default, Serialize)]
pub(super) struct Evidence {
    /// For each system in turn, the first row of each of its pages of questions.
    systems: Vec<Vec<usize>>,
    /// Pages of questions, by [`key`]; the others are in files.
    pages: BTreeMap<String, Page>,
}

#[derive(Serialize)]
struct Page {
    strings: Vec<String>,
    llm: bool,
    negative: String,
    positive: String,
    /// Text, topic, answer without context and its lean, of each question.
    questions: Vec<[usize; 4]>,
    /// In row order: document, its lean, answer, its lean, for each question in turn.
    embedders: Vec<Vec<usize>>,
}

/// The key of page `number` of a system, which is also the name of its file.
fn key(system: usize, number: usize) -> String {
    format!("questions-{system}-{number}")
}

impl Evidence {
    /// Writes the pages that do not fit into the report to a folder.
    pub(super) fn write(source: &Source<'_>, folder: &Path) -> Result<Self> {
        let (mut evidence, mut room) = (Self::default(), ROOM);
        let mut inputs: HashMap<(&str, &str), Option<Inputs>> = HashMap::new();
        for (place, system) in source.systems.iter().enumerate() {
            let base = system.base();
            let texts =
                inputs.entry((&base.data, &base.split)).or_insert_with(|| inputs_of(source, base)).as_ref();
            let asked = Asked::new(system, texts);
            let (mut firsts, mut next) = (Vec::new(), 0);
            while next < system.rows.len() && !system.outcomes.is_empty() {
                let (page, key) = (asked.page(next), key(place, firsts.len()));
                firsts.push(next);
                next += page.embedders.len();
                let json = json(&page);
                if json.len() <= room {
                    room -= json.len();
                    evidence.pages.insert(key, page);
                } else {
                    write_file(&folder.join(format!("{key}.js")), format!("loaded(\"{key}\", {json});\n"))?;
                }
            }
            evidence.systems.push(firsts);
        }
        Ok(evidence)
    }

    /// As JSON that is safe in a script element.
    pub(super) fn json(&self) -> String {
        json(self)
    }
}

/// JSON in which no `<` can end the enclosing script element.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers; this is a bug").replace('<', "\\u003c")
}

/// The texts behind a row; none if data have moved or changed since the run, in which case ids are shown.
fn inputs_of(source: &Source<'_>, row: &PartResult) -> Option<Inputs> {
    let manifest = source.manifest;
    let is = |part: &&crate::Part| part.corpus_name() == row.data && part.split.name() == row.split;
    let part = manifest.experiment.parts.iter().find(is)?;
    let inputs = part.inputs(&Silent).ok()?;
    let recorded = inputs.ids(&part.corpus_name(), part.split);
    recorded.iter().all(|(name, id)| manifest.inputs.get(name) == Some(id)).then_some(inputs)
}

/// The questions of a system, with the outcomes for each embedder.
struct Asked<'a> {
    system: &'a System,
    inputs: Option<&'a Inputs>,
    /// An outcome of each question, in table order.
    questions: Vec<&'a Outcome>,
    question_texts: HashMap<&'a str, &'a str>,
    /// By embedder and question.
    outcomes: HashMap<&'a str, HashMap<&'a str, &'a Outcome>>,
}

impl<'a> Asked<'a> {
    fn new(system: &'a System, inputs: Option<&'a Inputs>) -> Self {
        let texts = inputs.iter().flat_map(|inputs| inputs.questions.questions());
        let mut outcomes: HashMap<&str, HashMap<&str, &Outcome>> = HashMap::new();
        let (mut questions, mut known) = (Vec::new(), HashSet::new());
        for outcome in &system.outcomes {
            if known.insert(&outcome.question) {
                questions.push(outcome);
            }
            outcomes.entry(&outcome.embedder).or_default().insert(&outcome.question, outcome);
        }
        let question_texts = texts.map(|question| (question.id.as_str(), question.text.as_str())).collect();
        Self { system, inputs, questions, question_texts, outcomes }
    }

    /// A page starting at a row, with at least one row.
    fn page(&self, first: usize) -> Page {
        let mut strings = Strings::default();
        let questions: Vec<[usize; 4]> = (self.questions.iter())
            .map(|outcome| {
                let id = outcome.question.as_str();
                [
                    strings.place(self.question_texts.get(id).copied().unwrap_or(id)),
                    strings.place(&outcome.topic),
                    strings.place(&outcome.answer_llm),
                    code(outcome.lean_llm, outcome.outcome_llm),
                ]
            })
            .collect();
        let mut embedders: Vec<Vec<usize>> = Vec::new();
        for row in &self.system.rows[first..] {
            embedders.push(self.embedder(&row.embedder, &mut strings));
            // Some 12 digits and commas per question.
            if strings.bytes + embedders.len() * self.questions.len() * 12 > FILE {
                break;
            }
        }
        let base = self.system.base();
        Page {
            strings: strings.all,
            llm: base.llm.is_some(),
            negative: base.negative.clone(),
            positive: base.positive.clone(),
            questions,
            embedders,
        }
    }

    fn embedder(&self, name: &str, strings: &mut Strings) -> Vec<usize> {
        let Some(outcomes) = self.outcomes.get(name) else { return Vec::new() };
        let of_question = |question: &&Outcome| {
            // Every question has a position, whether it was asked or not.
            let Some(outcome) = outcomes.get(question.question.as_str()) else {
                return [strings.place(""), 0, strings.place(""), 0];
            };
            [
                strings.place(&self.document(&outcome.document)),
                code(outcome.lean_document, outcome.outcome_document),
                strings.place(&outcome.answer),
                code(outcome.lean_answer, outcome.outcome_answer),
            ]
        };
        self.questions.iter().flat_map(of_question).collect()
    }

    /// The text shown for a document.
    fn document(&self, id: &str) -> String {
        let found = self.inputs.and_then(|inputs| Some(inputs.corpus.document(inputs.corpus.position(id)?)));
        let Some(document) = found else { return id.to_owned() };
        let text = match document.title.as_deref().map(str::trim) {
            None | Some("") => document.text.clone(),
            Some(title) => format!("{title}: {}", document.text),
        };
        let short: String = text.chars().take(SHOWN).collect();
        if short.len() < text.len() { format!("{short} …") } else { short }
    }
}

/// 0 unscored, 1 the negative pole, 2 neither or both if unknown which, 3 the positive pole, 4 neither, 5 both,
/// 6 refused, 7 cut.
fn code(lean: Option<Lean>, outcome: Option<Verdict>) -> usize {
    match outcome.or(lean.filter(|lean| *lean != Lean::Neutral).map(Verdict::from)) {
        None if lean.is_some() => 2,
        None | Some(Verdict::Unscored) => 0,
        Some(Verdict::NEGATIVE) => 1,
        Some(Verdict::POSITIVE) => 3,
        Some(Verdict::NEITHER) => 4,
        Some(Verdict::Scored { .. }) => 5,
        Some(Verdict::Refused) => 6,
        Some(Verdict::Cut) => 7,
    }
}

/// Distinct strings, by index.
#[derive(Default)]
struct Strings {
    all: Vec<String>,
    places: HashMap<String, usize>,
    bytes: usize,
}

impl Strings {
    fn place(&mut self, text: &str) -> usize {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        self.bytes += text.len();
        self.all.push(text.to_owned());
        self.places.insert(text.to_owned(), self.all.len() - 1);
        self.all.len() - 1
    }
}
