//! How unlikely an LLM holds a document.

use std::collections::{BTreeMap, BTreeSet};

use super::collection::Collection;
use super::defences::{Suspicion, by_edit};
use super::edited::Edited;
use super::search::Search;
use crate::asking::Llm;
use crate::error::Result;

/// What documents are read as the answer to: it says nothing of what they are about.
const REQUEST: &str = "Write a short passage.";

/// The documents that decide nDCG@10 of a question.
const DEPTH: usize = 10;

/// The mean negative log-probability of a token. It is measured over the documents that are found first for some questions or answer them,
/// and over every edit of one document for each of these, whose starting ranks take turns.
pub(super) fn perplexity<'a>(
    llm: &Llm<'_>,
    collection: &Collection,
    search: &Search,
    edited: &'a [Edited],
    rows: &[usize],
) -> Result<Suspicion<'a>> {
    let found = |&row: &usize| search.ranked(row).into_iter().take(DEPTH).chain(collection.relevant(row));
    let places: BTreeSet<usize> = rows.iter().flat_map(found).collect();
    let own: Vec<String> = places.iter().map(|&place| collection.text(place)).collect();
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let planted = in_turn(edited);
    let texts: Vec<&str> = planted.iter().map(|one| one.text.as_str()).collect();
    let mut of_corpus = vec![None; collection.len()];
    for (place, surprise) in places.iter().zip(llm.surprise(REQUEST, &own, "reading its documents")?) {
        of_corpus[*place] = Some(surprise);
    }
    let of_planted = llm.surprise(REQUEST, &texts, "reading edited documents")?;
    Ok(Suspicion {
        name: "perplexity",
        meaning: "the mean negative log-probability of a document's tokens by the LLM",
        own: of_corpus,
        planted: by_edit(planted.into_iter().zip(of_planted)),
        rows: rows.to_vec(),
    })
}

/// The edits of one document for each question, whose starting rank is the next one with each question.
fn in_turn(edited: &[Edited]) -> Vec<&Edited> {
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
    use crate::planting::edits::Edit;

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
            containment: 0.0,
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
