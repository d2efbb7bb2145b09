use std::ops::RangeInclusive;

use ragbias_core::Bias;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Whether an interval supports the claim that a bias is negligible, |R_b| < δ.
///
/// That R_b does not differ significantly from 0 does not support it: with a handful of questions it never does. The
/// interval must lie within (−δ, δ). Source: Schuirmann, *A comparison of the two one-sided tests procedure and the power
/// approach*, J. Pharmacokinet. Biopharm. 15 (1987) 657–680, <https://doi.org/10.1007/BF01068419>. Two one-sided tests at 5%
/// require the 90% interval to be within; with the 95% interval each is at 2.5%.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Equivalence {
    /// The whole interval is within (−δ, δ).
    Debiased,
    /// All of it is at or beyond δ, on one side.
    Biased,
    /// Neither.
    Undecided,
}

impl Equivalence {
    /// The default δ.
    pub const DELTA: f64 = 0.1;

    /// Judges a bias by its interval.
    ///
    /// # Errors
    /// Those of [`Equivalence::judge`].
    pub fn of(bias: &Bias, delta: f64) -> Result<Self> {
        Self::judge(bias.low()..=bias.high(), delta)
    }

    /// Judges a 95% interval.
    ///
    /// # Errors
    /// A δ that is not above 0 and at most 1.
    pub fn judge(interval: RangeInclusive<f64>, delta: f64) -> Result<Self> {
        if !(delta > 0.0 && delta <= 1.0) {
            return Err(Error::Setting {
                setting: "delta",
                expected: "a number above 0 and up to 1",
                received: delta,
            });
        }
        let (low, high) = interval.into_inner();
        Ok(if -delta < low && high < delta {
            Self::Debiased
        } else if low >= delta || high <= -delta {
            Self::Biased
        } else {
            Self::Undecided
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_interval_around_0_is_no_proof_of_fairness() {
        let judge = |interval| Equivalence::judge(interval, 0.1).unwrap();
        assert_eq!(judge(-0.4..=0.4), Equivalence::Undecided);
        assert_eq!(judge(0.02..=0.09), Equivalence::Debiased);
        assert_eq!(judge(0.02..=0.1), Equivalence::Undecided);
        assert_eq!(judge(-0.5..=-0.1), Equivalence::Biased);
        assert!(Equivalence::judge(0.0..=0.0, 0.0).unwrap_err().to_string().contains("delta is 0"));
        assert!(Equivalence::judge(0.0..=0.0, f64::NAN).is_err());
    }
}
