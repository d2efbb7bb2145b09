use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::{Choices, Corpus, DocId, Document, Error, Lean, Result};

/// Two documents that differ in a person's name, pronouns and title alone, and so in their lean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Twins {
    /// The document of lean −1.
    pub negative: DocId,
    /// The document of lean +1.
    pub positive: DocId,
}

impl Twins {
    /// Both documents.
    pub fn both(self) -> [DocId; 2] {
        [self.negative, self.positive]
    }

    /// Their names: `metadata.name` of each, as it stands in the text.
    ///
    /// # Errors
    /// [`Error::Pair`] for a document without a name, or whose text lacks it, and for twins of the same name.
    pub fn names(self, corpus: &Corpus) -> Result<Choices> {
        let name = |document: DocId| -> Result<String> {
            let document = corpus.document(document);
            let wrong = |reason: String| {
                let pair = pair(document).ok().flatten().unwrap_or_default();
                Error::Pair { pair, reason: format!("document `{}` {reason}", document.id) }
            };
            let name = document.metadata.get("name").and_then(Value::as_str).unwrap_or_default().trim();
            if name.is_empty() {
                Err(wrong("has no `metadata.name`, expected the person's name in full".into()))
            } else if document.full_text().contains(name) {
                Ok(name.to_owned())
            } else {
                Err(wrong(format!("does not contain its `metadata.name`, `{name}`")))
            }
        };
        let Self { negative, positive } = self;
        let names = Choices { negative: name(negative)?, positive: name(positive)? };
        if names.negative == names.positive {
            let pair = pair(corpus.document(negative))?.unwrap_or_default();
            let reason = format!("both documents have the name `{}`", names.negative);
            return Err(Error::Pair { pair, reason });
        }
        Ok(names)
    }
}

/// The twins of a corpus: documents with the same `metadata.pair` and opposite `metadata.lean`.
///
/// A passage may be there with several pairs of names: then its twins share `metadata.draw`, too, a whole number. All passages have
/// as many draws, so that a mean over comparisons is one over passages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs {
    /// For each passage, its twins by draw.
    passages: Vec<Vec<Twins>>,
    /// Passage and draw of a document.
    places: HashMap<DocId, (usize, usize)>,
}

impl Pairs {
    /// The twins of a corpus; none if no document has a `metadata.pair`.
    ///
    /// # Errors
    /// [`Error::Pair`] for a pair of one document, or of more than two, or whose leans are not −1 and +1; for a `pair` that is neither
    /// text nor a whole number; for a `draw` that is no whole number or whose document has no pair, a passage that has one in some
    /// of its documents alone, and passages of different numbers of draws.
    pub fn of(corpus: &Corpus) -> Result<Option<Self>> {
        let mut found: BTreeMap<String, BTreeMap<Option<u64>, Vec<DocId>>> = BTreeMap::new();
        for (number, document) in corpus.documents().iter().enumerate() {
            if let Some(pair) = pair(document)? {
                let draw = draw(document, &pair)?;
                found.entry(pair).or_default().entry(draw).or_default().push(DocId(number as u32));
            }
        }
        if found.is_empty() {
            return Ok(None);
        }
        if let Some(single) = corpus.documents().iter().find(|document| has_draw_alone(document)) {
            let reason = format!("document `{}` has a `metadata.draw` and no `metadata.pair`", single.id);
            return Err(Error::Pair { pair: String::new(), reason });
        }
        check_draws(&found)?;
        let (mut passages, mut places) = (Vec::with_capacity(found.len()), HashMap::new());
        for (pair, draws) in found {
            let mut passage = Vec::with_capacity(draws.len());
            for (draw, documents) in draws {
                let twins = twins(corpus, &documents).map_err(|reason| {
                    let draw = draw.map_or_else(String::new, |draw| format!(", draw {draw}"));
                    Error::Pair { pair: pair.clone(), reason: format!("{reason}{draw}") }
                })?;
                places.extend(twins.both().map(|document| (document, (passages.len(), passage.len()))));
                passage.push(twins);
            }
            passages.push(passage);
        }
        Ok(Some(Self { passages, places }))
    }

    /// The twins that a document is one of.
    pub fn twins(&self, document: DocId) -> Option<Twins> {
        self.places.get(&document).map(|&(passage, draw)| self.passages[passage][draw])
    }

    /// How many pairs of names each passage is there with, at least 1.
    pub fn draws(&self) -> usize {
        self.passages.first().map_or(1, Vec::len)
    }

