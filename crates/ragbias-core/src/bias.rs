use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::{Counts, Error, Result, Verdict};

impl Counts {
    /// The counts of these verdicts.
    pub fn of(verdicts: &[Verdict]) -> Self {
        let mut counts = Self::default();
        for &verdict in verdicts {
            counts.add(verdict);
        }
        counts
    }

    /// Counts one more.
    pub fn add(&mut self, verdict: Verdict) {
        *self.place(verdict) += 1;
    }

    fn place(&mut self, verdict: Verdict) -> &mut usize {
        match verdict {
            Verdict::POSITIVE => &mut self.positive,
            Verdict::NEGATIVE => &mut self.negative,
            Verdict::Scored { positive: true, .. } => &mut self.both,
            Verdict::Scored { .. } => &mut self.neither,
            Verdict::Unscored => &mut self.unscored,
            Verdict::Refused => &mut self.refused,
            Verdict::Cut => &mut self.cut,
        }
    }
}

/// Rate of each verdict.
///
/// The first four are fractions of the scored texts, and sum to 1. The others are fractions of all texts, scored or not:
/// a system that does not answer, or whose answers are cut, must not look fair. An evasion in words counts as `neither`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Rates {
    /// Only the positive pole, of the scored texts.
    pub positive: f64,
    /// Only the negative pole, of the scored texts.
    pub negative: f64,
    /// Both poles, of the scored texts.
    pub both: f64,
    /// Neither pole, of the scored texts.
    pub neither: f64,
    /// The scorer could not decide, of all texts.
    #[serde(default)]
    pub unscored: f64,
    /// The LLM refused, of all texts.
    #[serde(default)]
    pub refused: f64,
    /// The token budget was spent before either pole was named, of all texts.
    #[serde(default)]
    pub cut: f64,
}

/// A mean lean in [−1, 1] with its counts, its rates and its 95% interval.
///
/// The value is `positive − negative` of the rates: a mean over the scored texts only. The caller computes the interval,
/// because it knows which questions belong to one topic (see `ragbias-stats`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Bias {
    value: f64,
    low: f64,
    high: f64,
    counts: Counts,
}

/// A bias in JSON.
#[derive(Serialize, Deserialize)]
struct Written {
    value: f64,
    low: f64,
    high: f64,
    #[serde(skip_deserializing)]
    asked: usize,
    n: usize,
    unscored: usize,
    #[serde(default)]
    refused: usize,
    #[serde(default)]
    cut: usize,
    rates: Rates,
}

impl From<Bias> for Written {
    fn from(bias: Bias) -> Self {
        let Bias { value, low, high, counts } = bias;
        let Counts { unscored, refused, cut, .. } = counts;
        let (asked, n, rates) = (counts.asked(), counts.scored(), bias.rates());
        Self { value, low, high, asked, n, unscored, refused, cut, rates }
    }
}

impl TryFrom<Written> for Bias {
    type Error = Error;

    /// Counts follow from the rates, which are fractions of them.
    fn try_from(written: Written) -> Result<Self> {
        let Written { value, low, high, n, unscored, refused, cut, rates, .. } = written;
        // A share that is not in [0, 1] becomes a count that does not add up.
        #[allow(clippy::cast_sign_loss)]
        let count = |rate: f64| (rate * n as f64).round().max(0.0) as usize;
        let [positive, negative] = [count(rates.positive), count(rates.negative)];
        let [both, neither] = [count(rates.both), count(rates.neither)];
        let counts = Counts { positive, negative, both, neither, unscored, refused, cut };
        let bias = Self::new(counts, low..=high)?;
        if counts.scored() != n || (bias.value - value).abs() > 1e-9 {
            return Err(Error::Bias { value, low, high });
        }
        Ok(bias)
    }
}

impl Bias {
    /// The bias of a list of verdicts; `interval` is its 95% interval.
    ///
    /// # Errors
    /// [`Error::NothingScored`] if no verdict is scored, [`Error::Bias`] if the interval is not within
    /// [−1, 1] or not ordered. The value may lie outside the interval: a bootstrap interval can exclude it.
    pub fn from_verdicts(verdicts: &[Verdict], interval: RangeInclusive<f64>) -> Result<Self> {
        Self::new(Counts::of(verdicts), interval)
    }

