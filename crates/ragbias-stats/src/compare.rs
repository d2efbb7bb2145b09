use serde::{Deserialize, Serialize};

use crate::draws::{Distribution, Draws};
use crate::{ConflictFit, Estimate};

/// The difference in s between two LLMs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SensitivityDifference {
    /// s of the first minus s of the second.
    pub difference: Estimate,
    /// Two-sided p value of the hypothesis of no difference.
    pub p: f64,
}

impl SensitivityDifference {
    /// Compares fits of the same embedders on the same topics, draw by draw: both LLMs use the same draw of topics
    /// and embedders, so that common variation cancels. None if the draws differ: other numbers of
    /// topics or embedders, other seeds, or other numbers of draws.
    ///
    /// The p value is the level at which the bootstrap interval of the difference ends at 0 (Efron & Tibshirani, *An
    /// Introduction to the Bootstrap* (1993), §15.4), with the interval's own correction for few topics.
    pub fn between(first: &ConflictFit, second: &ConflictFit) -> Option<Self> {
        let (a, b) = (&first.resamples, &second.resamples);
        if first.n != second.n || a.units != b.units || a.draws.len() != b.draws.len() {
            return None;
        }
        let paired: Vec<_> = a.draws.iter().zip(&b.draws).filter_map(|(a, b)| a.zip(*b)).collect();
        if paired.is_empty() {
            return None;
        }
        let draws = Draws {
            estimate: first.sensitivity.value - second.sensitivity.value,
            both: paired.iter().map(|(a, b)| a.both.slope - b.both.slope).collect(),
            topics: paired.iter().map(|(a, b)| a.topics.slope - b.topics.slope).collect(),
            embedders: paired.iter().map(|(a, b)| a.embedders.slope - b.embedders.slope).collect(),
        };
        let distribution = Distribution::new(draws, a.units);
        Some(Self { difference: distribution.interval(), p: distribution.p_of_zero() })
    }
}

/// P values adjusted for multiple comparisons, so that the probability of any false positive stays below the level.
///
/// In ascending order, p₍ᵢ₎ becomes the greatest of (m − j + 1)·p₍ⱼ₎ for j ≤ i, at most 1. Source: Holm, *A simple
/// sequentially rejective multiple test procedure*, Scand. J. Stat. 6 (1979) 65–70. Makes no assumption on their dependence.
///
/// ```
/// assert_eq!(ragbias_stats::holm(&[0.03, 0.01, 0.04]), [0.06, 0.03, 0.06]);
/// ```
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let (mut adjusted, mut least) = (vec![0.0; p.len()], 0.0_f64);
    for (rank, place) in order.into_iter().enumerate() {
        least = least.max((p.len() - rank) as f64 * p[place]).min(1.0);
        adjusted[place] = least;
    }
    adjusted
}