    /// The number of a document's passage, and its twins in every draw of names.
    pub fn passage(&self, document: DocId) -> Option<(usize, &[Twins])> {
        self.places.get(&document).map(|&(passage, _)| (passage, self.passages[passage].as_slice()))
    }
}

/// The pair of a document, if it is in one.
fn pair(document: &Document) -> Result<Option<String>> {
    match document.metadata.get("pair") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(pair)) if !pair.trim().is_empty() => Ok(Some(pair.trim().into())),
        Some(Value::Number(pair)) if !pair.is_f64() => Ok(Some(pair.to_string())),
        Some(other) => Err(Error::Pair {
            pair: other.to_string(),
            reason: format!("document `{}`: expected text or a whole number", document.id),
        }),
    }
}

fn has_draw_alone(document: &Document) -> bool {
    let has = |key: &str| document.metadata.get(key).is_some_and(|value| !value.is_null());
    has("draw") && !has("pair")
}

/// Refuses a passage with and without draws, and passages of different numbers of them.
fn check_draws<T>(found: &BTreeMap<String, BTreeMap<Option<u64>, T>>) -> Result<()> {
    let mut passages = found.iter();
    let Some((first, expected)) = passages.next() else { return Ok(()) };
    for (pair, draws) in found {
        if draws.len() > 1 && draws.contains_key(&None) {
            let reason = "expected a `metadata.draw` of all its documents or of none".into();
            return Err(Error::Pair { pair: pair.clone(), reason });
        }
    }
    match passages.find(|(_, draws)| draws.len() != expected.len()) {
        None => Ok(()),
        Some((pair, draws)) => {
            let (expected, received) = (expected.len(), draws.len());
            let reason = format!(
                "expected draws of names as many as pair `{first}` has, {expected}, received {received}"
            );
            Err(Error::Pair { pair: pair.clone(), reason })
        }
    }
}

fn draw(document: &Document, pair: &str) -> Result<Option<u64>> {
    match document.metadata.get("draw") {
        None | Some(Value::Null) => Ok(None),
        Some(draw) => draw.as_u64().map(Some).ok_or_else(|| Error::Pair {
            pair: pair.into(),
            reason: format!("document `{}`: draw is {draw}, expected a whole number from 0", document.id),
        }),
    }
}

