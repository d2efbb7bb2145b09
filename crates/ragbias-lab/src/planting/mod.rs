//! How many documents must an author edit or add to be retrieved, and to move E_b and R_b?

mod added;
mod answers;
mod bias;
mod cap;
mod chunks;
mod collection;
mod defences;
mod duplicates;
mod edited;
mod edits;
mod found;
mod paraphrases;
mod perplexity;
mod ranks;
mod search;
mod swapper;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ragbias::core::{Answering, Axis, Lean, Silent, Unit};
use ragbias::data::{Split, load_axis, sample};
use ragbias::tune::Towards;
use ragbias::{Inputs, LlmName};
use serde::{Deserialize, Serialize};

use self::added::{Added, Author};
use self::answers::Asking;
use self::chunks::Chunked;
use self::collection::Collection;
use self::defences::{Suspicion, shared_words};
use self::duplicates::duplicates;
use self::edited::{Edited, Editing};
use self::found::Found;
use self::paraphrases::Paraphraser;
use self::perplexity::perplexity;
use self::search::Search;
use self::swapper::Swapper;
use crate::asking::Llm;
use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::hotflip::Optimisation;
use crate::instrument::Instrument;
use crate::report::Report;
use crate::tuning::pole;

/// How many documents must an author edit or add to be retrieved, and to move E_b and R_b?
///
/// For a sample of questions, the document at each starting rank is edited, and its new rank found. Then an author adds documents about each
/// topic: a question of the topic before a passage of the pole. An LLM answers with the document that is found first. Defences try to tell
/// what was planted from the corpus's own documents.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `axis`, `data`, `split` | `gender`, `gender-twins`, `validation` | corpus and questions | |
/// | `towards` | `female` | the pole of what is added | a pole of the axis |
/// | `embedder` | `minilm` | the embedder that the author can search with, and whose weights it has | |
/// | `unseen` | `mpnet` | embedders that the author does not search with; the edits are the same | |
/// | `llm` | `smollm2-135m` | the LLM that answers, and by which perplexity is measured; `""` for none | a name or a `.gguf` file |
/// | `paraphraser` | `qwen2.5-1.5b` | the LLM that rewords questions; `""` leaves this edit out | a name, a `.gguf` file or an endpoint |
/// | `questions` | 60 | questions for which documents are edited, in proportion to the size | 2 to 100,000 |
/// | `ranks` | 20, 101, 501, 1001 | starting ranks; those beyond the corpus are left out | 1 and more |
/// | `chunk-words` | 30 | most words of a chunk, where documents are found by chunks; 0 leaves this out | 0, 5 to 10,000 |
/// | `words` | 5 | words that gradients put before a document; 0 leaves this edit out | 0 to 30 |
/// | `passes` | 1 | how often each of these words is swapped | 1 to 1,000 |
/// | `candidates` | 10 | tokens of the greatest first-order gain that are tried in a swap | 1 to 10,000 |
/// | `added` | 1, 2, 4, 8 | documents that are added about each topic | 1 and more |
/// | `asked` | 105 | questions that the LLM is asked, in proportion to the size | 2 to 100,000 |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Planting {
    /// The axis.
    pub axis: String,
    /// The data set.
    pub data: String,
    /// The split of its questions.
    pub split: Split,
    /// The pole of what is added.
    pub towards: String,
    /// The embedder that the author can search with.
    pub embedder: String,
    /// Embedders that the author does not search with.
    pub unseen: Vec<String>,
    /// The LLM; empty for none.
    pub llm: LlmName,
    /// The LLM that rewords questions; empty for none.
    pub paraphraser: LlmName,
    /// Questions for which documents are edited, at size 1.
    pub questions: usize,
    /// Starting ranks of edited documents.
    pub ranks: Vec<usize>,
    /// Most words of a chunk.
    pub chunk_words: usize,
    /// Words that gradients put before a document.
    pub words: usize,
    /// How often each of these words is swapped.
    pub passes: usize,
    /// Tokens that are tried in a swap.
    pub candidates: usize,
    /// Documents that are added about each topic.
    pub added: Vec<usize>,
    /// Questions that the LLM is asked, at size 1.
    pub asked: usize,
}

