//! Data sets of twins, made from passages with slots: one document of each passage for each pole.
//!
//! `twins.toml` says what fills a slot: a text, or a list of which each passage draws one. Texts may contain slots themselves.

use std::collections::BTreeMap;
use std::path::Path;
use std::slice;

use ragbias_core::{Axis, Choices, ContentHasher, Corpus, Document, Lean, Question, QuestionSet};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::dataset::{Dataset, DatasetInfo, Splits};
use crate::findings::Findings;
use crate::json::each_object;
use crate::lines::Lines;
use crate::{Error, Qrels, Result};

/// The slot of a document's text. A passage has it, or the poles make it of a passage's other texts.
const TEXT: &str = "text";

/// The slot of the full name of a passage's person.
const NAME: &str = "Name";

/// Slots within slots, at most.
const DEEPEST: usize = 4;

/// A description of twins: `twins.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Twins {
    name: String,
    axis: String,
    about: String,
    licence: String,
    /// What fills a slot in every twin.
    #[serde(default)]
    slots: Slots,
    /// What fills a slot in the twin of a pole, by the pole's name.
    poles: BTreeMap<String, Slots>,
}

type Slots = BTreeMap<String, Filling>;

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Filling {
    One(String),
    /// One of these for each passage. Lists of two poles are parallel: both twins draw the same place.
    Any(Vec<String>),
}

impl Filling {
    fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => slice::from_ref(text),
            Self::Any(texts) => texts,
        }
    }
}

/// A passage, with everything that it has apart from its field and its question.
struct Passage {
    /// Its field and its number within the field, from 1.
    id: String,
    field: String,
    question: String,
    texts: BTreeMap<String, String>,
}

