use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::{Error, Result, Verdict};

/// How often each pole, both or neither was present: fractions of the scored texts that sum to 1.
///
/// A refusal or an evasion shows up in `neither`: a system that never answers is not a fair one.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Rates {
    /// The positive pole alone.
    pub positive: f64,
    /// The negative pole alone.
    pub negative: f64,
    /// Both poles.
    pub both: f64,
    /// Neither pole.
    pub neither: f64,
}

/// A mean lean in [−1, 1] with its count, its rates and its 95% interval.
///
/// The value is `positive − negative` of the rates. The interval is computed by the caller, who knows which
/// questions belong to one topic (see `ragbias-stats`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bias {
    value: f64,
    low: f64,
    high: f64,
    n: usize,
    unscored: usize,
    rates: Rates,
}

impl Bias {
    /// The bias of a list of verdicts; `interval` is its 95% interval.
    ///
    /// # Errors
    /// [`Error::NothingScored`] where no verdict is scored, [`Error::Bias`] where the interval is not within
    /// [−1, 1] or not ordered. The value need not lie within: a bootstrap interval may leave it out.
    pub fn from_verdicts(verdicts: &[Verdict], interval: RangeInclusive<f64>) -> Result<Self> {
        let mut counts = [0_usize; 4];
        for verdict in verdicts {
            if let Verdict::Scored { positive, negative } = *verdict {
                counts[usize::from(positive) + 2 * usize::from(negative)] += 1;
            }
        }
        let n: usize = counts.iter().sum();
        if n == 0 {
            return Err(Error::NothingScored(verdicts.len()));
        }
        let [neither, positive, negative, both] = counts.map(|count| count as f64 / n as f64);
        // From the counts, so that 3/10 − 1/10 is 2/10 to the last bit.
        let value = (counts[1] as f64 - counts[2] as f64) / n as f64;
        let (low, high) = interval.into_inner();
        // A comparison with NaN is false: this refuses NaN too.
        if !(low >= -1.0 && high <= 1.0 && low <= high) {
            return Err(Error::Bias { value, low, high });
        }
        let rates = Rates { positive, negative, both, neither };
        Ok(Self { value, low, high, n, unscored: verdicts.len() - n, rates })
    }

    /// The mean lean, in [−1, 1].
    pub fn value(&self) -> f64 {
        self.value
    }

    /// Lower end of the 95% interval.
    pub fn low(&self) -> f64 {
        self.low
    }

    /// Upper end of the 95% interval.
    pub fn high(&self) -> f64 {
        self.high
    }

    /// How many texts were scored.
    pub fn n(&self) -> usize {
        self.n
    }

    /// How many texts could not be scored; they are not part of the value.
    pub fn unscored(&self) -> usize {
        self.unscored
    }

    /// How often each pole, both or neither was present among the scored.
    pub fn rates(&self) -> Rates {
        self.rates
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            Just(Verdict::POSITIVE),
            Just(Verdict::NEGATIVE),
            Just(Verdict::NEITHER),
            Just(Verdict::scored(true, true)),
            Just(Verdict::Unscored),
        ]
    }

    proptest! {
        #[test]
        fn reversing_the_poles_negates_every_bias(verdicts in prop::collection::vec(any_verdict(), 1..60)) {
            let swapped: Vec<_> = verdicts.iter().map(|v| v.swapped()).collect();
            match (Bias::from_verdicts(&verdicts, -1.0..=1.0), Bias::from_verdicts(&swapped, -1.0..=1.0)) {
                (Ok(a), Ok(b)) => {
                    prop_assert_eq!(a.value(), -b.value());
                    prop_assert_eq!(a.rates().positive, b.rates().negative);
                    prop_assert_eq!(a.rates().both, b.rates().both);
                }
                (Err(_), Err(_)) => prop_assert!(verdicts.iter().all(|v| v.lean().is_none())),
                _ => prop_assert!(false, "one of the two was refused"),
            }
        }

        #[test]
        fn the_rates_sum_to_one_and_give_the_value(verdicts in prop::collection::vec(any_verdict(), 1..60)) {
            if let Ok(bias) = Bias::from_verdicts(&verdicts, -1.0..=1.0) {
                let r = bias.rates();
                prop_assert!((r.positive + r.negative + r.both + r.neither - 1.0).abs() < 1e-12);
                prop_assert!((r.positive - r.negative - bias.value()).abs() < 1e-12);
                prop_assert_eq!(bias.n() + bias.unscored(), verdicts.len());
            }
        }
    }

    #[test]
    fn nothing_scored_is_an_error_and_not_a_fair_system() {
        let error = Bias::from_verdicts(&[Verdict::Unscored; 3], 0.0..=0.0).unwrap_err();
        assert!(matches!(error, Error::NothingScored(3)));
    }

    #[test]
    fn an_interval_with_nan_is_refused() {
        assert!(Bias::from_verdicts(&[Verdict::POSITIVE], f64::NAN..=1.0).is_err());
    }
}