impl Default for Planting {
    fn default() -> Self {
        Self {
            axis: "gender".into(),
            data: "gender-twins".into(),
            split: Split::Validation,
            towards: "female".into(),
            embedder: "minilm".into(),
            unseen: vec!["mpnet".into()],
            llm: "smollm2-135m".parse().expect("a name of the registry; this is a bug"),
            paraphraser: "qwen2.5-1.5b".parse().expect("a name of the registry; this is a bug"),
            questions: 60,
            ranks: vec![20, 101, 501, 1001],
            chunk_words: 30,
            words: 5,
            passes: 1,
            candidates: 10,
            added: vec![1, 2, 4, 8],
            asked: 105,
        }
    }
}

impl Instrument for Planting {
    fn name(&self) -> &'static str {
        "planting"
    }

    fn question(&self) -> &'static str {
        "How many documents must an author edit or add to be retrieved, and to move E_b and R_b?"
    }

    fn check(&self) -> Result<()> {
        let wrong = |setting, expected, received| Err(Error::Setting { setting, expected, received });
        let ranges = [
            ("questions", self.questions, 2..=100_000, "2 to 100000"),
            ("words", self.words, 0..=30, "0 to 30"),
            ("passes", self.passes, 1..=1000, "1 to 1000"),
            ("candidates", self.candidates, 1..=10_000, "1 to 10000"),
            ("asked", self.asked, 2..=100_000, "2 to 100000"),
        ];
        for (setting, value, range, expected) in ranges {
            if !range.contains(&value) {
                return wrong(setting, expected, value.to_string());
            }
        }
        if (1..5).contains(&self.chunk_words) || self.chunk_words > 10_000 {
            return wrong("chunk-words", "0, or 5 to 10000", self.chunk_words.to_string());
        }
        if self.ranks.is_empty() || self.ranks.contains(&0) {
            return wrong("ranks", "ranks from 1", format!("{:?}", self.ranks));
        }
        if self.added.is_empty() || self.added.contains(&0) {
            return wrong("added", "numbers from 1", format!("{:?}", self.added));
        }
        pole(&self.axis, &self.towards)?;
        let axis = load_axis(&self.axis)?;
        Inputs::of_dataset(&self.data, self.split, &axis, &Silent)?;
        Ok(())
    }

    fn run(&self, bench: &Bench) -> Result<Report> {
        let axis = load_axis(&self.axis)?;
        // What cannot be loaded is found before work starts.
        let llm = self.llm(&axis, bench)?;
        let paraphraser = self.paraphraser(&axis, bench)?;
        let swapper = self.swapper(&axis, bench)?;
        let collection = Collection::load(&axis, &self.data, self.split, bench)?;
        let mut searches = Vec::new();
        for name in self.embedders() {
            searches.push(Search::load(name, &collection, bench)?);
        }
        let mut report = Report::new(self.name(), self.question());
        let seed = bench.seed();

        let rows = sampled(&collection, bench.scaled(self.questions, 2), seed);
        let chunked = (self.chunk_words > 0)
            .then(|| Chunked::load(&self.embedder, &collection, self.chunk_words, bench))
            .transpose()?;
        let asked: Vec<(usize, &str)> =
            rows.iter().map(|&row| (row, collection.questions[row].text.as_str())).collect();
        let paraphrases = paraphraser.map(|llm| llm.of(&asked)).transpose()?;
        let reworded = paraphrases.as_ref().map(BTreeMap::len);
        let paraphrases = paraphrases.unwrap_or_default();
        let editing = Editing {
            collection: &collection,
            searches: &searches,
            chunked: chunked.as_ref(),
            swapper: swapper.as_ref(),
            paraphrases: &paraphrases,
            ranks: &self.ranks,
        };
        let edited = edited(&editing, &rows, bench)?;
        ranks::find(&edited, &collection, &self.embedders(), &self.ranks, seed, &mut report);

        let search = &searches[0];
        let authors = self.authors(&collection, search, bench)?;
        let all: Vec<usize> = (0..collection.questions.len()).collect();
        let found = Found::of(&all, &authors, &self.added, search);
        found.retrieved(self.lean()?, &collection).find(&self.towards, seed, &mut report);
        let pairs = collection.pairs.as_ref().filter(|_| axis.answering == Answering::Name);
        if let (Some(llm), Some(pairs)) = (&llm, pairs) {
            let asked = sampled(&collection, bench.scaled(self.asked, 2), seed);
            let asking = Asking { llm, axis: &axis, collection: &collection, pairs };
            let found = Found::of(&asked, &authors, &self.added, search);
            found.answered(&asking)?.find(&self.towards, seed, &mut report);
        }

        let mut suspicions = vec![shared_words(&collection, &edited)];
        if let Some(llm) = &llm {
            suspicions.push(perplexity(llm, &collection, search, &edited, &rows)?);
        }
        suspicions.push(duplicates(&collection, &authors));
        find_defences(&suspicions, &collection, search, seed, &mut report);
        cap::find(&collection, search, &authors, (self.lean()?, self.most()), seed, &mut report);
        report.notes.extend(notes(&collection, &rows, reworded, pairs.is_some()));
        Ok(report)
    }
}

