use statrs::distribution::{ContinuousCDF, Normal};

use crate::Estimate;
use crate::line::student;

/// How many units a bootstrap resampled; none if they were kept fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Units {
    pub(crate) topics: Option<usize>,
    pub(crate) embedders: Option<usize>,
}

/// A statistic on each draw: with topics and embedders resampled, with only topics, with only embedders.
///
/// If one of the two is kept fixed, all of its own draws equal the estimate.
pub(crate) struct Draws {
    pub(crate) estimate: f64,
    pub(crate) both: Vec<f64>,
    pub(crate) topics: Vec<f64>,
    pub(crate) embedders: Vec<f64>,
}

/// The distribution of a statistic: its draws, sorted and corrected in width, and their degrees of freedom.
///
/// **Width.** Resampling topics and embedders at once (Owen, *The pigeonhole bootstrap*, Ann. Appl. Stat. 1 (2007) 386–411,
/// <https://doi.org/10.1214/07-AOAS122>) counts the interaction of topic *and* embedder three times: its variance
/// is V_T + V_E + V_TE, where V_T and V_E, of topics alone and of embedders alone, contain V_TE once each. The variance of
/// two-way clusters is V_T + V_E − V_TE (Cameron, Gelbach & Miller, *Robust inference with multiway clustering*, J. Bus.
/// Econ. Stat. 29 (2011) 238–249, <https://doi.org/10.1198/jbes.2010.07136>), hence V = 2(V_T + V_E) − V_both, and at
/// least the greater of V_T and V_E. Draws are shrunk towards the estimate by √(V/V_both). Variances are measured by the
/// width of the central 95% of draws, which is robust to a few draws of nearly equal embedders.
///
/// **Quantiles.** Percentile intervals of few units are too narrow, by √((n − 1)/n) and by using the normal quantile instead of
/// t. Their level is widened to Φ(−√(n/(n − 1))·t(n − 1)) (Hesterberg, *What teachers should know about the bootstrap*,
/// Am. Stat. 69 (2015) 371–386, <https://doi.org/10.1080/00031305.2015.1089789>), with n − 1 from Satterthwaite's
/// formula (Biometrics Bull. 2 (1946) 110–114), (V_T + V_E)² / (V_T²/(topics − 1) + V_E²/(embedders − 2)).
pub(crate) struct Distribution {
    estimate: f64,
    sorted: Vec<f64>,
    /// √(V/V_both).
    pub(crate) shrink: f64,
    degrees: f64,
}

impl Distribution {
    pub(crate) fn new(draws: Draws, units: Units) -> Self {
        let Draws { estimate, mut both, topics, embedders } = draws;
        both.sort_by(f64::total_cmp);
        let square_width = |values: &[f64]| (quantile(values, 0.975) - quantile(values, 0.025)).powi(2);
        let of_sorted = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            square_width(&values)
        };
        let (v_both, v_topics, v_embedders) = (square_width(&both), of_sorted(topics), of_sorted(embedders));
        let least = v_topics.max(v_embedders).min(v_both);
        let variance = (2.0 * (v_topics + v_embedders) - v_both).clamp(least, v_both);
        let shrink = if v_both > 0.0 { (variance / v_both).sqrt() } else { 1.0 };
        for value in &mut both {
            *value = estimate + shrink * (*value - estimate);
        }
        Self { estimate, sorted: both, shrink, degrees: degrees(v_topics, v_embedders, units) }
    }

    /// The 95% interval.
    pub(crate) fn interval(&self) -> Estimate {
        let level = normal().cdf(-self.critical());
        Estimate {
            value: self.estimate,
            low: quantile(&self.sorted, level),
            high: quantile(&self.sorted, 1.0 - level),
        }
    }

    /// √(n/(n − 1))·t(n − 1) at 97.5%: the half-width of the interval in standard errors of the draws.
    pub(crate) fn critical(&self) -> f64 {
        self.widening() * student(self.degrees).inverse_cdf(0.975)
    }

    /// The two-sided p value of 0: the level at which an interval, widened in the same way, ends at 0.
    pub(crate) fn p_of_zero(&self) -> f64 {
        let tail = tail_beyond_zero(&self.sorted);
        if tail >= 0.5 {
            return 1.0;
        }
        2.0 * student(self.degrees).cdf(normal().inverse_cdf(tail) / self.widening())
    }

    fn widening(&self) -> f64 {
        ((self.degrees + 1.0) / self.degrees).sqrt()
    }
}

/// Satterthwaite's formula; terms without variance are ignored.
fn degrees(v_topics: f64, v_embedders: f64, units: Units) -> f64 {
    let topics = units.topics.map(|n| n.saturating_sub(1).max(1) as f64);
    let embedders = units.embedders.map(|n| n.saturating_sub(2).max(1) as f64);
    let part =
        |variance: f64, degrees: Option<f64>| degrees.map_or(0.0, |degrees| variance * variance / degrees);
    let sum = part(v_topics, topics) + part(v_embedders, embedders);
    if sum > 0.0 {
        (v_topics + v_embedders).powi(2) / sum
    } else {
        topics.unwrap_or(f64::MAX).min(embedders.unwrap_or(f64::MAX)).min(1e6)
    }
}

fn normal() -> Normal {
    Normal::standard()
}

/// The share of draws at 0 or beyond, on the side where there are fewer; above 0, as one more draw is counted.
pub(crate) fn tail_beyond_zero(draws: &[f64]) -> f64 {
    let share = |beyond: fn(f64) -> bool| {
        let count = draws.iter().filter(|value| beyond(**value)).count();
        (1 + count) as f64 / (1 + draws.len()) as f64
    };
    share(|value| value <= 0.0).min(share(|value| value >= 0.0))
}

/// Quantile of sorted values with linear interpolation between neighbours (type 7 of Hyndman & Fan, 1996).
#[expect(clippy::cast_sign_loss, reason = "p is in [0, 1] and the length at least 1")]
pub(crate) fn quantile(sorted: &[f64], p: f64) -> f64 {
    let position = p * (sorted.len() - 1) as f64;
    let (below, above) = (position.floor() as usize, position.ceil() as usize);
    sorted[below] + (position - position.floor()) * (sorted[above] - sorted[below])
}
