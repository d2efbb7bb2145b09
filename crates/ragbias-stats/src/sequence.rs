use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use statrs::function::gamma::{gamma_lr, ln_gamma};

use crate::{Error, Result};

/// Length of [−1, 1], the scale c of the boundary.
const LENGTH: f64 = 2.0;
/// The sum of squares at which the boundary is narrowest: that of some 500 answers that lean to either pole.
const NARROWEST: f64 = 500.0;
/// The error of a side for which it is narrowest.
const SIDE: f64 = 0.025;
/// Units up to which it is asked whether they would decide.
const MOST: usize = 10_000_000;

/// The mean of bounded values that arrive one after the other, with an interval that holds at all times together.
///
/// An ordinary 95% interval holds at one time that is fixed beforehand. Whoever looks daily, and acts when it excludes something, errs more often
/// than in 5%, and in the end always. This interval may be looked at after every value.
///
/// Values x₁, x₂, … lie in [−1, 1]. The interval after t of them is x̄ₜ ± u(Vₜ)/t, with Vₜ = Σ(xᵢ − x̂ᵢ)² and x̂ᵢ the mean of the values before xᵢ
/// (0 before the first). With probability 1 − α it holds at every t the mean of the conditional expectations μₜ = (1/t)·Σ E[xᵢ | x₁ … xᵢ₋₁]. Nothing is assumed of
/// the values but their range: neither that they are independent, nor that their expectation stays the same. If it does stay, it is μₜ.
///
/// u is the gamma-exponential mixture boundary for scale c = 2 at α/2 for each side: the s at which the mixture
/// m(s, V) = ρ'^ρ' / (Γ(ρ')·P(ρ', ρ')) · Γ(a)·P(a, b) / b^a · exp((c·s + V)/c²) reaches 2/α, where ρ' = ρ/c², a = (V + ρ)/c², b = (c·s + V + ρ)/c², and P is the
/// regularised lower incomplete gamma function. ρ makes it narrowest around V = 500.
///
/// Source: Howard, Ramdas, McAuliffe & Sekhon, *Time-uniform, nonparametric, nonasymptotic confidence sequences*, Annals of Statistics 49 (2021)
/// 1055–1080, Theorem 4 (empirical Bernstein) and Proposition 9 (the mixture).
///
/// ```
/// use ragbias_stats::ConfidenceSequence;
///
/// let mut sequence = ConfidenceSequence::default();
/// for value in [1.0, 0.0, -1.0, 0.5].repeat(250) {
///     sequence.push(value)?;
/// }
/// let interval = sequence.interval(0.05);
/// assert!(*interval.start() > 0.04 && *interval.end() < 0.21, "{interval:?}");
/// # Ok::<(), ragbias_stats::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "Sums", into = "Sums")]
pub struct ConfidenceSequence {
    units: usize,
    sum: f64,
    squares: f64,
}

/// A sequence in JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sums {
    units: usize,
    sum: f64,
    squares: f64,
}

impl From<ConfidenceSequence> for Sums {
    fn from(ConfidenceSequence { units, sum, squares }: ConfidenceSequence) -> Self {
        Self { units, sum, squares }
    }
}

impl TryFrom<Sums> for ConfidenceSequence {
    type Error = Error;

    fn try_from(Sums { units, sum, squares }: Sums) -> Result<Self> {
        let most = units as f64;
        if !(-most..=most).contains(&sum) {
            return Err(Error::Range { place: "the mean of a sequence".into(), received: sum / most });
        }
        if !(0.0..=LENGTH * LENGTH * most).contains(&squares) {
            let expected = "0 to 4 for each unit";
            return Err(Error::Setting { setting: "the sum of squares", expected, received: squares });
        }
        Ok(Self { units, sum, squares })
    }
}