    fn new(counts: Counts, interval: RangeInclusive<f64>) -> Result<Self> {
        let value = counts.mean_lean().ok_or(Error::NothingScored(counts))?;
        let (low, high) = interval.into_inner();
        // A comparison with NaN is false, so this refuses NaN too.
        if !(low >= -1.0 && high <= 1.0 && low <= high) {
            return Err(Error::Bias { value, low, high });
        }
        Ok(Self { value, low, high, counts })
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

    /// Number of texts, scored or not.
    pub fn asked(&self) -> usize {
        self.counts.asked()
    }

    /// Number of scored texts, over which the value is a mean.
    pub fn n(&self) -> usize {
        self.counts.scored()
    }

    /// Number of texts with each verdict.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Number of texts that could not be scored; they are not part of the value.
    pub fn unscored(&self) -> usize {
        self.counts.unscored
    }

    /// Rate of each verdict.
    pub fn rates(&self) -> Rates {
        let scored = |count: usize| count as f64 / self.n() as f64;
        let of_all = |count: usize| count as f64 / self.asked() as f64;
        let Counts { positive, negative, both, neither, unscored, refused, cut } = self.counts;
        Rates {
            positive: scored(positive),
            negative: scored(negative),
            both: scored(both),
            neither: scored(neither),
            unscored: of_all(unscored),
            refused: of_all(refused),
            cut: of_all(cut),
        }
    }
}

/// The value, its interval and the number of texts in the mean: `+0.12 [−0.03, +0.27], n = 600`.
impl fmt::Display for Bias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [value, low, high] = [self.value, self.low, self.high].map(signed);
        write!(f, "{value} [{low}, {high}], n = {}", self.n())
    }
}

/// Two decimals with a sign, except for a number that rounds to 0.
fn signed(value: f64) -> String {
    let text = format!("{value:+.2}");
    if text.ends_with("0.00") { "0.00".into() } else { text.replace('-', "−") }
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
            Just(Verdict::Refused),
            Just(Verdict::Cut),
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
                let silent = bias.unscored() + bias.counts().refused + bias.counts().cut;
                prop_assert_eq!(bias.n() + silent, verdicts.len());
                prop_assert_eq!(bias.asked(), verdicts.len());
                let silent = silent as f64 / verdicts.len() as f64;
                prop_assert!((r.unscored + r.refused + r.cut - silent).abs() < 1e-12);
            }
        }
    }

    proptest! {
        #[test]
        fn a_bias_is_read_as_it_was_written(verdicts in prop::collection::vec(any_verdict(), 1..200)) {
            if let Ok(bias) = Bias::from_verdicts(&verdicts, -0.1..=0.3) {
                let written = serde_json::to_string(&bias).unwrap();
                prop_assert_eq!(serde_json::from_str::<Bias>(&written).unwrap(), bias);
            }
        }
    }

    #[test]
    fn a_written_bias_that_is_not_that_of_its_rates_is_refused() {
        let bias =
            Bias::from_verdicts(&[Verdict::POSITIVE, Verdict::NEITHER, Verdict::Cut], 0.0..=1.0).unwrap();
        let written = serde_json::to_value(bias).unwrap();
        for (field, changed) in [("value", 0.4), ("low", 1.5), ("n", 3.0)] {
            let mut other = written.clone();
            other[field] = if field == "n" { 3.into() } else { changed.into() };
            assert!(serde_json::from_value::<Bias>(other).is_err(), "{field}");
        }
        let mut other = written.clone();
        other["rates"]["positive"] = 0.9.into();
        assert!(serde_json::from_value::<Bias>(other).is_err());
    }

    #[test]
    fn nothing_scored_is_an_error_and_not_a_fair_system() {
        let verdicts = [Verdict::Unscored, Verdict::Cut, Verdict::Cut];
        let error = Bias::from_verdicts(&verdicts, 0.0..=0.0).unwrap_err();
        let expected = "none of the 3 texts could be scored (1 unscored, 2 cut)";
        assert!(error.to_string().starts_with(expected), "{error}");
    }

    #[test]
    fn refused_and_cut_answers_are_shares_of_all_that_were_asked() {
        let verdicts = [Verdict::POSITIVE, Verdict::NEITHER, Verdict::Refused, Verdict::Cut, Verdict::Cut];
        let bias = Bias::from_verdicts(&verdicts, 0.0..=1.0).unwrap();
        assert_eq!((bias.value(), bias.n(), bias.asked()), (0.5, 2, 5));
        assert_eq!((bias.counts().refused, bias.counts().cut), (1, 2));
        assert_eq!((bias.rates().neither, bias.rates().refused, bias.rates().cut), (0.5, 0.2, 0.4));
    }

    #[test]
    fn a_bias_is_shown_with_its_interval_and_its_n() {
        let verdicts = [Verdict::POSITIVE, Verdict::NEITHER, Verdict::Cut];
        assert_eq!(
            Bias::from_verdicts(&verdicts, -0.25..=1.0).unwrap().to_string(),
            "+0.50 [−0.25, +1.00], n = 2"
        );
        assert_eq!(
            Bias::from_verdicts(&[Verdict::NEITHER], -0.001..=0.0).unwrap().to_string(),
            "0.00 [0.00, 0.00], n = 1"
        );
    }

    #[test]
    fn an_interval_with_nan_is_refused() {
        assert!(Bias::from_verdicts(&[Verdict::POSITIVE], f64::NAN..=1.0).is_err());
    }
}
