//! What all layers need to know about the tokens of a forward pass: their positions, and which keys each of them attends to.

use std::ops::Range;

use candle_core::{Device, Result, Tensor};

use super::heads::HeadLayout;
use super::sequence::Sequence;
use crate::model::{KvCache, Span};

/// Number of a sequence's queries in a row of a bucket.
const QUERIES: usize = 256;
/// Maximum number of scores of a bucket, of all heads, and of values of its keys.
pub(super) const SCORES: usize = 1 << 25;
/// Padding at most doubles the scores of a bucket.
const PADDING: usize = 2;

/// The tokens of some sequences, packed: one sequence after the other.
pub(super) struct Batch {
    /// Ids, `(tokens)`.
    pub(super) ids: Tensor,
    /// Positions in their sequences, `(tokens)`.
    pub(super) positions: Tensor,
    /// The tokens whose logits are wanted, `(wanted)`, if there are any.
    pub(super) wanted: Option<Tensor>,
    views: Vec<View>,
}

/// The queries of all tokens in layers with the same window.
pub(super) struct View {
    window: Option<usize>,
    pub(super) buckets: Vec<Bucket>,
    /// The row of each token in the results of all buckets, `(tokens)`.
    pub(super) places: Tensor,
}

/// Queries of several sequences, whose attention is one masked product; fewer queries or keys are padded.
pub(super) struct Bucket {
    pub(super) sequences: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    /// The token of each query, `(sequences · queries)`.
    pub(super) tokens: Tensor,
    /// The row of each key in the tables of heads, `(sequences · key_heads · keys)`.
    pub(super) rows: Tensor,
    /// 0, or −∞ where a query does not attend to a key, `(sequences, 1, queries, keys)`, f32; `None` if each attends to all.
    pub(super) mask: Option<Tensor>,
}

/// Adjacent queries of a sequence, and the keys that any of them attends to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    sequence: usize,
    /// The first query's token in the batch.
    token: usize,
    /// Positions of the queries, and of the keys.
    queries: Range<usize>,
    keys: Range<usize>,
}

