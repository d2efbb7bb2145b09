//! The questions behind every point, as JSON in the page: strings once, outcomes as numbers.

use std::collections::{BTreeMap, HashMap, HashSet};

use ragbias_core::{Lean, Silent, Verdict};
use ragbias_data::Outcome;
use serde::Serialize;

use super::source::{Source, System};
use crate::input::Inputs;

/// Bytes of outcomes in a page, about; systems beyond it are left out, and `outcomes.parquet` has them.
const ROOM: usize = 2_500_000;

/// Characters of a text that are shown.
const SHOWN: usize = 700;

#[derive(Serialize)]
struct Evidence {
    strings: Vec<String>,
    /// In the order of systems; none where there are no outcomes, or no room.
    systems: Vec<Option<Asked>>,
}

#[derive(Serialize)]
struct Asked {
    llm: bool,
    negative: String,
    positive: String,
    /// Text, topic, answer without context and its lean, of each question.
    questions: Vec<[usize; 4]>,
    /// In the order of rows: document, its lean, answer, its lean, of each question in turn.
    embedders: Vec<Vec<usize>>,
}

/// The JSON, in which no `<` can end the script that it stands in.
pub(super) fn json(source: &Source) -> String {
    let mut strings = Strings::default();
    let mut inputs: HashMap<(String, String), Option<Inputs>> = HashMap::new();
    let mut used = 0;
    let systems = (source.systems.iter())
        .map(|system| {
            let base = system.base();
            // Data that have moved or changed since the run: ids stand for texts.
            let texts = inputs.entry((base.data.clone(), base.split.clone())).or_insert_with(|| {
                let manifest = &source.manifest;
                let is = |part: &&crate::Part| part.data == base.data && part.split.name() == base.split;
                let part = manifest.experiment.parts.iter().find(is)?;
                let inputs = part.inputs(&Silent).ok()?;
                let recorded = inputs.ids(&part.data, part.split);
                recorded.iter().all(|(name, id)| manifest.inputs.get(name) == Some(id)).then_some(inputs)
            });
            used += system.outcomes.len() * 16;
            (!system.outcomes.is_empty() && used < ROOM).then(|| asked(system, texts.as_ref(), &mut strings))
        })
        .collect();
    let evidence = Evidence { strings: strings.all, systems };
    serde_json::to_string(&evidence).expect("strings and numbers; this is a bug").replace('<', "\\u003c")
}

fn asked(system: &System, inputs: Option<&Inputs>, strings: &mut Strings) -> Asked {
    let base = system.base();
    let question_texts: HashMap<&str, &str> = inputs
        .iter()
        .flat_map(|inputs| inputs.questions.questions())
        .map(|question| (question.id.as_str(), question.text.as_str()))
        .collect();
    let document = |id: &str| -> String {
        let found = inputs.and_then(|inputs| Some(inputs.corpus.document(inputs.corpus.position(id)?)));
        found.map_or_else(
            || id.to_owned(),
            |document| {
                let text = match document.title.as_deref().map(str::trim) {
                    None | Some("") => document.text.clone(),
                    Some(title) => format!("{title}: {}", document.text),
                };
                let short: String = text.chars().take(SHOWN).collect();
                if short.len() < text.len() { format!("{short} …") } else { short }
            },
        )
    };
    let mut of: BTreeMap<&str, HashMap<&str, &Outcome>> = BTreeMap::new();
    let (mut order, mut known) = (Vec::new(), HashSet::new());
    for outcome in &system.outcomes {
        if known.insert(&outcome.question) {
            order.push(outcome);
        }
        of.entry(&outcome.embedder).or_default().insert(&outcome.question, outcome);
    }
    let questions = (order.iter())
        .map(|outcome| {
            let text = question_texts.get(outcome.question.as_str()).copied().unwrap_or(&outcome.question);
            [
                strings.place(text),
                strings.place(&outcome.topic),
                strings.place(&outcome.answer_llm),
                code(outcome.lean_llm, outcome.outcome_llm),
            ]
        })
        .collect();
    let embedders = (system.rows.iter())
        .map(|row| {
            let Some(outcomes) = of.get(row.embedder.as_str()) else { return Vec::new() };
            (order.iter())
                .flat_map(|first| {
                    // Every question has its place, asked or not.
                    let Some(outcome) = outcomes.get(first.question.as_str()) else {
                        return [strings.place(""), 0, strings.place(""), 0];
                    };
                    let (retrieved, answer) = (document(&outcome.document), strings.place(&outcome.answer));
                    [
                        strings.place(&retrieved),
                        code(outcome.lean_document, outcome.outcome_document),
                        answer,
                        code(outcome.lean_answer, outcome.outcome_answer),
                    ]
                })
                .collect()
        })
        .collect();
    Asked {
        llm: base.llm.is_some(),
        negative: base.negative.clone(),
        positive: base.positive.clone(),
        questions,
        embedders,
    }
}

/// 0 unscored, 1 the negative pole, 2 neither or both where it is not known which, 3 the positive pole, 4 neither, 5 both,
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

/// Strings by their place.
#[derive(Default)]
struct Strings {
    all: Vec<String>,
    places: HashMap<String, usize>,
}

impl Strings {
    fn place(&mut self, text: &str) -> usize {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        self.all.push(text.to_owned());
        self.places.insert(text.to_owned(), self.all.len() - 1);
        self.all.len() - 1
    }
}
