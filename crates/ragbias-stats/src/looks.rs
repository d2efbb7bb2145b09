use std::collections::BTreeMap;

use ragbias_core::{Bias, Counts, Error as CoreError, Verdict};
use statrs::distribution::{ContinuousCDF, Normal};

use crate::line::student;
use crate::{Error, Result};

/// The error that all looks together may spend, on both sides.
const ALPHA: f64 = 0.05;
/// Looks that can be planned.
const MOST: usize = 50;
/// Points of Simpson's rule over the region in which sampling goes on; an odd number.
const POINTS: usize = 401;
/// Where the score is taken to be after a look that ends nothing.
const FAR: f64 = 8.0;

/// Looks at answers that accumulate, with intervals that hold the true bias at all looks together with 95%.
///
/// Whoever looks again and again at an ordinary 95% interval, and stops when it has decided, errs more often than in 5%. Here every
/// look spends a part of the 2.5% of either side: until the share t of the answers, 2 − 2Φ(z₀.₉₈₇₅/√t). The boundary z of a look follows from the joint
/// normal distribution of all looks, by numerical integration; its interval is bias ± z standard errors (a repeated confidence
/// interval). Sources: Lan & DeMets, *Discrete sequential boundaries for clinical trials*, Biometrika 70 (1983) 659–663, with a
/// spending function of the O'Brien–Fleming type; Armitage, McPherson & Rowe, J. R. Stat. Soc. A 132 (1969) 235–244, for the
/// integral; Jennison & Turnbull, *Interim analyses: the repeated confidence interval approach*, J. R. Stat. Soc. B 51 (1989) 305–361.
///
/// The standard error is that of a ratio of sums over topics, `s² = G/(G−1)·Σe² / n² + 2/G²` with e the sum of a topic's deviations from
/// the bias, G topics and n scored answers. Its last term is that of two further topics of average size, one wholly of either pole:
/// without it, a few answers that agree would have no error. z is replaced by the quantile of Student's t with G − 1 degrees of freedom at
/// the same probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Looks {
    shares: Vec<f64>,
    boundaries: Vec<f64>,
}

impl Looks {
    /// Looks after equal parts of the answers.
    ///
    /// # Errors
    /// No look, or more than 50.
    pub fn equal(number: usize) -> Result<Self> {
        if !(1..=MOST).contains(&number) {
            let expected = "1 to 50";
            return Err(Error::Setting { setting: "looks", expected, received: number as f64 });
        }
        Self::at((1..=number).map(|look| look as f64 / number as f64).collect())
    }

    /// Looks after these shares of the answers, in (0, 1], increasing.
    ///
    /// # Errors
    /// Other shares.
    pub fn at(shares: Vec<f64>) -> Result<Self> {
        let mut before = 0.0;
        for &share in &shares {
            if !(share > before && share <= 1.0) {
                let expected = "a share of the answers, up to 1, above that of the look before";
                return Err(Error::Setting { setting: "look", expected, received: share });
            }
            before = share;
        }
        let boundaries = boundaries(&shares);
        Ok(Self { shares, boundaries })
    }

    /// Number of looks.
    pub fn number(&self) -> usize {
        self.shares.len()
    }

    /// The share of the answers at a look, from 0.
    ///
    /// # Panics
    /// If there is no such look.
    pub fn share(&self, look: usize) -> f64 {
        self.shares[look]
    }

    /// The boundary of a look: its interval reaches so many standard errors to either side.
    ///
    /// # Panics
    /// If there is no such look.
    pub fn boundary(&self, look: usize) -> f64 {
        self.boundaries[look]
    }

