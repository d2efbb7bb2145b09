//! Stochastic ranking: documents drawn by the softmax of their scores, instead of the nearest ones.

use ragbias_core::{ContentHasher, Hit};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The top k at a temperature T: k draws without replacement, each by the softmax of cosine / T over what is left.
///
/// The draws are the k largest of cosine / T plus Gumbel noise (Kool, van Hoof, Welling, *Stochastic beams and where to
/// find them*, ICML 2019, <https://arxiv.org/abs/1903.06059>). At T = 0 the ranking is the embedder's own. A question's
/// draws depend on the seed and on its `_id` alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StochasticRanking {
    /// T, at least 0.
    pub temperature: f64,
    /// Of the draws.
    pub seed: u64,
}

impl StochasticRanking {
    /// The embedder's own ranking.
    pub const NONE: Self = Self { temperature: 0.0, seed: 0 };

    /// A question's hits in the order in which they are drawn.
    pub fn order(&self, mut hits: Vec<Hit>, question: &str) -> Vec<Hit> {
        if self.temperature <= 0.0 {
            return hits;
        }
        let seed = ContentHasher::new("rank/1").field(self.seed.to_le_bytes()).field(question).finish();
        let mut rng = ChaCha8Rng::from_seed(*seed.as_bytes());
        let mut key = |hit: &Hit| {
            let uniform: f64 = rng.random_range(f64::MIN_POSITIVE..1.0);
            f64::from(hit.score) / self.temperature - (-uniform.ln()).ln()
        };
        let mut keyed: Vec<(f64, Hit)> = hits.drain(..).map(|hit| (key(&hit), hit)).collect();
        keyed.sort_by(|a, b| b.0.total_cmp(&a.0));
        keyed.into_iter().map(|(_, hit)| hit).collect()
    }

    /// The chance of each hit to be drawn first: the softmax of cosine / T; at T = 0, 1 for the first.
    pub fn chances(&self, hits: &[Hit]) -> Vec<f64> {
        if self.temperature <= 0.0 {
            return (0..hits.len()).map(|place| if place == 0 { 1.0 } else { 0.0 }).collect();
        }
        let largest = hits.iter().map(|hit| f64::from(hit.score)).fold(f64::NEG_INFINITY, f64::max);
        let weight = |hit: &Hit| ((f64::from(hit.score) - largest) / self.temperature).exp();
        let whole: f64 = hits.iter().map(weight).sum();
        hits.iter().map(|hit| weight(hit) / whole).collect()
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::DocId;

    use super::*;

    fn hits() -> Vec<Hit> {
        [0.9, 0.8, 0.5].into_iter().zip(0..).map(|(score, i)| Hit { document: DocId(i), score }).collect()
    }

    #[test]
    fn draws_come_as_often_as_their_chances_say() {
        let chances = StochasticRanking { temperature: 0.2, seed: 0 }.chances(&hits());
        assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let mut counts = [0_usize; 3];
        for seed in 0..4000 {
            let first = StochasticRanking { temperature: 0.2, seed }.order(hits(), "q")[0];
            counts[first.document.index()] += 1;
        }
        for (count, chance) in counts.into_iter().zip(chances) {
            assert!((count as f64 / 4000.0 - chance).abs() < 0.025, "{count} of 4000, expected {chance}");
        }
    }

    #[test]
    fn at_temperature_0_nothing_is_drawn() {
        assert_eq!(StochasticRanking::NONE.order(hits(), "q"), hits());
        assert_eq!(StochasticRanking::NONE.chances(&hits()), [1.0, 0.0, 0.0]);
    }
}
