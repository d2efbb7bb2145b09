//! Documents that nearly repeat another one.

use std::collections::{BTreeSet, HashMap};

use super::added::Added;
use super::collection::Collection;
use super::defences::Suspicion;

/// Words of a run.
const RUN: usize = 5;

/// The runs of words of some texts, and which texts have each.
struct Runs {
    texts: HashMap<Vec<String>, BTreeSet<usize>>,
}

impl Runs {
    fn of(texts: impl Iterator<Item = String>) -> Self {
        let mut runs = Self { texts: HashMap::new() };
        for (place, text) in texts.enumerate() {
            for run in runs_of(&text) {
                runs.texts.entry(run).or_default().insert(place);
            }
        }
        runs
    }

    /// The greatest share of a text's runs that one of the texts has, other than that at `except`; 0 for a text of fewer words.
    fn repeated(&self, text: &str, except: Option<usize>) -> f64 {
        let own = runs_of(text);
        let mut shared: HashMap<usize, usize> = HashMap::new();
        for place in own.iter().filter_map(|run| self.texts.get(run)).flatten() {
            if Some(*place) != except {
                *shared.entry(*place).or_default() += 1;
            }
        }
        shared.values().copied().max().map_or(0.0, |most| most as f64 / own.len() as f64)
    }
}

/// The runs of five words of a text, in lower case and without punctuation.
fn runs_of(text: &str) -> BTreeSet<Vec<String>> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(str::to_lowercase).collect();
    words.windows(RUN).map(<[String]>::to_vec).collect()
}

/// The share of a document's runs of five words that another document of the corpus has. An edited document is in place of what it was, and
/// a copy of nothing: only what is added is looked at.
pub(super) fn duplicates<'a>(collection: &'a Collection, added: &[Added]) -> Suspicion<'a> {
    let runs = Runs::of((0..collection.len()).map(|place| collection.text(place)));
    let topics = collection.topics();
    let planted = added.iter().map(|added| {
        let documents = added.documents.iter().zip(&topics).flat_map(|(documents, rows)| {
            documents.iter().map(|copied| (collection.topic(rows[0]), runs.repeated(&copied.text, None)))
        });
        (format!("what {} adds", added.author.name()), documents.collect())
    });
    Suspicion {
        name: "near-duplicates",
        meaning: "the share of a document's runs of five words that another one has",
        own: (0..collection.len())
            .map(|place| Some(runs.repeated(&collection.text(place), Some(place))))
            .collect(),
        planted: planted.collect(),
        rows: (0..collection.questions.len()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_repeats_its_source_and_another_text_nothing() {
        let texts = ["One two three four five six.", "Seven eight nine ten eleven twelve.", "Too short."];
        let runs = Runs::of(texts.iter().map(|text| (*text).to_owned()));
        assert_eq!(runs.repeated("one, TWO three four five six", None), 1.0);
        assert_eq!(runs.repeated(texts[0], Some(0)), 0.0);
        assert_eq!(runs.repeated("Who? One two three four five six", None), 2.0 / 3.0);
        assert_eq!(runs.repeated("six five four three two one", None), 0.0);
        assert_eq!(runs.repeated(texts[2], None), 0.0);
    }
}
