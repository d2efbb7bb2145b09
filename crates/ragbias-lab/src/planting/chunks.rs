//! Documents that are embedded in chunks, and found by the nearest of them or by their mean.

use std::ops::Range;

use super::collection::Collection;
use super::search::Search;
use crate::bench::Bench;
use crate::error::Result;

/// How the score of a document follows from those of its chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// The greatest.
    Max,
    /// The mean.
    Mean,
}

impl Over {
    pub(super) const BOTH: [Self; 2] = [Self::Max, Self::Mean];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Max => "the greatest of its chunks",
            Self::Mean => "the mean of its chunks",
        }
    }

    fn of(self, scores: impl ExactSizeIterator<Item = f32>) -> f32 {
        let count = scores.len();
        match self {
            Self::Max => scores.fold(f32::NEG_INFINITY, f32::max),
            Self::Mean => scores.sum::<f32>() / count as f32,
        }
    }
}

/// The chunks of a corpus, and their scores for every question.
pub(super) struct Chunked {
    search: Search,
    /// The chunks of each document.
    spans: Vec<Range<usize>>,
    words: usize,
}

impl Chunked {
    /// Documents in chunks of at most this many words, as equal as they can be.
    pub(super) fn load(embedder: &str, collection: &Collection, words: usize, bench: &Bench) -> Result<Self> {
        let (mut texts, mut spans) = (Vec::new(), Vec::new());
        for place in 0..collection.len() {
            let first = texts.len();
            texts.extend(chunks(&collection.text(place), words));
            spans.push(first..texts.len());
        }
        Ok(Self { search: Search::over(embedder, &texts, collection, bench)?, spans, words })
    }

    /// Words of a chunk.
    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// The rank, from 1, of a text in place of a document, by the greatest and by the mean of the chunks of each.
    pub(super) fn ranks(&self, row: usize, text: &str, instead_of: usize) -> Result<[usize; 2]> {
        let scores = self.search.scores(row, &self.search.vectors(&chunks(text, self.words))?);
        Ok(Over::BOTH.map(|over| {
            let score = over.of(scores.iter().copied());
            let others = self.spans.iter().enumerate().filter(|(place, _)| *place != instead_of);
            let is_nearer = |span: &Range<usize>| {
                over.of(span.clone().map(|chunk| self.search.score(row, chunk))) > score
            };
            1 + others.filter(|(_, span)| is_nearer(span)).count()
        }))
    }
}

/// A text in chunks of at most this many words, as equal as they can be; the whole of one without words.
fn chunks(text: &str, words: usize) -> Vec<String> {
    let all: Vec<&str> = text.split_whitespace().collect();
    let count = all.len().div_ceil(words).max(1);
    (0..count)
        .map(|chunk| all[chunk * all.len() / count..(chunk + 1) * all.len() / count].join(" "))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_as_equal_as_they_can_be_and_lose_nothing() {
        assert_eq!(chunks("a b c d e", 2), ["a", "b c", "d e"]);
        assert_eq!(chunks("a b c d", 4), ["a b c d"]);
        assert_eq!(chunks(" a  b ", 9), ["a b"]);
    }

    #[test]
    fn the_greatest_chunk_is_found_whatever_stands_beside_it() {
        let scores = [0.9, 0.1, 0.2];
        assert_eq!(Over::Max.of(scores.into_iter()), 0.9);
        assert!((Over::Mean.of(scores.into_iter()) - 0.4).abs() < 1e-6);
    }
}