    /// The bias of the verdicts so far, with the interval of a look; `topics[i]` is the cluster of `verdicts[i]`.
    ///
    /// # Errors
    /// [`CoreError::BatchLength`] if the lengths differ, [`CoreError::NothingScored`] if no verdict is scored.
    ///
    /// # Panics
    /// If there is no such look.
    pub fn bias(
        &self,
        look: usize,
        verdicts: &[Verdict],
        topics: &[impl AsRef<str>],
    ) -> ragbias_core::Result<Bias> {
        if verdicts.len() != topics.len() {
            let (expected, received) = (verdicts.len(), topics.len());
            return Err(CoreError::BatchLength { component: "the list of topics", expected, received });
        }
        let counts = Counts::of(verdicts);
        let mean = counts.mean_lean().ok_or(CoreError::NothingScored(counts))?;
        let mut deviations: BTreeMap<&str, f64> = BTreeMap::new();
        for (verdict, topic) in verdicts.iter().zip(topics) {
            if let Some(lean) = verdict.lean() {
                *deviations.entry(topic.as_ref()).or_default() += lean.value() - mean;
            }
        }
        let (topics, n) = (deviations.len() as f64, counts.scored() as f64);
        if topics < 2.0 {
            return Bias::from_verdicts(verdicts, -1.0..=1.0);
        }
        let squares: f64 = deviations.values().map(|sum| sum * sum).sum();
        let error = (topics / (topics - 1.0) * squares / (n * n) + 2.0 / (topics * topics)).sqrt();
        let beyond = Normal::standard().cdf(-self.boundary(look));
        let half = error * -student(topics - 1.0).inverse_cdf(beyond);
        Bias::from_verdicts(verdicts, (mean - half).max(-1.0)..=(mean + half).min(1.0))
    }
}

/// The error that may be spent until this share of the answers.
fn spent(share: f64) -> f64 {
    let normal = Normal::standard();
    4.0 * normal.cdf(normal.inverse_cdf(ALPHA / 4.0) / share.sqrt())
}

/// The boundary of every look.
///
/// The score at a look is normal with the share as its variance, and its increments are independent. `density` is that of the score
/// at points where no look has ended the sampling yet.
fn boundaries(shares: &[f64]) -> Vec<f64> {
    let normal = Normal::standard();
    // Before the first look the score is 0.
    let mut known: Option<(Vec<f64>, Vec<f64>)> = None;
    let (mut before, mut boundaries) = (0.0, Vec::with_capacity(shares.len()));
    for &share in shares {
        let spread = (share - before).sqrt();
        let spend = spent(share) - spent_until(before);
        // The probability that the score ends beyond ±c at this look.
        let beyond = |c: f64| match &known {
            None => 2.0 * normal.cdf(-c / spread),
            Some((points, density)) => integral(points, |place| {
                density[place]
                    * (normal.cdf((points[place] - c) / spread) + normal.cdf((-c - points[place]) / spread))
            }),
        };
        let (mut low, mut high) = (0.0, FAR * share.sqrt());
        for _ in 0..80 {
            let middle = f64::midpoint(low, high);
            if beyond(middle) > spend { low = middle } else { high = middle }
        }
        let end = f64::midpoint(low, high);
        boundaries.push(end / share.sqrt());
        let points: Vec<f64> =
            (0..POINTS).map(|place| end * (2.0 * place as f64 / (POINTS - 1) as f64 - 1.0)).collect();
        let rise = |distance: f64| {
            (-0.5 * (distance / spread).powi(2)).exp() / (spread * (2.0 * std::f64::consts::PI).sqrt())
        };
        let density = points.iter().map(|&score| match &known {
            None => rise(score),
            Some((from, density)) => integral(from, |place| density[place] * rise(score - from[place])),
        });
        let density = density.collect();
        known = Some((points, density));
        before = share;
    }
    boundaries
}

fn spent_until(share: f64) -> f64 {
    if share > 0.0 { spent(share) } else { 0.0 }
}

