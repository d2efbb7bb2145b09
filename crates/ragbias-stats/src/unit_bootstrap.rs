//! Intervals of any statistic of independent units.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Estimate;
use crate::draws::quantile;

/// 95% percentile intervals of a statistic of independent units, such as topics or seeds, which are drawn with replacement.
///
/// Several statistics of the same units see the same draws if the seed is the same. Source: Efron & Tibshirani, *An Introduction to the
/// Bootstrap* (1993), ch. 13.
#[derive(Debug, Clone, Copy)]
pub struct UnitBootstrap {
    units: usize,
    draws: usize,
    seed: u64,
}

impl UnitBootstrap {
    /// 2,000 draws of this many units.
    pub fn new(units: usize, seed: u64) -> Self {
        Self { units, draws: 2_000, seed }
    }

    /// The statistic of all units, with the interval from the 2.5% to the 97.5% quantile of that of the draws.
    ///
    /// The statistic gets the numbers of the units that were drawn, each as often as it was. None if there are fewer than two units, or it
    /// is not defined or not finite for all of them, or for more than a tenth of the draws.
    pub fn estimate(&self, statistic: impl Fn(&[usize]) -> Option<f64>) -> Option<Estimate> {
        if self.units < 2 {
            return None;
        }
        let all: Vec<usize> = (0..self.units).collect();
        let value = statistic(&all).filter(|value| value.is_finite())?;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut drawn = all;
        let mut values: Vec<f64> = (0..self.draws)
            .filter_map(|_| {
                drawn.fill_with(|| rng.random_range(0..self.units));
                statistic(&drawn).filter(|value| value.is_finite())
            })
            .collect();
        if 10 * values.len() < 9 * self.draws {
            return None;
        }
        values.sort_by(f64::total_cmp);
        Some(Estimate::within(value, quantile(&values, 0.025), quantile(&values, 0.975)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_is_that_of_its_standard_error() {
        let values: Vec<f64> = (0..200).map(|i| f64::from(i % 10)).collect();
        let mean = |units: &[usize]| Some(units.iter().map(|&i| values[i]).sum::<f64>() / units.len() as f64);
        let estimate = UnitBootstrap::new(values.len(), 0).estimate(mean).unwrap();
        let error = (8.25_f64 / 200.0).sqrt();
        assert_eq!(estimate.value, 4.5);
        assert!((estimate.high - estimate.low - 2.0 * 1.96 * error).abs() < 0.1 * error, "{estimate:?}");
    }

    #[test]
    fn one_unit_and_a_statistic_without_values_have_no_interval() {
        assert!(UnitBootstrap::new(1, 0).estimate(|_| Some(1.0)).is_none());
        assert!(UnitBootstrap::new(9, 0).estimate(|_| Some(f64::NAN)).is_none());
    }
}
