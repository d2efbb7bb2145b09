//! Documents that an author edits for a question, and where they end.

use std::collections::{BTreeMap, BTreeSet};

use ragbias::core::Question;
use serde::{Deserialize, Serialize};

use super::chunks::Chunked;
use super::collection::Collection;
use super::edits::Edit;
use super::search::Search;
use super::swapper::Swapper;
use crate::bench::Bench;
use crate::error::Result;
use crate::hotflip::before;

/// One edited document, for one question.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Edited {
    /// The number of the question.
    pub(super) row: usize,
    pub(super) topic: String,
    /// The place of the document in the corpus.
    pub(super) place: usize,
    /// Its rank before the edit.
    pub(super) start: usize,
    pub(super) edit: Edit,
    pub(super) text: String,
    /// Its rank with each embedder, from 1; the first is the one that the starting ranks are of.
    pub(super) ranks: Vec<usize>,
    /// Its rank with the first embedder if documents are found by the greatest of their chunks, and by the mean; none without chunks.
    pub(super) over_chunks: Option<[usize; 2]>,
}

/// How documents are edited.
pub(super) struct Editing<'a> {
    pub(super) collection: &'a Collection,
    /// Of the embedder that the author can search with, and of those that it cannot.
    pub(super) searches: &'a [Search],
    /// Of the first embedder.
    pub(super) chunked: Option<&'a Chunked>,
    pub(super) swapper: Option<&'a Swapper>,
    /// By the number of the question, where there is one.
    pub(super) paraphrases: &'a BTreeMap<usize, String>,
    pub(super) ranks: &'a [usize],
}

impl Editing<'_> {
    /// Every edit of the document at every starting rank for a question.
    pub(super) fn of(&self, row: usize, bench: &Bench) -> Result<Vec<Edited>> {
        let searches: Vec<_> = self.searches.iter().map(Search::id).collect();
        let swapper = self.swapper.map(Swapper::id);
        let chunk_words = self.chunked.map(Chunked::words);
        let key = (searches, chunk_words, swapper, self.paraphrases.get(&row), self.ranks, bench.seed(), row);
        bench.kept("edited", &key, || self.edited(row, bench.seed()))
    }

    fn edited(&self, row: usize, seed: u64) -> Result<Vec<Edited>> {
        let question = &self.collection.questions[row];
        let ranked = self.searches[0].ranked(row);
        let mut edited = Vec::new();
        for &start in self.ranks.iter().filter(|&&start| start <= ranked.len()) {
            let place = ranked[start - 1];
            let document = self.collection.text(place);
            for edit in Edit::ALL {
                let seed = seed.wrapping_mul(1_000_003).wrapping_add((row * 10_007 + start) as u64);
                let Some(words) = self.words(edit, row, &document, seed)? else { continue };
                let text = before(&words, &document);
                edited.push(Edited {
                    row,
                    topic: question.cluster().into(),
                    place,
                    start,
                    edit,
                    ranks: Vec::new(),
                    over_chunks: self.chunked.map(|chunked| chunked.ranks(row, &text, place)).transpose()?,
                    text,
                });
            }
        }
        let texts: Vec<String> = edited.iter().map(|one| one.text.clone()).collect();
        for search in self.searches {
            let scores = search.scores(row, &search.vectors(&texts)?);
            for (one, score) in edited.iter_mut().zip(scores) {
                one.ranks.push(search.rank_of(row, score, one.place));
            }
        }
        Ok(edited)
    }

    /// What an edit puts before a document; none for words by gradients without an author who has them, and for a question without a
    /// paraphrase.
    fn words(&self, edit: Edit, row: usize, document: &str, seed: u64) -> Result<Option<String>> {
        let Question { text, .. } = &self.collection.questions[row];
        if edit == Edit::Paraphrase {
            return Ok(self.paraphrases.get(&row).cloned());
        }
        if let Some(words) = edit.repeated(text) {
            return Ok(Some(words));
        }
        let vector = self.searches[0].question(row);
        self.swapper.map(|swapper| swapper.words(text, vector, document, seed)).transpose()
    }
}

/// The edits of one document for each question, whose starting rank is the next one with each question.
pub(super) fn in_turn(edited: &[Edited]) -> Vec<&Edited> {
    let mut starts: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for one in edited {
        starts.entry(one.row).or_default().insert(one.start);
    }
    let turns = starts.iter().enumerate();
    let turns: BTreeMap<usize, Option<usize>> =
        turns.map(|(turn, (row, starts))| (*row, starts.iter().nth(turn % starts.len()).copied())).collect();
    edited.iter().filter(|one| turns[&one.row] == Some(one.start)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starting_ranks_take_turns() {
        let edited = |row, start, edit| Edited {
            row,
            topic: "t".into(),
            place: 0,
            start,
            edit,
            text: String::new(),
            ranks: Vec::new(),
            over_chunks: None,
        };
        let all: Vec<Edited> = [4, 7, 9]
            .into_iter()
            .flat_map(|row| [20, 101].map(|start| (row, start)))
            .flat_map(|(row, start)| [Edit::Question, Edit::Twice].map(|edit| edited(row, start, edit)))
            .collect();
        let chosen: Vec<(usize, usize)> = in_turn(&all).iter().map(|one| (one.row, one.start)).collect();
        assert_eq!(chosen, [(4, 20), (4, 20), (7, 101), (7, 101), (9, 20), (9, 20)]);
    }
}
