//! Words that are optimised on several encoders together, by swaps of their tokens.

use ragbias::core::{Progress, Unit};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::prefixed::Prefixed;
use super::words::Words;
use crate::error::Result;

/// How words are optimised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Optimisation {
    /// Number of words, a token each.
    pub(crate) length: usize,
    /// How often each of them is swapped.
    pub(crate) passes: usize,
    /// Documents of a step.
    pub(crate) batch: usize,
    /// Tokens of the greatest first-order gain whose loss is measured in a step.
    pub(crate) candidates: usize,
    /// Seed of the first words, and of the order of places and documents.
    pub(crate) seed: u64,
}

/// Words, and how they came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Optimised {
    /// The words, with a space between two.
    pub(crate) text: String,
    /// For each step, the mean loss of the encoders on its documents before the swap, and after it.
    pub(crate) losses: Vec<(f64, f64)>,
    /// Number of steps that swapped a token.
    pub(crate) swaps: usize,
}

/// Optimises words on these encoders, whose vocabulary and documents are the same, from a draw of words.
///
/// A step takes some documents and a place. The tokens of the greatest first-order gain, the mean over the encoders, are tried, and the best
/// is kept if it lowers the mean loss on these documents.
pub(crate) fn optimised(
    encoders: &[&Prefixed<'_>],
    words: &Words,
    how: Optimisation,
    progress: &dyn Progress,
) -> Result<Optimised> {
    let mut rng = ChaCha8Rng::seed_from_u64(how.seed);
    let mut prefix = words.drawn(how.length, how.seed);
    let count = encoders.first().map_or(0, |encoder| encoder.len());
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut rng);
    let mut next = order.iter().copied().cycle();
    let (mut losses, mut swaps) = (Vec::new(), 0);
    let step = progress.begin("swapping tokens", (how.passes * how.length) as u64, Unit::Items);
    for _ in 0..how.passes {
        let mut places: Vec<usize> = (0..how.length).collect();
        places.shuffle(&mut rng);
        for place in places {
            let rows: Vec<usize> = next.by_ref().take(how.batch.min(count)).collect();
            let (mut now, mut gains) = (0.0, Vec::new());
            for encoder in encoders {
                let (loss, own) = encoder.gains(&rows, &prefix, place)?;
                now += loss / encoders.len() as f64;
                gains.resize(own.len(), 0.0);
                gains.iter_mut().zip(own).for_each(|(sum, gain): (&mut f32, f32)| *sum += gain);
            }
            let mut best = (now, prefix[place]);
            for token in best_of(&gains, words.ids(), &prefix, how.candidates) {
                let mut tried = prefix.clone();
                tried[place] = token;
                let mut loss = 0.0;
                for encoder in encoders {
                    loss += encoder.loss(&rows, &tried)? / encoders.len() as f64;
                }
                if loss < best.0 {
                    best = (loss, token);
                }
            }
            swaps += usize::from(best.1 != prefix[place]);
            prefix[place] = best.1;
            losses.push((now, best.0));
            step.advance(1);
        }
    }
    Ok(Optimised { text: words.text(&prefix), losses, swaps })
}

/// The tokens of the greatest gains, the best first, without those that are there.
fn best_of(gains: &[f32], tokens: &[u32], prefix: &[u32], count: usize) -> Vec<u32> {
    let mut tokens: Vec<u32> = tokens.iter().copied().filter(|token| !prefix.contains(token)).collect();
    tokens.sort_by(|&a, &b| gains[b as usize].total_cmp(&gains[a as usize]));
    tokens.truncate(count);
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_that_are_tried_are_the_best_that_are_not_there() {
        let gains = [0.0, 5.0, -1.0, 3.0, 9.0, 4.0];
        assert_eq!(best_of(&gains, &[1, 2, 3, 5], &[5], 2), [1, 3]);
    }
}
