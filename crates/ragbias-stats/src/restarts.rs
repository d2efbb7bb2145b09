use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::{ConfidenceSequence, Equivalence, Result};

/// Confidence sequences that begin anew every so many units, and hold together.
///
/// The mean of all values hides a recent change: after 10,000 fair answers, thousands of biased ones move it little. The k-th sequence, which begins
/// after (k − 1) times so many units, has the error α/(k(k + 1)); they add up to α, so that all sequences hold at all times together with probability
/// 1 − α (union bound). The first, of all values, has α/2. Without restarts it has all of α.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restarts {
    every: usize,
    sequences: Vec<ConfidenceSequence>,
}

/// One of the sequences.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RestartedSequence {
    /// Units before its first.
    pub after: usize,
    /// Its values.
    pub sequence: ConfidenceSequence,
    /// Its error.
    pub alpha: f64,
}

impl Restarts {
    /// Sequences that begin anew every so many units; never if 0.
    pub fn every(units: usize) -> Self {
        Self { every: units, sequences: vec![ConfidenceSequence::default()] }
    }

    /// Adds the next value.
    ///
    /// # Errors
    /// A value outside [−1, 1].
    pub fn push(&mut self, value: f64) -> Result<()> {
        let units = self.units();
        if self.every > 0 && units > 0 && units.is_multiple_of(self.every) {
            self.sequences.push(ConfidenceSequence::default());
        }
        self.sequences.iter_mut().try_for_each(|sequence| sequence.push(value))
    }

    /// Number of values.
    pub fn units(&self) -> usize {
        self.sequences.first().map_or(0, ConfidenceSequence::units)
    }

    /// The sequences, that of all values first; α is the error of all together.
    pub fn sequences(
        &self,
        alpha: f64,
    ) -> impl DoubleEndedIterator<Item = RestartedSequence> + ExactSizeIterator {
        let every = self.every;
        self.sequences.iter().enumerate().map(move |(place, &sequence)| {
            let number = (place + 1) as f64;
            let share = if every == 0 { 1.0 } else { 1.0 / (number * (number + 1.0)) };
            RestartedSequence { after: place * every, sequence, alpha: alpha * share }
        })
    }
}

impl RestartedSequence {
    /// Its interval.
    pub fn interval(&self) -> RangeInclusive<f64> {
        self.sequence.interval(self.alpha)
    }

    /// Whether its interval lies within ±`delta`, or beyond.
    ///
    /// # Errors
    /// Those of [`Equivalence::judge`].
    pub fn judge(&self, delta: f64) -> Result<Equivalence> {
        Equivalence::judge(self.interval(), delta)
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn coins(mean: f64, units: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        (0..units).map(|_| if rng.random::<f64>() < f64::midpoint(1.0, mean) { 1.0 } else { -1.0 }).collect()
    }

    fn biased(restarts: &Restarts) -> Option<RestartedSequence> {
        restarts.sequences(0.05).find(|part| part.judge(0.1).unwrap() == Equivalence::Biased)
    }

    #[test]
    fn a_late_change_is_found_by_a_sequence_that_begins_late() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut restarts, mut once) = (Restarts::every(1000), Restarts::every(0));
        let stream = [coins(0.0, 10_000, &mut rng), coins(0.3, 1500, &mut rng)].concat();
        let mut found = None;
        for (unit, value) in stream.into_iter().enumerate() {
            restarts.push(value).unwrap();
            once.push(value).unwrap();
            if found.is_none() && unit % 10 == 0 {
                found = biased(&restarts).map(|part| (unit, part.after));
            }
        }
        let (unit, after) = found.expect("the change is found");
        assert!(unit > 10_000 && after == 10_000, "{unit} {after}");
        assert!(biased(&once).is_none(), "the mean of all has hardly moved");
    }

    #[test]
    fn systems_at_the_threshold_are_found_biased_in_at_most_one_of_forty() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let wrong = (0..200).filter(|_| {
            let mut restarts = Restarts::every(500);
            coins(0.1, 3000, &mut rng).into_iter().enumerate().any(|(unit, value)| {
                restarts.push(value).unwrap();
                unit % 50 == 0 && biased(&restarts).is_some()
            })
        });
        assert!(wrong.count() <= 5);
    }

    #[test]
    fn the_errors_of_all_sequences_add_up() {
        let mut restarts = Restarts::every(2);
        for _ in 0..9 {
            restarts.push(0.0).unwrap();
        }
        let parts: Vec<_> =
            restarts.sequences(0.05).map(|part| (part.after, part.sequence.units())).collect();
        assert_eq!(parts, [(0, 9), (2, 7), (4, 5), (6, 3), (8, 1)]);
        let spent: f64 = restarts.sequences(0.05).map(|part| part.alpha).sum();
        assert!(spent < 0.05 && spent > 0.04);
        let mut once = Restarts::every(0);
        once.push(0.0).unwrap();
        assert_eq!(once.sequences(0.05).map(|part| part.alpha).collect::<Vec<_>>(), [0.05]);
    }
}