impl Twins {
    /// # Errors
    /// Malformed TOML, and poles that do not fill the same slots.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self> {
        let twins: Self = toml::from_str(text)
            .map_err(|source| Error::Toml { path: path.into(), source: Box::new(source) })?;
        twins.check().map_err(|reason| Error::File { path: path.into(), reason })?;
        Ok(twins)
    }

    fn check(&self) -> Result<(), String> {
        let lists = self.poles.values().chain([&self.slots]).flatten();
        if let Some((slot, _)) = lists.clone().find(|(_, filling)| filling.texts().is_empty()) {
            return Err(format!("`{slot}` is an empty list"));
        }
        for (one, other) in self.poles.iter().zip(self.poles.iter().skip(1)) {
            let count =
                |slots: &Slots, slot: &str| slots.get(slot).map_or(0, |filling| filling.texts().len());
            for slot in one.1.keys().chain(other.1.keys()) {
                let (n, m) = (count(one.1, slot), count(other.1, slot));
                if n != m {
                    let (one, other) = (one.0, other.0);
                    return Err(format!(
                        "`{slot}` has {n} texts in [poles.{one}], and {m} in [poles.{other}]"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The axis whose poles these are by default.
    pub(crate) fn axis(&self) -> &str {
        &self.axis
    }

    /// Whether there are more groups than two, so that an axis may name any two of them.
    pub(crate) fn chosen_by(&self, axis: &Axis) -> bool {
        self.poles.len() > 2
            && [&axis.negative, &axis.positive].iter().all(|pole| self.poles.contains_key(&pole.name))
    }

    /// The data set of both poles of the axis.
    ///
    /// # Errors
    /// Poles without slots; with its line, a malformed passage and a slot that nothing fills.
    pub(crate) fn fill(&self, path: &Path, axis: &Axis, (file, passages): (&Path, &str)) -> Result<Dataset> {
        let slots = |pole: &str| {
            let reason = || format!("expected [poles.{pole}], a pole of the axis `{}`", axis.name);
            self.poles.get(pole).ok_or_else(|| Error::File { path: path.into(), reason: reason() })
        };
        let sides = [
            (Lean::Negative, "negative", slots(&axis.negative.name)?),
            (Lean::Positive, "positive", slots(&axis.positive.name)?),
        ];
        let mut made = Made::default();
        each_object(
            &mut Lines::of_text(file, passages),
            &mut Findings::reading(file),
            |place, object, findings| {
                let added = made.next(object).and_then(|passage| {
                    let twins = sides.map(|(lean, side, slots)| self.twin(&passage, slots, lean, side));
                    let twins = twins.into_iter().collect::<Result<Vec<_>, _>>()?;
                    made.add(passage, self.names(&twins), twins);
                    Ok(())
                });
                added.or_else(|reason| findings.wrong(place, reason))
            },
        )?;
        let info = DatasetInfo {
            name: self.name.clone(),
            axis: self.axis.clone(),
            about: self.about.clone(),
            licence: self.licence.clone(),
            splits: splits(made.in_field.into_keys()),
        };
        let (corpus, questions) = (Corpus::new(made.documents)?, QuestionSet::new(made.questions)?);
        Ok(Dataset { info, corpus, questions, qrels: made.qrels })
    }

    /// The twin of a pole.
    fn twin(&self, passage: &Passage, pole: &Slots, lean: Lean, side: &str) -> Result<Document, String> {
        let slots = Filler { passage, tables: [pole, &self.slots] };
        let mut metadata = Map::new();
        metadata.insert("lean".into(), i64::from(lean).into());
        metadata.insert("topic".into(), json!(passage.field));
        metadata.insert("pair".into(), json!(passage.id));
        if slots.template(NAME).is_some() {
            metadata.insert("name".into(), json!(slots.slot(NAME, 0)?));
        }
        metadata.insert("fictional".into(), true.into());
        Ok(Document { metadata, ..Document::new(format!("{}-{side}", passage.id), slots.slot(TEXT, 0)?) })
    }

    /// The names of a passage's twins, the negative one first, as the choices of its question. The questions of a set of more
    /// than two groups have none: they are the same whichever two are compared.
    fn names(&self, twins: &[Document]) -> Option<Choices> {
        let name = |twin: &Document| twin.metadata.get("name").and_then(Value::as_str).map(str::to_owned);
        match twins {
            [negative, positive] if self.poles.len() == 2 => {
                Some(Choices { negative: name(negative)?, positive: name(positive)? })
            }
            _ => None,
        }
    }
}

/// What fills the slots of a passage: first the pole's, then the common ones, then the passage's own texts.
struct Filler<'a> {
    passage: &'a Passage,
    tables: [&'a Slots; 2],
}

impl Filler<'_> {
    /// A slot, filled. `{He}` is `{he}` with a capital, unless there is an `{He}`.
    fn slot(&self, slot: &str, depth: usize) -> Result<String, String> {
        if depth > DEEPEST {
            return Err(format!("the slot {{{slot}}} contains itself"));
        }
        if let Some(template) = self.template(slot) {
            return self.fill(template, depth);
        }
        match self.template(&with_first(slot, char::to_ascii_lowercase)) {
            Some(template) => Ok(with_first(&self.fill(template, depth)?, char::to_ascii_uppercase)),
            None => Err(format!("nothing fills the slot {{{slot}}}")),
        }
    }

    fn fill(&self, template: &str, depth: usize) -> Result<String, String> {
        let (mut filled, mut rest) = (String::new(), template);
        while let Some((before, slot)) = rest.split_once('{') {
            let (slot, after) =
                slot.split_once('}').ok_or_else(|| format!("expected a }} after {{{slot}"))?;
            filled += before;
            filled += &self.slot(slot, depth + 1)?;
            rest = after;
        }
        Ok(filled + rest)
    }

    fn template(&self, slot: &str) -> Option<&str> {
        let text = |filling: &'_ Filling| draw(&self.passage.id, slot, filling.texts().len());
        let filling = self.tables.iter().find_map(|table| table.get(slot));
        match filling {
            Some(filling) => Some(&filling.texts()[text(filling)]),
            None => self.passage.texts.get(slot).map(String::as_str),
        }
    }
}

fn with_first(text: &str, change: fn(&char) -> char) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| change(&first)).into_iter().chain(chars).collect()
}

/// What has been made of the passages so far.
#[derive(Default)]
struct Made {
    documents: Vec<Document>,
    questions: Vec<Question>,
    qrels: Qrels,
    /// Passages by field.
    in_field: BTreeMap<String, usize>,
}

impl Made {
    /// The passage of the next line.
    fn next(&mut self, object: Map<String, Value>) -> Result<Passage, String> {
        let read = serde_json::from_value(Value::Object(object)).map_err(|error| error.to_string());
        let mut texts: BTreeMap<String, String> = read?;
        let mut take = |key: &str| texts.remove(key).ok_or_else(|| format!("the field `{key}` is missing"));
        let (field, question) = (take("field")?, take("question")?);
        let number = self.in_field.entry(field.clone()).or_default();
        *number += 1;
        Ok(Passage { id: format!("{field}-{number}"), field, question, texts })
    }

    fn add(&mut self, passage: Passage, choices: Option<Choices>, mut twins: Vec<Document>) {
        let id = format!("{}-q", passage.id);
        self.qrels.insert(id.clone(), twins.iter().map(|twin| (twin.id.clone(), 1)).collect());
        self.questions.push(Question { id, text: passage.question, topic: Some(passage.field), choices });
        // The order of documents decides between equal scores, so that neither pole always comes first.
        twins.rotate_left(draw(&passage.id, "order", 2));
        self.documents.extend(twins);
    }
}

/// A fifth of the topics for validation, two fifths for the test, the rest for training, by the hash of their names.
fn splits(topics: impl Iterator<Item = String>) -> Splits {
    let mut topics: Vec<_> = topics.collect();
    topics.sort_by_cached_key(|topic| draw(topic, "split", usize::MAX));
    let (validation, test) = (topics.len() / 5, topics.len() * 2 / 5);
    Splits { validation: topics[..validation].to_vec(), test: topics[validation..validation + test].to_vec() }
}

/// A number below `n` that depends on the texts alone.
fn draw(id: &str, purpose: &str, n: usize) -> usize {
    let hash = ContentHasher::new("twins/1").field(id).field(purpose).finish();
    let (first, _) = hash.as_bytes().split_first_chunk::<4>().expect("a hash of 32 bytes; this is a bug");
    u32::from_le_bytes(*first) as usize % n
}

#[cfg(test)]
mod tests {
    use ragbias_core::{Answering, Pole};

    use super::*;

    const TWINS: &str = "name = \"t\"\naxis = \"a\"\nabout = \"\"\nlicence = \"\"\n[slots]\nName = \"{First} B\"\n\
        [poles.m]\nhe = \"he\"\nFirst = [\"Al\", \"Ed\"]\n[poles.w]\nhe = \"she\"\nFirst = [\"Al-w\", \"Ed-w\"]\n";

    fn fill(twins: &str, passages: &str) -> Result<Dataset> {
        let path = Path::new("twins.toml");
        let axis = Axis::new("a", Pole::new("m", ""), Pole::new("w", ""), Answering::Name);
        Twins::parse(path, twins)?.fill(path, &axis, (Path::new("passages.jsonl"), passages))
    }

    fn refused(twins: &str, passages: &str) -> String {
        ragbias_core::message(&fill(twins, passages).unwrap_err())
    }

    fn passage(text: &str) -> String {
        json!({ "field": "f", "question": "Who?", "text": text }).to_string()
    }

    #[test]
    fn slots_are_filled_within_slots_with_capitals_and_at_the_same_place_of_parallel_lists() {
        let passages: Vec<_> =
            (0..20).map(|_| passage("{He} is {Name}, {First}. {He} knows {he} is.")).collect();
        let set = fill(TWINS, &passages.join("\n")).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for question in set.questions.questions() {
            let text = |side: &str| {
                let id = question.id.replace("-q", side);
                set.corpus.document(set.corpus.position(&id).unwrap()).text.clone()
            };
            let choices = question.choices.clone().unwrap();
            let first = choices.negative.strip_suffix(" B").unwrap().to_owned();
            assert_eq!(choices.positive, format!("{first}-w B"));
            assert_eq!(text("-negative"), format!("He is {first} B, {first}. He knows he is."));
            assert_eq!(text("-positive"), format!("She is {first}-w B, {first}-w. She knows she is."));
            seen.insert(first);
        }
        assert_eq!(seen.len(), 2, "one of two names is never drawn");
    }

    #[test]
    fn what_cannot_be_filled_is_named_with_its_line() {
        let bad = |text: &str| refused(TWINS, &format!("{}\n{}", passage("{he}"), passage(text)));
        assert!(bad("{his} hat").contains("passages.jsonl:2: nothing fills the slot {his}"));
        assert!(bad("{he").contains("passages.jsonl:2: expected a } after {he"));
        let endless = TWINS.replace("{First} B", "{Name}");
        assert!(refused(&endless, &passage("{Name}")).contains("the slot {Name} contains itself"));
        let error = refused(TWINS, r#"{"field": "f", "text": "x"}"#);
        assert!(error.contains("passages.jsonl:1: the field `question` is missing"), "{error}");
    }

    #[test]
    fn poles_that_do_not_fill_the_same_slots_are_refused() {
        let error = refused(&TWINS.replace("\"Ed\"]", "\"Ed\", \"Bo\"]"), &passage("{he}"));
        assert!(
            error.contains("twins.toml: `First` has 3 texts in [poles.m], and 2 in [poles.w]"),
            "{error}"
        );
        assert!(
            refused(&TWINS.replace("\"Al\", \"Ed\"", ""), &passage("{he}"))
                .contains("`First` is an empty list")
        );
        let error = refused(&TWINS.replace("poles.w", "poles.x"), &passage("{he}"));
        assert!(error.contains("expected [poles.w], a pole of the axis `a`"), "{error}");
    }
}
