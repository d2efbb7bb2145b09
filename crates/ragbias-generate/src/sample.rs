use ragbias_core::{ContentHasher, Prompt};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::config::GenerateConfig;

/// Chooses tokens from logits: the largest one, or a draw determined by the seed and the prompt.
pub(crate) struct Sampler {
    temperature: f64,
    rng: ChaCha8Rng,
}

impl Sampler {
    pub(crate) fn new(config: &GenerateConfig, prompt: Prompt<'_>) -> Self {
        let seed = ContentHasher::new("sample/1").field(config.seed.to_le_bytes()).field(prompt.user);
        let seed = seed.last(prompt.system).finish();
        Self { temperature: config.temperature, rng: ChaCha8Rng::from_seed(*seed.as_bytes()) }
    }

    /// The next token; among equal logits, greedy decoding takes the smallest id.
    pub(crate) fn next(&mut self, logits: &[f32]) -> u32 {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let greedy = logits.iter().position(|&logit| logit == largest).unwrap_or_default();
        if self.temperature == 0.0 {
            return greedy as u32;
        }
        let weights: Vec<f64> =
            logits.iter().map(|&logit| (f64::from(logit - largest) / self.temperature).exp()).collect();
        let mut rest = self.rng.random::<f64>() * weights.iter().sum::<f64>();
        for (token, weight) in weights.iter().enumerate() {
            rest -= weight;
            if rest < 0.0 {
                return token as u32;
            }
        }
        greedy as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_softmax_and_repeat_with_seed_and_prompt() {
        let config = GenerateConfig { temperature: 0.5, ..GenerateConfig::default() };
        let logits = [0.0, 1.0, f32::NEG_INFINITY];
        let draw = |prompt: &str| {
            let mut sampler = Sampler::new(&config, prompt.into());
            (0..4000).map(|_| sampler.next(&logits)).collect::<Vec<_>>()
        };
        let draws = draw("p");
        assert_eq!(draws, draw("p"));
        assert_ne!(draws, draw("q"));
        let mut with_system = Sampler::new(&config, Prompt { system: Some("s"), user: "p" });
        assert_ne!(draws, (0..4000).map(|_| with_system.next(&logits)).collect::<Vec<_>>());
        assert!(!draws.contains(&2));
        // softmax([0, 2])[1] = 0.8808
        let share = draws.iter().filter(|&&t| t == 1).count() as f64 / 4000.0;
        assert!((share - 0.8808).abs() < 0.02, "{share}");
    }

    #[test]
    fn greedy_takes_the_first_of_equal_logits() {
        let mut sampler = Sampler::new(&GenerateConfig::default(), "".into());
        assert_eq!(sampler.next(&[0.0, 2.0, 2.0]), 1);
    }
}
