//! Documents that an author adds about each topic, and what is found first with them.

use ragbias::core::{Lean, Unit};

use super::collection::Collection;
use super::edits::Edit;
use super::search::Search;
use crate::bench::Bench;
use crate::error::Result;
use crate::hotflip::before;

/// Who adds documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Author {
    /// Has passages of the pole about something else.
    Stranger,
    /// Has the pole's passages that answer the questions.
    Expert,
}

impl Author {
    pub(super) const ALL: [Self; 2] = [Self::Stranger, Self::Expert];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stranger => "a stranger",
            Self::Expert => "an expert",
        }
    }
}

/// A question before the copy of a passage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) text: String,
    /// The place of the passage in the corpus.
    pub(super) passage: usize,
}

/// What is found first for a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First<'a> {
    /// The document of the corpus at this place.
    Own(usize),
    /// A document that was added.
    Added(&'a Copied),
}

/// What one author adds about each topic, in the order in which it is added.
pub(super) struct Added {
    pub(super) author: Author,
    /// The documents about each topic.
    pub(super) documents: Vec<Vec<Copied>>,
    /// The topic of each question, by number.
    topics: Vec<usize>,
    /// For each question, the scores of what is added about its topic.
    scores: Vec<Vec<f32>>,
}

impl Added {
    /// At most this many documents of a pole about each topic.
    pub(super) fn by(
        author: Author,
        most: usize,
        towards: Lean,
        collection: &Collection,
        search: &Search,
        bench: &Bench,
    ) -> Result<Self> {
        let rows = collection.topics();
        let name = format!("adding documents by {}", author.name());
        let step = bench.progress().begin(&name, rows.len() as u64, Unit::Items);
        let mut added = Self {
            author,
            documents: Vec::with_capacity(rows.len()),
            topics: vec![0; collection.questions.len()],
            scores: vec![Vec::new(); collection.questions.len()],
        };
        for (topic, rows) in rows.iter().enumerate() {
            let documents = match author {
                Author::Stranger => by_stranger(topic, rows, most, towards, collection),
                Author::Expert => by_expert(rows, most, towards, collection),
            };
            let texts: Vec<String> = documents.iter().map(|document| document.text.clone()).collect();
            let vectors = (!texts.is_empty()).then(|| search.vectors(&texts)).transpose()?;
            for &row in rows {
                added.topics[row] = topic;
                added.scores[row] = vectors.as_ref().map_or_else(Vec::new, |all| search.scores(row, all));
            }
            added.documents.push(documents);
            step.advance(1);
        }
        Ok(added)
    }

    /// Whether there is nothing that the author can add.
    pub(super) fn is_empty(&self) -> bool {
        self.documents.iter().all(Vec::is_empty)
    }

    /// The scores for a question of the first `count` documents about its topic.
    pub(super) fn scores(&self, row: usize, count: usize) -> &[f32] {
        let scores = &self.scores[row];
        &scores[..count.min(scores.len())]
    }

    /// What is found first for a question with `count` documents about each topic, beside the document at `own` with its score. One of
    /// the corpus comes before others of its score.
    pub(super) fn first(&self, row: usize, count: usize, (own, score): (usize, f32)) -> First<'_> {
        let (mut first, mut best) = (First::Own(own), score);
        for (document, &score) in self.documents[self.topics[row]].iter().zip(self.scores(row, count)) {
            if score > best {
                (first, best) = (First::Added(document), score);
            }
        }
        first
    }
}

fn copied(question: usize, passage: usize, collection: &Collection) -> Copied {
    let question = &collection.questions[question].text;
    let words = Edit::Question.repeated(question).unwrap_or_default();
    Copied { text: before(&words, &collection.text(passage)), passage }
}

/// The topic's questions in turn, before passages of the pole that answer none of them; each passage is used about once over topics.
fn by_stranger(
    topic: usize,
    rows: &[usize],
    most: usize,
    towards: Lean,
    collection: &Collection,
) -> Vec<Copied> {
    let relevant: Vec<usize> = rows.iter().flat_map(|&row| collection.relevant(row)).collect();
    let passages: Vec<usize> = (0..collection.len())
        .filter(|place| collection.leans[*place] == Some(towards) && !relevant.contains(place))
        .collect();
    if passages.is_empty() {
        return Vec::new();
    }
    // A large prime spreads neighbouring numbers over the corpus.
    let passage = |number: usize| passages[(topic * most + number) * 7919 % passages.len()];
    (0..most).map(|number| copied(rows[number % rows.len()], passage(number), collection)).collect()
}

/// Each of the topic's questions, before the passage of the pole that answers it.
fn by_expert(rows: &[usize], most: usize, towards: Lean, collection: &Collection) -> Vec<Copied> {
    let passage = |row: usize| {
        collection.relevant(row).into_iter().find(|&place| collection.leans[place] == Some(towards))
    };
    let with_passage = rows.iter().filter_map(|&row| Some(copied(row, passage(row)?, collection)));
    with_passage.take(most).collect()
}