impl Batch {
    /// The last tokens of these sequences, which have their rows.
    pub(super) fn new(
        spans: &[Span<'_, Sequence>],
        windows: impl Iterator<Item = Option<usize>>,
        heads: HeadLayout,
        device: &Device,
    ) -> Result<Self> {
        let numbers = |numbers: Vec<u32>| {
            let count = numbers.len();
            Tensor::from_vec(numbers, count, device)
        };
        let (mut ids, mut positions, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for span in spans {
            let all = span.state.tokens().len();
            ids.extend(span.tokens);
            positions.extend((all - span.tokens.len()..all).map(|position| position as u32));
            if span.logits {
                wanted.push((ids.len() - 1) as u32);
            }
        }
        let rows: Vec<Vec<usize>> = spans.iter().map(|span| span.state.rows().collect()).collect();
        let lengths: Vec<[usize; 2]> =
            spans.iter().map(|span| [span.state.tokens().len(), span.tokens.len()]).collect();
        let mut views: Vec<View> = Vec::new();
        for window in windows {
            if views.iter().all(|view| view.window != window) {
                views.push(View::new(window, &lengths, &rows, heads, device)?);
            }
        }
        let wanted = if wanted.is_empty() { None } else { Some(numbers(wanted)?) };
        Ok(Self { ids: numbers(ids)?, positions: numbers(positions)?, wanted, views })
    }

    /// The queries in layers with this window.
    pub(super) fn view(&self, window: Option<usize>) -> &View {
        let view = self.views.iter().find(|view| view.window == window);
        view.expect("a view for each layer's window: this is a bug")
    }
}

impl View {
    fn new(
        window: Option<usize>,
        lengths: &[[usize; 2]],
        rows: &[Vec<usize>],
        heads: HeadLayout,
        device: &Device,
    ) -> Result<Self> {
        let mut places = vec![0; lengths.iter().map(|[_, new]| new).sum()];
        let mut buckets = Vec::new();
        let mut begun = 0;
        for pieces in in_buckets(pieces(lengths, window), heads) {
            let bucket = Bucket::new(&pieces, window, rows, heads, device)?;
            for (number, piece) in pieces.iter().enumerate() {
                for query in 0..piece.queries.len() {
                    places[piece.token + query] = (begun + number * bucket.queries + query) as u32;
                }
            }
            begun += bucket.sequences * bucket.queries;
            buckets.push(bucket);
        }
        let count = places.len();
        Ok(Self { window, buckets, places: Tensor::from_vec(places, count, device)? })
    }
}

/// The queries of sequences with so many tokens in all, and so many new ones.
fn pieces(lengths: &[[usize; 2]], window: Option<usize>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut token = 0;
    for (sequence, &[all, new]) in lengths.iter().enumerate() {
        for first in (all - new..all).step_by(QUERIES) {
            let last = all.min(first + QUERIES);
            let keys = first_key(first, window)..last;
            pieces.push(Piece { sequence, token, queries: first..last, keys });
            token += last - first;
        }
    }
    pieces
}

/// The first position that a query attends to.
fn first_key(query: usize, window: Option<usize>) -> usize {
    window.map_or(0, |window| (query + 1).saturating_sub(window))
}

/// Pieces of similar sizes, together as far as memory allows.
fn in_buckets(mut pieces: Vec<Piece>, heads: HeadLayout) -> Vec<Vec<Piece>> {
    pieces.sort_by_key(|piece| std::cmp::Reverse((piece.queries.len(), piece.keys.len())));
    let mut buckets: Vec<Vec<Piece>> = Vec::new();
    // Of the last bucket: queries and keys of a row, and the scores without padding.
    let (mut queries, mut keys, mut scores) = (0, 0, 0);
    for piece in pieces {
        let own = piece.queries.len() * piece.keys.len();
        if let Some(bucket) = buckets.last_mut() {
            let (rows, longest) = (bucket.len() + 1, keys.max(piece.keys.len()));
            let padded = rows * queries * longest;
            let values = rows * longest * heads.key_heads * heads.width;
            if padded <= PADDING * (scores + own) && padded * heads.heads <= SCORES && values <= SCORES {
                (keys, scores) = (longest, scores + own);
                bucket.push(piece);
                continue;
            }
        }
        (queries, keys, scores) = (piece.queries.len(), piece.keys.len(), own);
        buckets.push(vec![piece]);
    }
    buckets
}

impl Bucket {
    fn new(
        pieces: &[Piece],
        window: Option<usize>,
        rows: &[Vec<usize>],
        heads: HeadLayout,
        device: &Device,
    ) -> Result<Self> {
        let longest = |length: fn(&Piece) -> usize| pieces.iter().map(length).max().unwrap_or(0);
        let (queries, keys) = (longest(|piece| piece.queries.len()), longest(|piece| piece.keys.len()));
        let mut tokens = Vec::with_capacity(pieces.len() * queries);
        let mut table = Vec::with_capacity(pieces.len() * heads.key_heads * keys);
        for piece in pieces {
            let own = (piece.token..piece.token + piece.queries.len()).map(|token| token as u32);
            tokens.extend(own.chain(std::iter::repeat(piece.token as u32)).take(queries));
            let rows = &rows[piece.sequence][piece.keys.clone()];
            for head in 0..heads.key_heads {
                let own = rows.iter().map(|row| (row * heads.key_heads + head) as u32);
                table.extend(own.chain(std::iter::repeat(0)).take(keys));
            }
        }
        let sequences = pieces.len();
        let mask = mask(pieces, window, queries, keys);
        let mask = mask.map(|mask| Tensor::from_vec(mask, (sequences, 1, queries, keys), device));
        Ok(Self {
            sequences,
            queries,
            keys,
            tokens: Tensor::from_vec(tokens, sequences * queries, device)?,
            rows: Tensor::from_vec(table, sequences * heads.key_heads * keys, device)?,
            mask: mask.transpose()?,
        })
    }
}

/// 0, or −∞ where a query does not attend to a key, `(pieces, queries, keys)`; `None` if each attends to all.
/// The results of queries that are padding are used for nothing, and must only be finite: they attend to every key.
fn mask(pieces: &[Piece], window: Option<usize>, queries: usize, keys: usize) -> Option<Vec<f32>> {
    let mut mask = vec![0.0; pieces.len() * queries * keys];
    let mut hides = false;
    for (piece, mask) in pieces.iter().zip(mask.chunks_exact_mut(queries * keys)) {
        for (query, mask) in piece.queries.clone().zip(mask.chunks_exact_mut(keys)) {
            let (first, last) = (first_key(query, window) - piece.keys.start, query + 1 - piece.keys.start);
            mask[..first].fill(f32::NEG_INFINITY);
            mask[last..].fill(f32::NEG_INFINITY);
            hides |= first > 0 || last < keys;
        }
    }
    hides.then_some(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: HeadLayout = HeadLayout { heads: 4, key_heads: 2, width: 8 };
    const X: f32 = f32::NEG_INFINITY;

    #[test]
    fn a_query_attends_to_the_tokens_before_it_within_its_window() {
        let pieces = pieces(&[[3, 3], [4, 1]], None);
        assert_eq!((&pieces[1].queries, &pieces[1].keys, pieces[1].token), (&(3..4), &(0..4), 3));
        let expected = [0.0, X, X, 0.0, 0.0, X, 0.0, 0.0, 0.0];
        assert_eq!(mask(&pieces[..1], None, 3, 3).unwrap(), expected);
        assert_eq!(mask(&pieces[1..], None, 1, 4), None);
        let windowed = super::pieces(&[[5, 2]], Some(2));
        assert_eq!((&windowed[0].queries, &windowed[0].keys), (&(3..5), &(2..5)));
        assert_eq!(mask(&windowed, Some(2), 2, 3).unwrap(), [0.0, 0.0, X, X, 0.0, 0.0]);
    }

    #[test]
    fn a_padded_key_is_hidden_from_every_query() {
        let pieces = pieces(&[[4, 1], [2, 1]], None);
        assert_eq!(mask(&pieces, None, 1, 4).unwrap(), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, X, X]);
    }

    #[test]
    fn buckets_hold_every_query_once_with_little_padding() {
        let lengths = [[300, 300], [290, 290], [40, 7], [600, 1], [580, 1], [10, 1], [2000, 700]];
        let pieces = pieces(&lengths, None);
        let tokens: usize = lengths.iter().map(|[_, new]| new).sum();
        assert_eq!(pieces.iter().map(|piece| piece.queries.len()).sum::<usize>(), tokens);
        let buckets = in_buckets(pieces.clone(), HEADS);
        assert!(buckets.len() < pieces.len());
        let mut all: Vec<usize> = Vec::new();
        for bucket in &buckets {
            let longest = |length: fn(&Piece) -> usize| bucket.iter().map(length).max().unwrap();
            let padded = bucket.len() * longest(|p| p.queries.len()) * longest(|p| p.keys.len());
            let own: usize = bucket.iter().map(|p| p.queries.len() * p.keys.len()).sum();
            assert!(padded <= 2 * own, "{padded} {own}");
            all.extend(bucket.iter().flat_map(|p| p.token..p.token + p.queries.len()));
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..tokens));
    }
}
