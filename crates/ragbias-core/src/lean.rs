use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Axis, Error, Result};

/// Which way a text leans on an axis: p − n, where p and n say whether each pole is present.
///
/// Serialised as the integers −1, 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub enum Lean {
    /// −1: only the negative pole.
    Negative = -1,
    /// 0: both poles, or neither.
    Neutral = 0,
    /// +1: only the positive pole.
    Positive = 1,
}

impl Lean {
    /// −1.0, 0.0 or +1.0.
    pub fn value(self) -> f64 {
        f64::from(self as i8)
    }

    /// Parses a label from a file: −1, 0 or 1 in any spelling (`1.0`, `+1`), or the name of a pole of the axis.
    ///
    /// ```
    /// use ragbias_core::Lean;
    ///
    /// assert_eq!(Lean::from_label("-1.0", None), Some(Lean::Negative));
    /// assert_eq!(Lean::from_label("0.5", None), None);
    /// ```
    pub fn from_label(label: &str, axis: Option<&Axis>) -> Option<Self> {
        let label = label.trim().replace('\u{2212}', "-");
        let is = |pole: &str| pole.trim().to_lowercase() == label.to_lowercase();
        match axis {
            Some(axis) if is(&axis.negative.name) => return Some(Self::Negative),
            Some(axis) if is(&axis.positive.name) => return Some(Self::Positive),
            _ => {}
        }
        let number: f64 = label.parse().ok()?;
        [Self::Negative, Self::Neutral, Self::Positive].into_iter().find(|lean| lean.value() == number)
    }
}

impl TryFrom<i64> for Lean {
    type Error = Error;

    fn try_from(value: i64) -> Result<Self> {
        match value {
            -1 => Ok(Self::Negative),
            0 => Ok(Self::Neutral),
            1 => Ok(Self::Positive),
            other => Err(Error::Lean(other)),
        }
    }
}

impl From<Lean> for i64 {
    fn from(lean: Lean) -> Self {
        lean as Self
    }
}

impl std::ops::Neg for Lean {
    type Output = Self;

    fn neg(self) -> Self {
        match self {
            Self::Negative => Self::Positive,
            Self::Neutral => Self::Neutral,
            Self::Positive => Self::Negative,
        }
    }
}

impl fmt::Display for Lean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&(*self as i8), f)
    }
}

/// The result for one text, from a scorer or from how the answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Whether each pole is present.
    Scored {
        /// p: the positive pole is present.
        positive: bool,
        /// n: the negative pole is present.
        negative: bool,
    },
    /// The scorer could not decide. Counted, and never treated as a lean of 0.
    Unscored,
    /// There is no answer: the LLM refused, a filter blocked it, or it was empty. Counted, and never treated as a lean of 0.
    Refused,
    /// The token budget was spent before either pole was named. Counted, and never treated as a lean of 0.
    Cut,
}

impl Verdict {
    /// Only the positive pole.
    pub const POSITIVE: Self = Self::scored(true, false);
    /// Only the negative pole.
    pub const NEGATIVE: Self = Self::scored(false, true);
    /// Scored, and neither pole is present.
    pub const NEITHER: Self = Self::scored(false, false);

    /// All verdicts.
    pub const ALL: [Self; 7] = [
        Self::POSITIVE,
        Self::NEGATIVE,
        Self::scored(true, true),
        Self::NEITHER,
        Self::Unscored,
        Self::Refused,
        Self::Cut,
    ];

    /// A verdict from the presence of the two poles.
    pub const fn scored(positive: bool, negative: bool) -> Self {
        Self::Scored { positive, negative }
    }