impl ConfidenceSequence {
    /// Adds the next value.
    ///
    /// # Errors
    /// A value outside [−1, 1].
    pub fn push(&mut self, value: f64) -> Result<()> {
        if !(-1.0..=1.0).contains(&value) {
            return Err(Error::Range { place: "a unit of a sequence".into(), received: value });
        }
        self.squares += (value - self.mean().unwrap_or(0.0)).powi(2);
        self.sum += value;
        self.units += 1;
        Ok(())
    }

    /// Number of values.
    pub fn units(&self) -> usize {
        self.units
    }

    /// Their mean, in [−1, 1]; none before the first.
    pub fn mean(&self) -> Option<f64> {
        (self.units > 0).then(|| self.sum / self.units as f64)
    }

    /// The interval now, at error α in (0, 1) over all times, within [−1, 1].
    pub fn interval(&self, alpha: f64) -> RangeInclusive<f64> {
        let Some(mean) = self.mean() else { return -1.0..=1.0 };
        let half = boundary(self.squares, alpha / 2.0) / self.units as f64;
        (mean - half).max(-1.0)..=(mean + half).min(1.0)
    }

    /// Whether the interval at error α excludes a value; the same as to look at [`interval`](Self::interval), without its root.
    pub fn excludes(&self, value: f64, alpha: f64) -> bool {
        let deviation = (self.sum - self.units as f64 * value).abs();
        log_mixture(deviation, self.squares) >= (2.0 / alpha).ln()
    }

    /// Units after which the interval at error α would lie within ±`threshold`, or beyond on one side, if mean and squares stay as they are;
    /// at most those there are if it does now, none if ten million do not suffice.
    pub fn units_to_decide(&self, threshold: f64, alpha: f64) -> Option<usize> {
        let distance = (self.mean()?.abs() - threshold).abs();
        let each = self.squares / self.units as f64;
        let decided = |units: usize| {
            let units = units as f64;
            boundary(each * units, alpha / 2.0) / units < distance
        };
        let mut most = self.units;
        while !decided(most) {
            most *= 2;
            if most > MOST {
                return None;
            }
        }
        let mut least = most / 2;
        while most - least > 1 {
            let middle = usize::midpoint(least, most);
            if decided(middle) { most = middle } else { least = middle }
        }
        Some(most)
    }
}

/// ρ of the normal mixture that is narrowest at a sum of squares, for one side (Howard et al., Proposition 3).
fn tuned() -> f64 {
    let error = -2.0 * (2.0 * SIDE).ln();
    NARROWEST / (error + error.ln_1p())
}

/// u(V): the sum of deviations that the mixture excludes at this error of one side.
fn boundary(squares: f64, side: f64) -> f64 {
    let level = -side.ln();
    let mut high = LENGTH;
    while log_mixture(high, squares) < level {
        high *= 2.0;
    }
    let mut low = 0.0;
    for _ in 0..70 {
        let middle = f64::midpoint(low, high);
        if log_mixture(middle, squares) < level { low = middle } else { high = middle }
    }
    high
}

/// The logarithm of the gamma-exponential mixture m(s, V), which grows with s ≥ 0.
fn log_mixture(deviation: f64, squares: f64) -> f64 {
    let scale = LENGTH * LENGTH;
    let rho = tuned() / scale;
    let first = rho * rho.ln() - ln_gamma(rho) - gamma_lr(rho, rho).ln();
    let tilt = (LENGTH * deviation + squares) / scale;
    let (a, b) = (squares / scale + rho, tilt + rho);
    first + ln_gamma(a) + gamma_lr(a, b).ln() - a * b.ln() + tilt
}