/// Simpson's rule over equally spaced points, an odd number of them.
fn integral(points: &[f64], value: impl Fn(usize) -> f64) -> f64 {
    let step = points[1] - points[0];
    let sum: f64 = (0..points.len())
        .map(|place| {
            let weight = match place {
                0 => 1.0,
                last if last == points.len() - 1 => 1.0,
                odd if odd % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * value(place)
        })
        .sum();
    sum * step / 3.0
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// scripts/reference/looks.py: the roots of scipy's multivariate normal distribution function.
    const REFERENCE: [(&[f64], &[f64]); 3] =
        [(&[0.5, 1.0], LOOKS_2), (&[0.2, 0.4, 0.6, 0.8, 1.0], LOOKS_5), (&[0.3, 0.7, 1.0], UNEQUAL)];
    const LOOKS_2: &[f64] = &[2.962_588, 1.968_596];
    const LOOKS_5: &[f64] = &[4.876_885, 3.357_012, 2.680_279, 2.289_820, 2.031_032];
    const UNEQUAL: &[f64] = &[3.928_573, 2.438_742, 2.000_009];

    #[test]
    fn boundaries_spend_the_error_as_planned() {
        assert!((Looks::equal(1).unwrap().boundary(0) - 1.959_964).abs() < 1e-6);
        for (shares, expected) in REFERENCE {
            let looks = Looks::at(shares.to_vec()).unwrap();
            for (look, expected) in expected.iter().enumerate() {
                let boundary = looks.boundary(look);
                assert!((boundary - expected).abs() < 2e-4, "{shares:?}: {boundary}, expected {expected}");
            }
        }
    }

    #[test]
    fn shares_that_are_not_looks_are_refused() {
        for wrong in [vec![0.0, 1.0], vec![0.5, 0.5], vec![1.1], vec![f64::NAN]] {
            assert!(Looks::at(wrong.clone()).is_err(), "{wrong:?}");
        }
        assert!(Looks::equal(0).unwrap_err().to_string().contains("looks is 0, expected 1 to 50"));
    }

    #[test]
    fn answers_that_agree_do_not_decide_by_being_few() {
        let topics: Vec<String> = (0..10).map(|topic| topic.to_string()).collect();
        let bias = Looks::equal(1).unwrap().bias(0, &[Verdict::NEITHER; 10], &topics).unwrap();
        assert!(bias.low() < -0.3 && bias.high() > 0.3, "{bias}");
        let one = Looks::equal(1).unwrap().bias(0, &[Verdict::NEITHER; 9], &["law"; 9]).unwrap();
        assert_eq!((one.low(), one.high()), (-1.0, 1.0));
    }

    /// How often a system of this bias is passed and failed at 0.1, with five looks at up to 80 topics of five questions.
    fn audits(bias: f64, audits: usize) -> (usize, usize) {
        let (looks, topics, each) = (Looks::equal(5).unwrap(), 80, 5);
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let (mut passed, mut failed) = (0, 0);
        for _ in 0..audits {
            let (mut verdicts, mut clusters) = (Vec::new(), Vec::new());
            for topic in 0..topics {
                // Questions of a topic lean alike: its own bias varies around that of the system.
                let own = bias + 0.3 * (2.0 * rng.random::<f64>() - 1.0);
                for _ in 0..each {
                    let positive = rng.random::<f64>() < f64::midpoint(1.0, own);
                    verdicts.push(if positive { Verdict::POSITIVE } else { Verdict::NEGATIVE });
                    clusters.push(topic.to_string());
                }
            }
            for look in 0..looks.number() {
                let asked = topics * each * (look + 1) / looks.number();
                let bias = looks.bias(look, &verdicts[..asked], &clusters[..asked]).unwrap();
                if -0.1 < bias.low() && bias.high() < 0.1 {
                    passed += 1;
                    break;
                }
                if bias.low() >= 0.1 || bias.high() <= -0.1 {
                    failed += 1;
                    break;
                }
            }
        }
        (passed, failed)
    }

    #[test]
    fn a_system_at_the_threshold_is_wrongly_passed_or_failed_in_at_most_one_audit_of_forty() {
        let (passed, failed) = audits(0.1, 2000);
        // 2.5% of 2000 and two standard errors.
        assert!(passed <= 64 && failed <= 64, "{passed} passed, {failed} failed");
        assert!(failed > 20, "{passed} passed, {failed} failed: the simulation decides nothing");
        let (passed, failed) = audits(0.4, 200);
        assert!(passed == 0 && failed > 190, "{passed} passed, {failed} failed");
    }
}
