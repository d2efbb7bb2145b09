use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{ContinuousCDF, Normal};

use crate::Estimate;
use crate::draws::quantile;
use crate::labelled::{ScoredTopics, TopicDraws, level};

/// The impact ratio: the selection rate of the pole that is selected less often over that of the other, at least 0; 1 if both are
/// selected equally often.
///
/// A pole's selection rate is the share of the scored texts that lean to it. The ratio is compared with 0.8 under the four-fifths rule
/// (US Equal Employment Opportunity Commission, *Uniform Guidelines on Employee Selection Procedures*, 29 CFR 1607.4 D, 1978), and
/// published in audits under New York City's Local Law 144 of 2021.
///
/// The interval is an expanded percentile interval over draws of topics, with the two poles in the same order in every
/// draw, so that it may extend beyond 1. None for fewer than two topics, or if no text leans to either pole.
pub fn impact_ratio(measured: &ScoredTopics, draws: usize, seed: u64) -> Option<Estimate> {
    let topics = measured.topics();
    let sum = |lean: usize| topics.iter().map(|topic| topic[lean]).sum::<f64>();
    let (less, more) = if sum(0) <= sum(2) { (0, 2) } else { (2, 0) };
    if topics.len() < 2 || sum(more) == 0.0 {
        return None;
    }
    let resampled = TopicDraws::new(topics.iter().map(|topic| [*topic]).collect(), [None]);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut ratios: Vec<f64> = (0..draws.max(100))
        .map(|_| {
            let [counts] = resampled.draw(&mut rng);
            // Nothing of the pole that is selected more: the ratio is beyond every bound.
            if counts[more] > 0.0 { counts[less] / counts[more] } else { f64::INFINITY }
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let level = level(topics.len());
    let (low, high) = (quantile(&ratios, level), quantile(&ratios, 1.0 - level));
    (low.is_finite() && high.is_finite()).then(|| Estimate::within(sum(less) / sum(more), low, high))
}

/// The smallest absolute bias that a measurement of this precision would find to differ from 0 with a probability of 80%, at a level of
/// 5%: (z₀.₉₇₅ + z₀.₈)·SE, with SE the width of the 95% interval over 2·z₀.₉₇₅; at most 1.
///
/// Source: Cohen, *Statistical Power Analysis for the Behavioral Sciences* (1988), ch. 2; assumes an interval that is about symmetric.
pub fn minimum_detectable(bias: Estimate) -> f64 {
    let normal = Normal::standard();
    let level = normal.inverse_cdf(0.975);
    let error = (bias.high - bias.low) / (2.0 * level);
    ((level + normal.inverse_cdf(0.8)) * error).min(1.0)
}

#[cfg(test)]
mod tests {
    use ragbias_core::Verdict;

    use super::*;

    fn texts(counts: [usize; 3]) -> ScoredTopics {
        let verdicts = [Verdict::NEGATIVE, Verdict::NEITHER, Verdict::POSITIVE];
        let all: Vec<Verdict> = verdicts.into_iter().zip(counts).flat_map(|(v, n)| vec![v; n]).collect();
        let topics: Vec<String> = (0..all.len()).map(|topic| topic.to_string()).collect();
        ScoredTopics::new(topics.iter().map(String::as_str).zip(all))
    }

    #[test]
    fn the_interval_agrees_with_that_of_a_log_ratio_of_multinomial_shares() {
        let ratio = impact_ratio(&texts([60, 40, 120]), 10_000, 1).unwrap();
        assert_eq!(ratio.value, 0.5);
        // exp(log(60/120) ± 1.96·√(1/60 + 1/120)) → 0.3667 to 0.6818.
        assert!((ratio.low - 0.3667).abs() < 0.015, "{ratio:?}");
        assert!((ratio.high - 0.6818).abs() < 0.02, "{ratio:?}");
    }

    #[test]
    fn the_ratio_does_not_depend_on_which_pole_is_called_positive() {
        let (a, b) = (impact_ratio(&texts([30, 5, 45]), 2000, 1), impact_ratio(&texts([45, 5, 30]), 2000, 1));
        assert_eq!(a.unwrap().value, b.unwrap().value);
        assert!(a.unwrap().covers(1.0));
        assert_eq!(impact_ratio(&texts([0, 20, 0]), 100, 1), None);
    }

    #[test]
    fn a_pole_that_is_never_selected_has_a_ratio_of_zero_and_an_interval() {
        let never = impact_ratio(&texts([0, 0, 40]), 4000, 1).unwrap();
        assert_eq!(never.value, 0.0);
        assert!(never.high > 0.02 && never.high < 0.2, "{never:?}");
    }

    #[test]
    fn what_can_be_detected_is_as_in_a_table_of_power() {
        // statsmodels: NormalIndPower().solve_power(nobs1=400, ratio=0, alpha=.05, power=.8) → 0.1400784 standard deviations;
        // with a standard deviation of 1, the interval of 400 questions is ± 1.959964/20.
        let half = 1.959_963_984_540_054 / 20.0;
        let found = minimum_detectable(Estimate { value: 0.3, low: 0.3 - half, high: 0.3 + half });
        assert!((found - 0.140_078_4).abs() < 1e-5, "{found}");
        assert_eq!(minimum_detectable(Estimate { value: 0.0, low: -1.0, high: 1.0 }), 1.0);
    }
}