/// The interval of the mean of `n` independent values in [−1, 1] of which only their mean is known, at error α, for this n alone.
///
/// It has the means m for which n·KL(x̄ ‖ m) < ln(2/α), where KL is the divergence of coins of these means: the Chernoff bound, which holds for bounded values.
/// Source: Hoeffding, *Probability inequalities for sums of bounded random variables*, J. Am. Stat. Assoc. 58 (1963) 13–30, Theorem 1, inequality (2.1).
///
/// # Errors
/// A mean outside [−1, 1], or no value.
pub fn bounded_mean_interval(mean: f64, n: usize, alpha: f64) -> Result<RangeInclusive<f64>> {
    if !(-1.0..=1.0).contains(&mean) {
        return Err(Error::Range { place: "the mean".into(), received: mean });
    }
    if n == 0 {
        return Err(Error::TooFew { what: "values of the mean", expected: 1, received: 0 });
    }
    let share = f64::midpoint(1.0, mean);
    let most = (2.0 / alpha).ln() / n as f64;
    let end = |bound: f64| {
        let (mut inside, mut outside) = (share, bound);
        for _ in 0..60 {
            let middle = f64::midpoint(inside, outside);
            if divergence(share, middle) < most { inside = middle } else { outside = middle }
        }
        2.0 * outside - 1.0
    };
    Ok(end(0.0)..=end(1.0))
}