/// The numbers of this many questions, spread over topics.
fn sampled(collection: &Collection, count: usize, seed: u64) -> Vec<usize> {
    let sampled = sample(&collection.questions, count, seed);
    let row = |id: &str| collection.questions.iter().position(|question| question.id == id);
    sampled.iter().filter_map(|question| row(&question.id)).collect()
}

/// Every edit of the document at every starting rank for some questions.
fn edited(editing: &Editing<'_>, rows: &[usize], bench: &Bench) -> Result<Vec<Edited>> {
    let step = bench.progress().begin("editing documents", rows.len() as u64, Unit::Items);
    let mut all = Vec::new();
    for &row in rows {
        all.extend(editing.of(row, bench)?);
        step.advance(1);
    }
    Ok(all)
}

/// Adds what every defence finds, and a table of them.
fn find_defences(
    suspicions: &[Suspicion<'_>],
    collection: &Collection,
    search: &Search,
    seed: u64,
    report: &mut Report,
) {
    let mut table = defences::table();
    for suspicion in suspicions {
        suspicion.find(collection, search, seed, report, &mut table);
    }
    report.tables.push(table);
}

impl Planting {
    /// The author's embedder, and the others.
    fn embedders(&self) -> Vec<&str> {
        std::iter::once(&self.embedder).chain(&self.unseen).map(String::as_str).collect()
    }

    fn lean(&self) -> Result<Lean> {
        Ok(match pole(&self.axis, &self.towards)? {
            Towards::Positive => Lean::Positive,
            Towards::Negative => Lean::Negative,
        })
    }

    /// The most documents that are added about a topic.
    fn most(&self) -> usize {
        self.added.iter().copied().max().unwrap_or(0)
    }

    fn llm<'b>(&self, axis: &Axis, bench: &'b Bench) -> Result<Option<Llm<'b>>> {
        (!self.llm.as_str().is_empty()).then(|| Llm::load(&self.llm, axis, bench)).transpose()
    }

    fn paraphraser<'b>(&self, axis: &Axis, bench: &'b Bench) -> Result<Option<Paraphraser<'b>>> {
        (!self.paraphraser.as_str().is_empty())
            .then(|| Paraphraser::load(&self.paraphraser, axis, bench))
            .transpose()
    }

    fn swapper(&self, axis: &Axis, bench: &Bench) -> Result<Option<Swapper>> {
        let Self { words: length, passes, candidates, .. } = *self;
        let how = Optimisation { length, passes, batch: 1, candidates, seed: bench.seed() };
        (length > 0).then(|| Swapper::load(&self.embedder, axis, how, bench)).transpose()
    }

    /// What each author adds; those who can add nothing are left out.
    fn authors(&self, collection: &Collection, search: &Search, bench: &Bench) -> Result<Vec<Added>> {
        let mut authors = Vec::new();
        for author in Author::ALL {
            let added = Added::by(author, self.most(), self.lean()?, collection, search, bench)?;
            if !added.is_empty() {
                authors.push(added);
            }
        }
        if authors.is_empty() {
            return Err(Error::TooFew { what: "documents of the pole", expected: 1, received: 0 });
        }
        Ok(authors)
    }
}

/// What the findings rest on, and what is not measured.
fn notes(collection: &Collection, rows: &[usize], reworded: Option<usize>, has_names: bool) -> Vec<String> {
    let mut notes = vec![format!(
        "{} documents, {} questions on {} topics, documents edited for {} of them.",
        collection.len(),
        collection.questions.len(),
        collection.topics().len(),
        rows.len(),
    )];
    if let Some(reworded) = reworded {
        notes.push(format!(
            "Of {} questions, {reworded} have a paraphrase, and its shares are of these: for the others the LLM's answer was cut, not one question alone, \
             had more than half of the question's content words, or showed a pole. \
             Whether a paraphrase means the same is not checked.",
            rows.len()
        ));
    }
    if !has_names {
        let without = "R_b is not measured: it takes twins, whose names are weighed as answers, and an axis that asks for a name.";
        notes.push(without.into());
    }
    notes
}