/// The two documents of a pair, or what is wrong with it.
fn twins(corpus: &Corpus, documents: &[DocId]) -> Result<Twins, String> {
    let named = |documents: &[DocId]| {
        let ids = documents.iter().take(5).map(|document| format!("`{}`", corpus.document(*document).id));
        ids.collect::<Vec<_>>().join(", ")
    };
    let &[first, second] = documents else {
        return Err(format!("expected two documents, received {}: {}", documents.len(), named(documents)));
    };
    let lean = |document: DocId| corpus.document(document).gold_lean().map_err(|error| error.to_string());
    match (lean(first)?, lean(second)?) {
        (Some(Lean::Negative), Some(Lean::Positive)) => Ok(Twins { negative: first, positive: second }),
        (Some(Lean::Positive), Some(Lean::Negative)) => Ok(Twins { negative: second, positive: first }),
        leans => {
            let shown = |lean: Option<Lean>| lean.map_or_else(|| "none".into(), |lean| lean.to_string());
            Err(format!(
                "expected leans of -1 and 1, received {} and {} in {}",
                shown(leans.0),
                shown(leans.1),
                named(documents)
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn corpus(metadata: &[Value]) -> Corpus {
        let document = |(number, metadata): (usize, &Value)| -> Document {
            let text = format!("A text about {}.", metadata["name"].as_str().unwrap_or("nobody"));
            serde_json::from_value(json!({ "_id": format!("d{number}"), "text": text, "metadata": metadata }))
                .unwrap()
        };
        Corpus::new(metadata.iter().enumerate().map(document).collect()).unwrap()
    }

    fn refused(metadata: &[Value]) -> String {
        Pairs::of(&corpus(metadata)).unwrap_err().to_string()
    }

    #[test]
    fn twins_are_found_by_their_pair_in_any_order_and_by_draw() {
        assert_eq!(Pairs::of(&corpus(&[json!({ "lean": 1 })])).unwrap(), None);
        let corpus = corpus(&[
            json!({ "pair": "a", "lean": 1, "draw": 1 }),
            json!({ "pair": 7, "lean": -1, "draw": 3 }),
            json!({ "pair": "a", "lean": -1, "draw": 0 }),
            json!({ "pair": "a", "lean": -1, "draw": 1 }),
            json!({ "lean": 1 }),
            json!({ "pair": 7, "lean": 1, "draw": 3 }),
            json!({ "pair": "a", "lean": 1, "draw": 0 }),
            json!({ "pair": 7, "lean": 1, "draw": 4 }),
            json!({ "pair": 7, "lean": -1, "draw": 4 }),
        ]);
        let pairs = Pairs::of(&corpus).unwrap().unwrap();
        let twins = |negative, positive| Twins { negative: DocId(negative), positive: DocId(positive) };
        assert_eq!(pairs.twins(DocId(0)), Some(twins(3, 0)));
        assert_eq!(pairs.twins(DocId(5)), Some(twins(1, 5)));
        assert_eq!(pairs.twins(DocId(4)), None);
        assert_eq!(pairs.draws(), 2);
        assert_eq!(pairs.passage(DocId(6)).unwrap().1, [twins(2, 6), twins(3, 0)]);
    }

    #[test]
    fn a_pair_that_is_none_is_refused_by_name() {
        let of = |lean: i64| json!({ "pair": "p", "lean": lean });
        assert_eq!(refused(&[of(1)]), "pair `p`: expected two documents, received 1: `d0`");
        let three = refused(&[of(1), of(-1), of(1)]);
        assert_eq!(three, "pair `p`: expected two documents, received 3: `d0`, `d1`, `d2`");
        let same = refused(&[of(1), of(1)]);
        assert_eq!(same, "pair `p`: expected leans of -1 and 1, received 1 and 1 in `d0`, `d1`");
        assert!(refused(&[of(1), of(0)]).contains("received 1 and 0"));
        assert!(refused(&[of(1), json!({ "pair": "p" })]).contains("received 1 and none"));
        assert!(refused(&[json!({ "pair": [1], "lean": 1 })]).contains("expected text or a whole number"));
        let drawn = |pair: &str, lean: i64, draw: u64| json!({ "pair": pair, "lean": lean, "draw": draw });
        let some = refused(&[of(1), drawn("p", -1, 3)]);
        assert_eq!(some, "pair `p`: expected a `metadata.draw` of all its documents or of none");
        let single = refused(&[drawn("p", 1, 0), drawn("p", -1, 1)]);
        assert_eq!(single, "pair `p`: expected two documents, received 1: `d0`, draw 0");
        let uneven = refused(&[
            drawn("p", 1, 0),
            drawn("p", -1, 0),
            drawn("p", 1, 1),
            drawn("p", -1, 1),
            drawn("q", 1, 0),
            drawn("q", -1, 0),
        ]);
        assert_eq!(uneven, "pair `q`: expected draws of names as many as pair `p` has, 2, received 1");
        let alone = refused(&[of(1), of(-1), json!({ "draw": 1 })]);
        assert!(alone.contains("document `d2` has a `metadata.draw` and no `metadata.pair`"), "{alone}");
        assert!(refused(&[json!({ "pair": "p", "lean": 1, "draw": 0.5 })]).contains("draw is 0.5"));
    }

    #[test]
    fn names_stand_in_their_texts_and_differ() {
        let of = |lean: i64, name: &str| json!({ "pair": "p", "lean": lean, "name": name });
        let named = |metadata: &[Value]| {
            let corpus = corpus(metadata);
            let pairs = Pairs::of(&corpus).unwrap().unwrap();
            pairs.twins(DocId(0)).unwrap().names(&corpus).map_err(|error| error.to_string())
        };
        let expected = Choices { negative: "Jan Roe".into(), positive: "Ann Roe".into() };
        assert_eq!(named(&[of(1, "Ann Roe"), of(-1, "Jan Roe")]), Ok(expected));
        let missing = named(&[of(1, "Ann Roe"), json!({ "pair": "p", "lean": -1 })]).unwrap_err();
        assert!(missing.starts_with("pair `p`: document `d1` has no `metadata.name`"), "{missing}");
        assert!(named(&[of(1, "Ann Roe"), of(-1, "Ann Roe")]).unwrap_err().contains("both documents"));
        let mut corpus = corpus(&[of(1, "Ann Roe"), of(-1, "Jan Roe")]).documents().to_vec();
        corpus[1].text = "A text about Jan.".into();
        let corpus = Corpus::new(corpus).unwrap();
        let twins = Pairs::of(&corpus).unwrap().unwrap().twins(DocId(0)).unwrap();
        assert!(twins.names(&corpus).unwrap_err().to_string().contains("`d1` does not contain"));
    }
}
