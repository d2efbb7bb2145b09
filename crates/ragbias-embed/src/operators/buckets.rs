//! Queries of several texts whose attention is one masked product.

use std::cmp::Reverse;
use std::ops::Range;

use candle_core::{Device, Tensor};

use crate::Result;
use crate::config::Reach;

/// Number of queries that are worked on at once where they do not attend to all tokens: their scores are with the tokens that any
/// of them attends to.
const BLOCK: usize = 128;
/// Maximum number of a bucket's scores, of all heads.
const SCORES: usize = 1 << 26;

/// The queries of all tokens in layers of the same reach.
pub(super) struct View {
    pub(super) reach: Reach,
    pub(super) buckets: Vec<Bucket>,
    /// The row of each token in the results of all buckets, `(tokens)`.
    pub(super) places: Tensor,
}

/// Queries of several texts, padded to as many as the longest has, and so are their keys.
pub(super) struct Bucket {
    pub(super) texts: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    /// The token of each query, `(texts · queries)`.
    pub(super) query_tokens: Tensor,
    /// The token of each key, `(texts · keys)`.
    pub(super) key_tokens: Tensor,
    /// 0, or −∞ where a query does not attend to a key, `(texts, 1, queries, keys)`, f32; `None` if each attends to all.
    pub(super) mask: Option<Tensor>,
}

/// Adjacent queries of a text, and the keys that any of them attends to.
#[derive(Debug, Clone)]
struct Piece {
    /// The text's first token in the batch, and the text's length.
    first: usize,
    length: usize,
    /// Positions in the text.
    queries: Range<usize>,
    keys: Range<usize>,
}

impl View {
    pub(super) fn new(reach: Reach, lengths: &[usize], heads: usize, device: &Device) -> Result<Self> {
        let mut places = vec![0; lengths.iter().sum()];
        let mut buckets = Vec::new();
        let mut begun = 0;
        for pieces in in_buckets(pieces(reach, lengths), heads) {
            let bucket = Bucket::new(&pieces, reach, device)?;
            for (number, piece) in pieces.iter().enumerate() {
                let row = begun + number * bucket.queries;
                for (place, row) in places[piece.first + piece.queries.start..]
                    .iter_mut()
                    .zip(row as u32..)
                    .take(piece.queries.len())
                {
                    *place = row;
                }
            }
            begun += bucket.texts * bucket.queries;
            buckets.push(bucket);
        }
        let count = places.len();
        Ok(Self { reach, buckets, places: Tensor::from_vec(places, count, device)? })
    }
}

fn pieces(reach: Reach, lengths: &[usize]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut first = 0;
    for &length in lengths {
        let block = if reach == Reach::ALL { length } else { BLOCK };
        for from in (0..length).step_by(block) {
            let queries = from..length.min(from + block);
            let keys = reach.of_all(queries.clone(), length);
            pieces.push(Piece { first, length, queries, keys });
        }
        first += length;
    }
    pieces
}

/// Pieces of similar sizes together: padding adds at most half to the scores of a bucket.
fn in_buckets(mut pieces: Vec<Piece>, heads: usize) -> Vec<Vec<Piece>> {
    pieces.sort_by_key(|piece| Reverse((piece.queries.len(), piece.keys.len())));
    let mut buckets: Vec<Vec<Piece>> = Vec::new();
    // Of the last bucket: queries and keys of a row, and the scores without padding.
    let (mut queries, mut keys, mut scores) = (0, 0, 0);
    for piece in pieces {
        let own = piece.queries.len() * piece.keys.len();
        if let Some(bucket) = buckets.last_mut() {
            let longest = keys.max(piece.keys.len());
            let padded = (bucket.len() + 1) * queries * longest;
            if 2 * padded <= 3 * (scores + own) && padded * heads <= SCORES {
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
    fn new(pieces: &[Piece], reach: Reach, device: &Device) -> Result<Self> {
        let longest = |length: fn(&Piece) -> usize| pieces.iter().map(length).max().unwrap_or(0);
        let (queries, keys) = (longest(|piece| piece.queries.len()), longest(|piece| piece.keys.len()));
        // The text's first token takes the place of those that are missing.
        let tokens = |range: fn(&Piece) -> &Range<usize>, count: usize| {
            let padded = pieces.iter().flat_map(move |piece| {
                let own = range(piece).clone().chain(std::iter::repeat(0)).take(count);
                own.map(|token| (piece.first + token) as u32)
            });
            Tensor::from_vec(padded.collect(), pieces.len() * count, device)
        };
        let mask = mask(pieces, reach, queries, keys);
        let mask = mask.map(|mask| Tensor::from_vec(mask, (pieces.len(), 1, queries, keys), device));
        Ok(Self {
            texts: pieces.len(),
            queries,
            keys,
            query_tokens: tokens(|piece| &piece.queries, queries)?,
            key_tokens: tokens(|piece| &piece.keys, keys)?,
            mask: mask.transpose()?,
        })
    }
}

/// 0, or −∞ where a query does not attend to a key, `(pieces, queries, keys)`; `None` if each attends to all. Queries that are
/// padding attend to every key: their results are finite, and used for nothing.
fn mask(pieces: &[Piece], reach: Reach, queries: usize, keys: usize) -> Option<Vec<f32>> {
    let mut mask = vec![0.0; pieces.len() * queries * keys];
    let mut hides = false;
    for (piece, mask) in pieces.iter().zip(mask.chunks_exact_mut(queries * keys)) {
        for (query, mask) in piece.queries.clone().zip(mask.chunks_exact_mut(keys)) {
            let seen = reach.of(query, piece.length);
            let (first, last) = (seen.start - piece.keys.start, seen.end - piece.keys.start);
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

    const X: f32 = f32::NEG_INFINITY;

    #[test]
    fn texts_of_one_length_need_no_mask_and_shorter_ones_hide_padding() {
        let whole = pieces(Reach::ALL, &[2, 2]);
        assert_eq!(mask(&whole, Reach::ALL, 2, 2), None);
        let padded = pieces(Reach::ALL, &[3, 2]);
        let expected = [vec![0.0; 9], vec![0.0, 0.0, X, 0.0, 0.0, X, 0.0, 0.0, 0.0]].concat();
        assert_eq!(mask(&padded, Reach::ALL, 3, 3).unwrap(), expected);
    }

    #[test]
    fn a_reach_hides_what_is_beyond_it() {
        let reach = Reach { before: Some(1), after: Some(0) };
        let pieces = pieces(reach, &[3]);
        assert_eq!(mask(&pieces, reach, 3, 3).unwrap(), [0.0, X, X, 0.0, 0.0, X, X, 0.0, 0.0]);
    }

    #[test]
    fn every_token_has_a_place_of_its_own() {
        for reach in [Reach::ALL, Reach::CAUSAL, Reach::within(5)] {
            let lengths = [5, 300, 1, 290, 129, 40, 41];
            let view = View::new(reach, &lengths, 4, &Device::Cpu).unwrap();
            assert!(view.buckets.len() > 1);
            let tokens: Vec<u32> = (view.buckets.iter())
                .flat_map(|bucket| bucket.query_tokens.to_vec1::<u32>().unwrap())
                .collect();
            let places: Vec<u32> = view.places.to_vec1().unwrap();
            let found = places.iter().map(|&place| tokens[place as usize]);
            assert!(found.eq(0..lengths.iter().sum::<usize>() as u32), "{reach:?}");
        }
    }
}