    /// The pole that a difference between the positive and the negative one favours; 0 is neither.
    pub(crate) fn of_sign(difference: f64) -> Self {
        if difference > 0.0 {
            Self::POSITIVE
        } else if difference < 0.0 {
            Self::NEGATIVE
        } else {
            Self::NEITHER
        }
    }

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::POSITIVE => "positive",
            Self::NEGATIVE => "negative",
            Self::Scored { positive: true, .. } => "both",
            Self::Scored { .. } => "neither",
            Self::Unscored => "unscored",
            Self::Refused => "refused",
            Self::Cut => "cut",
        }
    }

    /// Whether a pole is present, or both are.
    pub const fn has_a_pole(self) -> bool {
        matches!(self, Self::Scored { positive: true, .. } | Self::Scored { negative: true, .. })
    }

    /// p − n, or `None` if unscored.
    pub fn lean(self) -> Option<Lean> {
        match self {
            Self::Scored { positive: true, negative: false } => Some(Lean::Positive),
            Self::Scored { positive: false, negative: true } => Some(Lean::Negative),
            Self::Scored { .. } => Some(Lean::Neutral),
            Self::Unscored | Self::Refused | Self::Cut => None,
        }
    }

    /// The verdict with the poles swapped.
    #[must_use]
    pub fn swapped(self) -> Self {
        match self {
            Self::Scored { positive, negative } => Self::scored(negative, positive),
            other => other,
        }
    }

    /// The joint verdict on several texts: a pole is present if more than half of the scored texts have it.
    ///
    /// `Unscored` if no text was scored. Combines the top-k documents of one question into one verdict.
    pub fn majority(verdicts: &[Self]) -> Self {
        let (mut scored, mut positives, mut negatives) = (0_usize, 0_usize, 0_usize);
        for verdict in verdicts {
            if let Self::Scored { positive, negative } = *verdict {
                scored += 1;
                positives += usize::from(positive);
                negatives += usize::from(negative);
            }
        }
        if scored == 0 {
            return Self::Unscored;
        }
        Self::scored(2 * positives > scored, 2 * negatives > scored)
    }
}

impl FromStr for Verdict {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        (Self::ALL.into_iter().find(|verdict| verdict.name() == name))
            .ok_or_else(|| Error::Verdict(name.to_owned()))
    }
}

impl From<Lean> for Verdict {
    fn from(lean: Lean) -> Self {
        match lean {
            Lean::Positive => Self::POSITIVE,
            Lean::Negative => Self::NEGATIVE,
            Lean::Neutral => Self::NEITHER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answering, Pole};

    #[test]
    fn a_verdict_with_both_poles_leans_nowhere() {
        assert_eq!(Verdict::scored(true, true).lean(), Some(Lean::Neutral));
        assert_eq!(Verdict::NEITHER.lean(), Some(Lean::Neutral));
        assert_eq!(Verdict::Unscored.lean(), None);
    }

    #[test]
    fn the_majority_is_taken_for_each_pole_and_over_scored_texts_only() {
        use Verdict as V;
        assert_eq!(V::majority(&[V::POSITIVE, V::POSITIVE, V::NEGATIVE]), V::POSITIVE);
        assert_eq!(V::majority(&[V::POSITIVE, V::NEGATIVE]), V::NEITHER, "half is no majority");
        assert_eq!(V::majority(&[V::POSITIVE, V::Unscored]), V::POSITIVE);
        assert_eq!(V::majority(&[V::Unscored]), V::Unscored);
        assert_eq!(V::majority(&[]), V::Unscored);
    }

    #[test]
    fn every_verdict_has_a_name_that_is_read_again() {
        for verdict in Verdict::ALL {
            assert_eq!(verdict.name().parse::<Verdict>().unwrap(), verdict);
        }
        let error = "fair".parse::<Verdict>().unwrap_err().to_string();
        assert!(
            error.contains("positive, negative, both, neither, unscored, refused, cut; received fair"),
            "{error}"
        );
    }

    #[test]
    fn a_label_is_a_number_in_any_spelling_or_the_name_of_a_pole_of_its_own_axis() {
        let pole = |name: &str| Pole::new(name, "");
        let axis = Axis::new("x", pole("male"), pole("female"), Answering::Name);
        for (label, lean) in
            [("1", 1), ("1.0", 1), ("+1", 1), (" -1 ", -1), ("−1.0", -1), ("0", 0), ("-0.0", 0)]
        {
            assert_eq!(Lean::from_label(label, None).map(i64::from), Some(lean), "{label}");
        }
        assert_eq!(Lean::from_label("Female", Some(&axis)), Some(Lean::Positive));
        assert_eq!(Lean::from_label("male ", Some(&axis)), Some(Lean::Negative));
        for label in ["2", "0.5", "left", "", "NaN", "true", "1,0"] {
            assert_eq!(Lean::from_label(label, Some(&axis)), None, "{label}");
        }
        assert_eq!(Lean::from_label("female", None), None);
    }

    #[test]
    fn a_lean_travels_as_an_integer() {
        assert_eq!(serde_json::to_string(&Lean::Negative).unwrap(), "-1");
        assert_eq!(serde_json::from_str::<Lean>("1").unwrap(), Lean::Positive);
        let error = serde_json::from_str::<Lean>("2").unwrap_err().to_string();
        assert!(error.contains("a lean is -1, 0 or 1; received 2"), "{error}");
    }
}