/// The Kullback–Leibler divergence of coins.
fn divergence(p: f64, q: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    part(p, q) + part(1.0 - p, 1.0 - q)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// scripts/reference/sequence.py: the authors' package `confseq`, and scipy.
    #[test]
    fn boundaries_and_intervals_are_those_of_the_reference() {
        for (squares, side, expected) in [
            (0.0, 0.025, 23.938_655_829),
            (1.5, 0.025, 24.224_346_268),
            (80.0, 0.025, 36.331_365_772),
            (500.0, 0.0125, 80.541_816_251),
            (9000.0, 0.025, 324.637_025_779),
            (250_000.0, 0.0001, 2_540.266_083_446),
        ] {
            let found = boundary(squares, side);
            assert!((found - expected).abs() < 1e-6, "{squares} {side}: {found}, expected {expected}");
        }
        for (units, alpha, low, high) in [
            (1, 0.05, -1.0, 1.0),
            (40, 0.05, -0.895_267_750, 0.505_267_750),
            (700, 0.05, -0.288_692_299, -0.110_736_272),
            (700, 0.0083, -0.308_773_570, -0.090_655_001),
            (10_000, 0.05, -0.223_376_342, -0.176_783_658),
        ] {
            let mut sequence = ConfidenceSequence::default();
            for unit in 0..units {
                sequence.push((f64::from((7 * unit * unit + 3 * unit) % 11) - 5.0) / 5.0).unwrap();
            }
            let found = sequence.interval(alpha);
            assert!(
                (found.start() - low).abs() < 1e-6 && (found.end() - high).abs() < 1e-6,
                "{units}: {found:?}"
            );
        }
        for (mean, n, alpha, low, high) in [
            (0.02, 600, 0.05, -0.090_689_813, 0.130_363_119),
            (-0.3, 50, 0.025, -0.650_010_205, 0.116_495_208),
            (1.0, 20, 0.05, 0.663_133_058, 1.0),
            (0.0, 1, 0.05, -0.999_687_451, 0.999_687_451),
        ] {
            let found = bounded_mean_interval(mean, n, alpha).unwrap();
            assert!(
                (found.start() - low).abs() < 1e-6 && (found.end() - high).abs() < 1e-6,
                "{mean} {n}: {found:?}"
            );
        }
        assert!(bounded_mean_interval(1.2, 5, 0.05).is_err() && bounded_mean_interval(0.0, 0, 0.05).is_err());
    }

    /// A lean with this expectation; a third of all leans are 0 where that allows it.
    fn lean(expected: f64, rng: &mut ChaCha8Rng) -> f64 {
        let leaning = f64::max(expected.abs(), 2.0 / 3.0);
        let drawn: f64 = rng.random();
        if drawn >= leaning {
            0.0
        } else if drawn < f64::midpoint(leaning, expected) {
            1.0
        } else {
            -1.0
        }
    }

    fn excluded(streams: usize, mut expected: impl FnMut(usize, f64, &mut ChaCha8Rng) -> f64) -> usize {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let mut excluded = 0;
        for _ in 0..streams {
            let (mut sequence, mut truth) = (ConfidenceSequence::default(), 0.0);
            let mut before = 0.0;
            let ever = (0..10_000).any(|unit| {
                let mean = expected(unit, before, &mut rng);
                before = lean(mean, &mut rng);
                sequence.push(before).unwrap();
                truth += mean;
                sequence.excludes(truth / (unit + 1) as f64, 0.05)
            });
            excluded += usize::from(ever);
        }
        excluded
    }

    #[test]
    fn whoever_looks_after_every_answer_excludes_the_truth_in_at_most_5_percent_of_systems() {
        let at_the_threshold = excluded(200, |_, _, _| 0.1);
        assert!(at_the_threshold <= 10, "{at_the_threshold} of 200");
        // An expectation that wanders, and that follows the answer before: the sequence holds its mean.
        let wandering = excluded(200, |unit, before, _| 0.4 * (unit as f64 / 500.0).sin() + 0.3 * before);
        assert!(wandering <= 10, "{wandering} of 200");
    }

    #[test]
    fn an_ordinary_interval_would_not_do() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let wrong = (0..200).filter(|_| {
            let (mut sum, mut squares) = (0.0, 0.0);
            (1..=10_000).any(|n| {
                let value = lean(0.1, &mut rng) - 0.1;
                sum += value;
                squares += value * value;
                n >= 30 && f64::abs(sum) > 1.96 * f64::sqrt(squares)
            })
        });
        let wrong = wrong.count();
        assert!(wrong > 50, "only {wrong} of 200: the simulation tests nothing");
    }

    #[test]
    fn excluding_a_value_is_what_the_interval_does() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut sequence = ConfidenceSequence::default();
        assert_eq!(sequence.interval(0.05), -1.0..=1.0);
        for _ in 0..600 {
            sequence.push(lean(0.2, &mut rng)).unwrap();
        }
        let (low, high) = sequence.interval(0.05).into_inner();
        assert!(low > 0.0 && high < 0.4, "{low} {high}");
        assert!(!sequence.excludes(high - 1e-9, 0.05) && sequence.excludes(high + 1e-9, 0.05));
        assert!(!sequence.excludes(low + 1e-9, 0.05) && sequence.excludes(low - 1e-9, 0.05));
        let (wider, _) = sequence.interval(0.01).into_inner();
        assert!(wider < low);
    }

    #[test]
    fn units_to_decide_decide_if_they_are_like_those_before() {
        let mut sequence = ConfidenceSequence::default();
        let push = |sequence: &mut ConfidenceSequence, times: usize| {
            for value in [1.0, -1.0, 0.0].repeat(times) {
                sequence.push(value).unwrap();
            }
        };
        push(&mut sequence, 50);
        let needed = sequence.units_to_decide(0.1, 0.05).unwrap();
        assert!(needed > 150);
        push(&mut sequence, (needed - 150).div_ceil(3) + 2);
        assert!(*sequence.interval(0.05).end() < 0.1);
        let mut before = ConfidenceSequence::default();
        push(&mut before, (needed - 60) / 3);
        assert!(*before.interval(0.05).end() > 0.1);
    }

    #[test]
    fn values_out_of_range_and_sums_that_no_values_have_are_refused() {
        let mut sequence = ConfidenceSequence::default();
        assert!(sequence.push(f64::NAN).is_err() && sequence.push(1.01).is_err());
        for wrong in [
            r#"{"units":2,"sum":3,"squares":1}"#,
            r#"{"units":2,"sum":0,"squares":-1}"#,
            r#"{"units":2,"sum":0,"squares":9}"#,
        ] {
            assert!(serde_json::from_str::<ConfidenceSequence>(wrong).is_err(), "{wrong}");
        }
        sequence.push(1.0 / 3.0).unwrap();
        let written = serde_json::to_string(&sequence).unwrap();
        assert_eq!(serde_json::from_str::<ConfidenceSequence>(&written).unwrap(), sequence);
    }
}
