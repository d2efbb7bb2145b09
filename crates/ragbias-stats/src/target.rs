use serde::{Deserialize, Serialize};

use crate::Estimate;
use crate::line::Covariance;

/// E_b* = −β0/s: the E_b at which the line gives R_b = 0.
///
/// The interval is Fieller's: all x at which β0 + s·x is within k standard errors of 0,
/// (β0 + s·x)² ≤ k²·(var β0 + 2x·cov + x²·var s). It is an interval only if s is at least k standard errors from 0; otherwise
/// it is the complement of an interval, or every x. Source: Fieller, *Some problems in interval estimation*, J. R. Stat. Soc. B 16
/// (1954) 175–185, <https://doi.org/10.1111/j.2517-6161.1954.tb00159.x>. Assumes that β0 and s are approximately normal, and that
/// the line holds at E_b*.
///
/// Only `ok` guarantees all three numbers. Other targets have those that are meaningful: none if the target
/// is unbounded, and only those within [−1, 1], the range of E_b, otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// E_b*.
    pub value: Option<f64>,
    /// Lower end of its 95% interval.
    pub low: Option<f64>,
    /// Upper end of its 95% interval.
    pub high: Option<f64>,
    /// How far the numbers can be trusted.
    pub status: TargetStatus,
}

/// How far the numbers of a target can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetStatus {
    /// E_b* lies between measured embedders. Its interval may extend beyond them.
    #[serde(rename = "ok")]
    Ok,
    /// No embedder of the family has an E_b as low, or as high: the line would have to hold where nothing was measured.
    #[serde(rename = "outside the family")]
    OutsideTheFamily,
    /// The interval of s contains 0, or Fieller's set is not an interval: any E_b may be the target.
    #[serde(rename = "unbounded")]
    Unbounded,
}

impl Target {
    /// The target of a line with these coefficients; `critical` is k, `range` the smallest and the largest measured E_b.
    pub fn new(
        sensitivity: Estimate,
        intercept: f64,
        covariance: Covariance,
        critical: f64,
        range: (f64, f64),
    ) -> Self {
        let unbounded = Self { value: None, low: None, high: None, status: TargetStatus::Unbounded };
        let Some((low, high)) = fieller(sensitivity.value, intercept, covariance, critical) else {
            return unbounded;
        };
        if sensitivity.covers(0.0) {
            return unbounded;
        }
        let value = -intercept / sensitivity.value;
        if (range.0..=range.1).contains(&value) {
            return Self { value: Some(value), low: Some(low), high: Some(high), status: TargetStatus::Ok };
        }
        let possible = |bias: f64| (-1.0..=1.0).contains(&bias).then_some(bias);
        Self {
            value: possible(value),
            low: possible(low),
            high: possible(high),
            status: TargetStatus::OutsideTheFamily,
        }
    }
}

/// The ends of Fieller's set for −β0/s, if it is an interval.
fn fieller(slope: f64, intercept: f64, covariance: Covariance, critical: f64) -> Option<(f64, f64)> {
    let k2 = critical * critical;
    let a = slope * slope - k2 * covariance.slope;
    let b = intercept * slope - k2 * covariance.between;
    let c = intercept * intercept - k2 * covariance.intercept;
    // Roots of a·x² + 2b·x + c ≤ 0; if a > 0, −β0/s is in the set, so that b² ≥ a·c up to rounding.
    let root = (b * b - a * c).max(0.0).sqrt();
    (a > 0.0).then(|| ((-b - root) / a, (-b + root) / a))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COVARIANCE: Covariance = Covariance { intercept: 0.0009, between: 0.0002, slope: 0.0016 };

    fn estimate(value: f64) -> Estimate {
        Estimate { value, low: value - 0.08, high: value + 0.08 }
    }

    #[test]
    fn the_set_holds_what_the_test_of_each_value_does_not_refuse() {
        // Independent check: try every x.
        let accepted = |x: f64| {
            let variance = COVARIANCE.intercept + 2.0 * x * COVARIANCE.between + x * x * COVARIANCE.slope;
            (0.1 + 0.4 * x).abs() <= 1.96 * variance.sqrt()
        };
        let inside: Vec<f64> =
            (-200_000..200_000).map(|i| f64::from(i) * 1e-5).filter(|x| accepted(*x)).collect();
        let target = Target::new(estimate(0.4), 0.1, COVARIANCE, 1.96, (-0.8, 0.8));
        assert_eq!((target.status, target.value), (TargetStatus::Ok, Some(-0.25)));
        assert!((target.low.unwrap() - inside[0]).abs() < 2e-5, "{target:?} {}", inside[0]);
        assert!((target.high.unwrap() - inside[inside.len() - 1]).abs() < 2e-5, "{target:?}");
    }

    #[test]
    fn an_interval_that_reaches_beyond_the_family_is_kept_and_a_target_beyond_it_is_marked() {
        let target = |intercept| Target::new(estimate(0.4), intercept, COVARIANCE, 1.96, (-0.3, 0.3));
        let inside = target(0.1);
        assert!(inside.status == TargetStatus::Ok && inside.low.unwrap() < -0.3, "{inside:?}");
        let beyond = target(0.2);
        assert_eq!((beyond.status, beyond.value), (TargetStatus::OutsideTheFamily, Some(-0.5)));
        // No embedder has an E_b of −1.25, nor of the lower end.
        let impossible = target(0.5);
        assert_eq!((impossible.status, impossible.value, impossible.low), (beyond.status, None, None));
    }

    #[test]
    fn a_sensitivity_that_may_be_0_has_no_target() {
        let mut weak = estimate(0.05);
        let all_empty = Target { value: None, low: None, high: None, status: TargetStatus::Unbounded };
        assert_eq!(Target::new(weak, 0.1, COVARIANCE, 1.96, (-0.8, 0.8)), all_empty);
        // Either reason suffices: here only Fieller's set is no interval.
        weak.low = 0.01;
        assert_eq!(Target::new(weak, 0.1, COVARIANCE, 1.96, (-0.8, 0.8)), all_empty);
        assert_eq!(serde_json::to_string(&all_empty.status).unwrap(), "\"unbounded\"");
    }
}
