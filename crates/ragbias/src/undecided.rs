//! What an undecided verdict takes.

use ragbias_core::Bias;
use ragbias_stats::{Equivalence, further_questions};

/// The probability of a verdict, where none is given.
pub(crate) const POWER: f64 = 0.8;

/// The number of further questions that an undecided verdict takes; see [`until_decided`].
pub(crate) fn further(bias: f64, (low, high): (f64, f64), asked: usize, delta: f64) -> Option<usize> {
    further_questions(bias, low..=high, asked, delta, POWER).ok().flatten()
}

/// The number of further questions that an undecided verdict takes, in words; empty if it is decided.
///
/// It is the number at which the verdict is reached with a probability of 0.8 if R_b is what it is estimated to be, with questions
/// like those that were asked, in further topics like theirs.
pub fn until_decided(bias: &Bias, verdict: Equivalence, delta: f64) -> String {
    if verdict != Equivalence::Undecided {
        return String::new();
    }
    match further(bias.value(), (bias.low(), bias.high()), bias.asked(), delta) {
        Some(0) => "a few more questions would probably decide".into(),
        Some(1) => "1 more question would probably decide".into(),
        Some(further) => format!("{further} more questions would probably decide"),
        None => format!("so close to {delta} that no number of questions would decide"),
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::Verdict;

    use super::*;

    #[test]
    fn only_an_undecided_verdict_takes_further_questions() {
        let verdicts = [vec![Verdict::POSITIVE; 33], vec![Verdict::NEGATIVE; 27]].concat();
        let bias = |low, high| Bias::from_verdicts(&verdicts, low..=high).unwrap();
        let said = until_decided(&bias(-0.1, 0.3), Equivalence::Undecided, 0.05);
        assert_eq!(said, "1902 more questions would probably decide");
        assert_eq!(until_decided(&bias(0.02, 0.08), Equivalence::Debiased, 0.2), "");
        let close = until_decided(&bias(-0.1, 0.3), Equivalence::Undecided, 0.1);
        assert_eq!(close, "so close to 0.1 that no number of questions would decide");
    }
}
