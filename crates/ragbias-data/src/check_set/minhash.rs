//! Texts that are nearly the same: candidates by MinHash, compared exactly.
//!
//! A text is the set of its shingles: its runs of so many words, in lower case, without punctuation. Two texts are compared by the
//! Jaccard similarity of their sets, the number of common shingles over that of all. MinHash (Broder, *On the resemblance and
//! containment of documents*, 1997) gives each set [`HASHES`] minima under as many hash functions; two minima agree with the
//! probability J. They are compared in [`BANDS`] bands of four (Leskovec, Rajaraman, Ullman, *Mining of Massive Datasets*, §3.4):
//! a pair of similarity J is a candidate with the probability 1 − (1 − J⁴)³², which is above 1 − 10⁻⁷ for J = 0.8.

use std::collections::{BTreeMap, BTreeSet};

/// Hash functions.
const HASHES: usize = 128;
/// Bands of as many minima each.
const BANDS: usize = 32;

/// The pairs of texts of a Jaccard similarity of at least `least`, each with it: positions in order, by exact comparison of the
/// candidates that MinHash finds. Texts of fewer words than a shingle have one, the whole text.
pub(super) fn similar(texts: &[String], words_per_shingle: usize, least: f64) -> Vec<(usize, usize, f64)> {
    let sets: Vec<BTreeSet<u64>> = texts.iter().map(|text| shingles(text, words_per_shingle)).collect();
    let mut buckets: BTreeMap<(usize, [u64; HASHES / BANDS]), Vec<usize>> = BTreeMap::new();
    for (position, set) in sets.iter().enumerate().filter(|(_, set)| !set.is_empty()) {
        let minima = minima(set);
        for (band, rows) in minima.as_chunks().0.iter().enumerate() {
            buckets.entry((band, *rows)).or_default().push(position);
        }
    }
    let mut candidates = BTreeSet::new();
    for bucket in buckets.values() {
        for (i, &first) in bucket.iter().enumerate() {
            candidates.extend(bucket[i + 1..].iter().map(|&second| (first, second)));
        }
    }
    let compared = candidates.into_iter().map(|(a, b)| (a, b, jaccard(&sets[a], &sets[b])));
    compared.filter(|(.., similarity)| *similarity >= least).collect()
}

/// The words of a text, in lower case and without punctuation.
pub(super) fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

fn shingles(text: &str, length: usize) -> BTreeSet<u64> {
    let words = words(text);
    if words.is_empty() {
        return BTreeSet::new();
    }
    words.windows(length.min(words.len())).map(|run| hash(&run.join(" "))).collect()
}

fn jaccard(a: &BTreeSet<u64>, b: &BTreeSet<u64>) -> f64 {
    let common = a.intersection(b).count();
    common as f64 / (a.len() + b.len() - common) as f64
}

fn minima(set: &BTreeSet<u64>) -> [u64; HASHES] {
    std::array::from_fn(|function| {
        let seed = mixed(function as u64 + 1);
        set.iter().map(|shingle| mixed(shingle ^ seed)).min().unwrap_or(u64::MAX)
    })
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreeing_minima_estimate_the_jaccard_similarity() {
        // 60 common shingles of 100: J = 0.6, with a standard error of √(0.6·0.4/128) = 0.043.
        let (a, b): (BTreeSet<u64>, BTreeSet<u64>) =
            ((0..80).map(mixed).collect(), (20..100).map(mixed).collect());
        assert!((jaccard(&a, &b) - 0.6).abs() < 1e-12);
        let agreeing = minima(&a).iter().zip(minima(&b)).filter(|(a, b)| **a == *b).count();
        assert!((agreeing as f64 / HASHES as f64 - 0.6).abs() < 0.13, "{agreeing}");
    }

    #[test]
    fn every_similar_pair_is_found_that_a_comparison_of_all_pairs_finds() {
        let gender = crate::Dataset::bundled("gender-twins").unwrap();
        let texts: Vec<String> = gender.corpus.documents().iter().take(600).map(|d| d.text.clone()).collect();
        let found = similar(&texts, 3, 0.7);
        let sets: Vec<_> = texts.iter().map(|text| shingles(text, 3)).collect();
        let mut all = Vec::new();
        for a in 0..sets.len() {
            for b in a + 1..sets.len() {
                let similarity = jaccard(&sets[a], &sets[b]);
                if similarity >= 0.7 {
                    all.push((a, b, similarity));
                }
            }
        }
        assert!(all.len() > 100, "{}", all.len());
        assert_eq!(found, all);
    }

    #[test]
    fn punctuation_and_case_do_not_count_and_short_texts_are_compared_whole() {
        let texts = ["Who leads?", "who  LEADS", "Who", "", "…"].map(str::to_owned);
        assert_eq!(similar(&texts, 3, 0.8), [(0, 1, 1.0)]);
    }
}
