//! Stochastic ranking: documents drawn by the softmax of their scores, instead of the nearest ones.

use std::sync::Arc;

use ragbias_core::limits::TEMPERATURE;
use ragbias_core::{ContentHasher, Corpus, Hit, Question};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Result;

/// Number of nearest documents per question over which C_b is measured; also the pool that a ranking orders.
pub(crate) const NEIGHBOURHOOD: usize = 20;

/// Ranks the nearest documents of a question: by drawing, re-ranking or filtering.
pub trait Ranking: Send + Sync {
    /// A question's hits in a new order, best first; some may be left out, none added.
    fn order(&self, nearest: Vec<Hit>, question: &Question, corpus: &Corpus) -> Vec<Hit>;

    /// Refuses settings out of range, before any work.
    ///
    /// # Errors
    /// A setting out of range.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// If hits are drawn, the probability of each to come first, which sum to 1; none if nothing is random.
    fn chances(&self, nearest: &[Hit]) -> Option<Vec<f64>> {
        let _ = nearest;
        None
    }
}

/// The top k at a temperature T: k draws without replacement, each by the softmax of cosine / T over the remaining documents.
///
/// The draws are the k largest of cosine / T plus Gumbel noise (Kool, van Hoof, Welling, *Stochastic beams and where to
/// find them*, ICML 2019, <https://arxiv.org/abs/1903.06059>). At T = 0 the ranking is the embedder's own. A question's
/// draws depend only on the seed and on its `_id`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StochasticRanking {
    /// T, at least 0.
    pub temperature: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl StochasticRanking {
    /// The ranking at a temperature; none at 0, where the nearest come first.
    pub(crate) fn at(temperature: f64, seed: u64) -> Option<Arc<dyn Ranking>> {
        (temperature != 0.0).then(|| Arc::new(Self { temperature, seed }) as _)
    }
}

impl Ranking for StochasticRanking {
    fn check(&self) -> Result<()> {
        Ok(TEMPERATURE.check("temperature", self.temperature)?)
    }

    fn order(&self, mut nearest: Vec<Hit>, question: &Question, _: &Corpus) -> Vec<Hit> {
        if self.temperature == 0.0 {
            return nearest;
        }
        let seed = ContentHasher::new("rank/1").field(self.seed.to_le_bytes()).field(&question.id).finish();
        let mut rng = ChaCha8Rng::from_seed(*seed.as_bytes());
        let mut key = |hit: &Hit| {
            let uniform: f64 = rng.random_range(f64::MIN_POSITIVE..1.0);
            f64::from(hit.score) / self.temperature - (-uniform.ln()).ln()
        };
        let mut keyed: Vec<(f64, Hit)> = nearest.drain(..).map(|hit| (key(&hit), hit)).collect();
        keyed.sort_by(|a, b| b.0.total_cmp(&a.0));
        keyed.into_iter().map(|(_, hit)| hit).collect()
    }

    /// The softmax of score / T.
    fn chances(&self, nearest: &[Hit]) -> Option<Vec<f64>> {
        if self.temperature == 0.0 {
            return None;
        }
        let largest = nearest.iter().map(|hit| f64::from(hit.score)).fold(f64::NEG_INFINITY, f64::max);
        let weight = |hit: &Hit| ((f64::from(hit.score) - largest) / self.temperature).exp();
        let whole: f64 = nearest.iter().map(weight).sum();
        Some(nearest.iter().map(|hit| weight(hit) / whole).collect())
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::{DocId, Document};

    use super::*;

    fn hits() -> Vec<Hit> {
        [0.9, 0.8, 0.5].into_iter().zip(0..).map(|(score, i)| Hit { document: DocId(i), score }).collect()
    }

    fn order(ranking: StochasticRanking) -> Vec<Hit> {
        let question = Question { id: "q".into(), text: "Who?".into(), topic: None, choices: None };
        let documents = ["a", "b", "c"].map(|id| Document::new(id, "text")).to_vec();
        ranking.order(hits(), &question, &Corpus::new(documents).unwrap())
    }

    #[test]
    fn draws_come_as_often_as_their_chances_say() {
        let chances = StochasticRanking { temperature: 0.2, seed: 0 }.chances(&hits()).unwrap();
        assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let mut counts = [0_usize; 3];
        for seed in 0..4000 {
            let first = order(StochasticRanking { temperature: 0.2, seed })[0];
            counts[first.document.index()] += 1;
        }
        for (count, chance) in counts.into_iter().zip(chances) {
            assert!((count as f64 / 4000.0 - chance).abs() < 0.025, "{count} of 4000, expected {chance}");
        }
    }

    #[test]
    fn at_temperature_0_nothing_is_drawn() {
        let none = StochasticRanking { temperature: 0.0, seed: 0 };
        assert_eq!((order(none), none.chances(&hits())), (hits(), None));
    }
}
