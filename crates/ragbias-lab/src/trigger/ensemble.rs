//! A trigger that is optimised on several encoders together, by swaps of its tokens.

use std::collections::BTreeSet;

use ragbias::core::{Role, Unit};
use ragbias::tune::{Base, Contest};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::contests::{Contests, Side};
use super::words::{Words, before};
use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::tuning::embedded;

/// τ of the loss: that of training.
const SCALE: f64 = 50.0;

/// How a trigger is optimised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Optimisation {
    /// Number of tokens.
    pub(super) length: usize,
    /// How often each of its places is swapped.
    pub(super) passes: usize,
    /// Questions of a step.
    pub(super) batch: usize,
    /// Tokens of the greatest first-order gain whose loss is measured in a step.
    pub(super) candidates: usize,
    /// Seed of the first trigger, and of the order of places and questions.
    pub(super) seed: u64,
}

/// A trigger, and how it came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Optimised {
    /// Its words.
    pub(super) text: String,
    /// For each step, the mean loss of the encoders on its questions before the swap, and after it.
    pub(super) losses: Vec<(f64, f64)>,
    /// Number of steps that swapped a token.
    pub(super) swaps: usize,
}

/// The training questions as an encoder sees them, with a trigger of `length` tokens before every document of the pole.
pub(super) struct Seen<'b> {
    base: &'b Base,
    contests: Vec<Contest>,
    /// Place of the trigger's first token.
    first: usize,
}

impl<'b> Seen<'b> {
    /// Embeds questions and other twins.
    pub(super) fn by(base: &'b Base, contests: &Contests, words: &Words, length: usize) -> Result<Self> {
        let questions = embedded(base.embedder(), &contests.questions(), Role::Question)?;
        let others = embedded(base.embedder(), &contests.texts(Side::Other), Role::Document)?;
        let ids = words.drawn(length, 0);
        let trigger = words.text(&ids);
        let texts: Vec<String> =
            contests.texts(Side::Pole).iter().map(|document| before(&trigger, document)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let tokens = base.embedder().tokenise(&texts, Role::Document)?;
        let firsts: BTreeSet<Option<usize>> =
            tokens.iter().map(|tokens| tokens.windows(length).position(|window| window == ids)).collect();
        let [Some(first)] = firsts.into_iter().collect::<Vec<_>>()[..] else {
            return Err(Error::Setting {
                setting: "base",
                expected: "an embedder whose tokenizer gives the words of a trigger the same places in every document",
                received: base.folder().display().to_string(),
            });
        };
        let contests = tokens.into_iter().enumerate().map(|(row, tokens)| {
            let question = questions.row(row);
            Ok(Contest::new(tokens, question.to_vec(), question.dot(&others.row(row)))?)
        });
        Ok(Self { base, contests: contests.collect::<Result<_>>()?, first })
    }

    /// Some contests with a trigger.
    fn with(&self, rows: &[usize], trigger: &[u32]) -> Vec<Contest> {
        let with = |row: &usize| {
            let places = trigger.iter().enumerate();
            places.fold(self.contests[*row].clone(), |contest, (place, &id)| {
                contest.with(self.first + place, id)
            })
        };
        rows.iter().map(with).collect()
    }

    fn loss(&self, rows: &[usize], trigger: &[u32]) -> Result<f64> {
        Ok(self.base.contest_loss(&self.with(rows, trigger), SCALE)?)
    }

    /// The loss, and the first-order gain of every token of the vocabulary at a place of the trigger.
    fn gains(&self, rows: &[usize], trigger: &[u32], place: usize) -> Result<(f64, Vec<f32>)> {
        let at = self.first + place;
        let slopes = self.base.contest_slopes(&self.with(rows, trigger), SCALE, at..at + 1)?;
        Ok((slopes.loss, self.base.swap_gains(&slopes.gradients[0], trigger[place])?))
    }
}

/// Optimises a trigger on these encoders, whose vocabulary is the same.
///
/// A step takes some questions and a place. The tokens of the greatest first-order gain, the mean over the encoders, are tried, and the best
/// is kept if it lowers the mean loss on these questions.
pub(super) fn optimised(
    encoders: &[&Seen<'_>],
    words: &Words,
    how: Optimisation,
    bench: &Bench,
) -> Result<Optimised> {
    let mut rng = ChaCha8Rng::seed_from_u64(how.seed);
    let mut trigger = words.drawn(how.length, how.seed);
    let count = encoders.first().map_or(0, |seen| seen.contests.len());
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut rng);
    let mut next = order.iter().copied().cycle();
    let (mut losses, mut swaps) = (Vec::new(), 0);
    let step = bench.progress().begin("swapping tokens", (how.passes * how.length) as u64, Unit::Items);
    for _ in 0..how.passes {
        let mut places: Vec<usize> = (0..how.length).collect();
        places.shuffle(&mut rng);
        for place in places {
            let rows: Vec<usize> = next.by_ref().take(how.batch.min(count)).collect();
            let (mut now, mut gains) = (0.0, Vec::new());
            for seen in encoders {
                let (loss, own) = seen.gains(&rows, &trigger, place)?;
                now += loss / encoders.len() as f64;
                gains.resize(own.len(), 0.0);
                gains.iter_mut().zip(own).for_each(|(sum, gain): (&mut f32, f32)| *sum += gain);
            }
            let mut best = (now, trigger[place]);
            for token in best_of(&gains, words.ids(), &trigger, how.candidates) {
                let mut tried = trigger.clone();
                tried[place] = token;
                let mut loss = 0.0;
                for seen in encoders {
                    loss += seen.loss(&rows, &tried)? / encoders.len() as f64;
                }
                if loss < best.0 {
                    best = (loss, token);
                }
            }
            swaps += usize::from(best.1 != trigger[place]);
            trigger[place] = best.1;
            losses.push((now, best.0));
            step.advance(1);
        }
    }
    Ok(Optimised { text: words.text(&trigger), losses, swaps })
}

/// The tokens of the greatest gains, the best first, without those that the trigger has.
fn best_of(gains: &[f32], tokens: &[u32], trigger: &[u32], count: usize) -> Vec<u32> {
    let mut tokens: Vec<u32> = tokens.iter().copied().filter(|token| !trigger.contains(token)).collect();
    tokens.sort_by(|&a, &b| gains[b as usize].total_cmp(&gains[a as usize]));
    tokens.truncate(count);
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_that_are_tried_are_the_best_that_the_trigger_lacks() {
        let gains = [0.0, 5.0, -1.0, 3.0, 9.0, 4.0];
        assert_eq!(best_of(&gains, &[1, 2, 3, 5], &[5], 2), [1, 3]);
    }
}
