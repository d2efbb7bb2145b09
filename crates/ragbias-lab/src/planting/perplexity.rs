//! How unlikely an LLM holds a document.

use std::collections::BTreeSet;

use super::collection::Collection;
use super::defences::{Suspicion, by_edit};
use super::edited::{Edited, in_turn};
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
