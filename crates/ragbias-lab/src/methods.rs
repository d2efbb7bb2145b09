//! Ways of training that instruments compare, and the difference that one makes against another.

use std::collections::BTreeMap;

use ragbias::stats::{Estimate, UnitBootstrap, crossed_mean};
use ragbias::tune::{Sharpness, TrainConfig};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Draws of an interval.
const DRAWS: usize = 4_000;

/// A difference that is no greater is one of rounding.
const ROUNDING: f64 = 1e-9;

/// A way of training: AdamW alone, or a form of sharpness-aware minimisation on it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Method {
    /// None for AdamW.
    form: Option<Sharpness>,
    /// ρ.
    radius: f64,
}

impl Method {
    /// Plain AdamW.
    pub(crate) const ADAMW: Self = Self { form: None, radius: 0.0 };

    /// A form with its radius ρ.
    pub(crate) fn new(form: Sharpness, radius: f64) -> Self {
        Self { form: Some(form), radius }
    }

    /// `AdamW`, `SAM ρ 0.05`.
    pub(crate) fn name(self) -> String {
        match self.form {
            None => self.form_name().into(),
            Some(_) => format!("{} ρ {}", self.form_name(), self.radius),
        }
    }

    /// `AdamW`, `SAM`.
    pub(crate) fn form_name(self) -> &'static str {
        match self.form {
            None => "AdamW",
            Some(Sharpness::Sam) => "SAM",
            Some(Sharpness::Asam) => "ASAM",
            Some(Sharpness::OneSam) => "1-SAM",
            Some(Sharpness::OneSamLogits) => "1-SAM, logits",
            Some(Sharpness::OneSamJacobian) => "1-SAM, Jacobian",
            Some(Sharpness::Penalty) => "penalty",
        }
    }

    /// The same training by this method.
    pub(crate) fn applied(self, config: TrainConfig) -> TrainConfig {
        match self.form {
            None => config,
            Some(form) => config.sam(self.radius).sharpness(form),
        }
    }

    /// Checks a radius.
    pub(crate) fn check_radius(setting: &'static str, radius: f64) -> Result<()> {
        if (0.0..=1e6).contains(&radius) {
            return Ok(());
        }
        let expected = "0 to 1000000; 0 is AdamW";
        Err(Error::Setting { setting, expected, received: radius.to_string() })
    }
}

/// Values of each unit, of one seed.
pub(crate) type BySeed = Vec<Vec<f64>>;

/// The mean difference of two methods over seeds and units, both resampled; `values[seed][unit]` of each.
pub(crate) fn difference(of: &[Vec<f64>], against: &[Vec<f64>], seed: u64) -> Option<Estimate> {
    if of.len() != against.len() {
        return None;
    }
    let minus = |(a, b): (&Vec<f64>, &Vec<f64>)| -> Option<Vec<f64>> {
        (a.len() == b.len()).then(|| a.iter().zip(b).map(|(a, b)| a - b).collect())
    };
    let differences: Option<Vec<Vec<f64>>> = of.iter().zip(against).map(minus).collect();
    crossed_mean(&differences?, DRAWS, seed)
}

/// The mean of values by unit, in the order of the units' names; units without a value are left out.
pub(crate) fn by_unit<'u>(values: impl Iterator<Item = (&'u str, f64)>) -> Vec<f64> {
    let mut sums: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
    for (unit, value) in values {
        let (sum, count) = sums.entry(unit).or_default();
        *sum += value;
        *count += 1;
    }
    sums.into_values().map(|(sum, count)| sum / count as f64).collect()
}

/// The numbers of the values of each unit, in the order of the units' names.
pub(crate) fn clusters<'u>(units: impl Iterator<Item = &'u str>) -> Vec<Vec<usize>> {
    let mut clusters: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, unit) in units.enumerate() {
        clusters.entry(unit).or_default().push(number);
    }
    clusters.into_values().collect()
}

/// The mean of values with its interval over them.
pub(crate) fn unit_mean(values: &[f64], seed: u64) -> Option<Estimate> {
    let mean =
        |units: &[usize]| Some(units.iter().map(|&unit| values[unit]).sum::<f64>() / units.len() as f64);
    UnitBootstrap::new(values.len(), seed).estimate(mean)
}

/// The mean of values with its interval over their topics, and the number of topics.
pub(crate) fn topic_mean<'t>(
    values: impl Iterator<Item = (&'t str, f64)>,
    seed: u64,
) -> (Option<Estimate>, usize) {
    let mut by_topic: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (topic, value) in values {
        let (sum, count) = by_topic.entry(topic).or_default();
        (*sum, *count) = (*sum + value, *count + 1.0);
    }
    let by_topic: Vec<(f64, f64)> = by_topic.into_values().collect();
    let estimate = UnitBootstrap::new(by_topic.len(), seed).estimate(|topics| {
        let add = |sum: (f64, f64), &topic: &usize| (sum.0 + by_topic[topic].0, sum.1 + by_topic[topic].1);
        let (sum, count) = topics.iter().fold((0.0, 0.0), add);
        Some(sum / count)
    });
    (estimate, by_topic.len())
}

/// A share in per cent, to a tenth.
pub(crate) fn percent(share: f64) -> String {
    format!("{}%", (1000.0 * share).round() / 10.0)
}

/// What an estimate says of a difference.
pub(crate) fn says(estimate: Option<Estimate>, above: &str, below: &str) -> String {
    match estimate {
        None => "cannot be identified at this size".into(),
        Some(estimate) if estimate.low > ROUNDING => above.into(),
        Some(estimate) if estimate.high < -ROUNDING => below.into(),
        Some(_) => "no effect seen".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_difference_is_found_within_its_interval_and_shuffled_values_give_none() {
        // Two methods of 5 seeds and 40 topics that differ by 0.2, with an effect of topics that cancels.
        let topic = |j: usize| (j as f64 * 0.7).sin();
        let noise = |i: usize, j: usize| 0.1 * ((i * 41 + j * 17) as f64).sin();
        let of = |shift: f64, from: usize| -> BySeed {
            (0..5).map(|i| (0..40).map(|j| topic(j) + shift + noise(i + from, j)).collect()).collect()
        };
        let found = difference(&of(0.2, 0), &of(0.0, 9), 0).unwrap();
        assert!(found.covers(0.2) && found.low > 0.1, "{found:?}");
        let none = difference(&of(0.0, 0), &of(0.0, 9), 0).unwrap();
        assert!(none.covers(0.0), "{none:?}");
        assert_eq!(says(Some(none), "above", "below"), "no effect seen");
        assert_eq!(says(Some(found), "above", "below"), "above");
        let rounded = Estimate { value: -4e-16, low: -4e-16, high: -4e-16 };
        assert_eq!(says(Some(rounded), "above", "below"), "no effect seen");
        assert!(difference(&of(0.0, 0), &of(0.0, 0)[..2], 0).is_none());
    }

    #[test]
    fn units_have_their_mean_in_the_order_of_their_names() {
        assert_eq!(by_unit([("b", 1.0), ("a", 5.0), ("b", 2.0)].into_iter()), [5.0, 1.5]);
        assert_eq!(clusters(["b", "a", "b"].into_iter()), [vec![1], vec![0, 2]]);
    }
}
