use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

use crate::{Clusters, Equivalence, Error, Result};

/// Level of the two-sided 95% interval that a verdict is read from.
const UPPER: f64 = 0.975;

/// More questions than this are as good as none: no setting of a study reaches it.
const MOST: f64 = 1e9;

/// How large a sample a verdict on |R_b| < δ needs.
///
/// An answer's lean is −1, 0 or +1. Where a share π of the scored answers lean and their mean is b, its variance is
/// σ² = π − b². Questions of one topic agree: with m scored questions a topic, an intraclass correlation ρ and K answers a
/// question, of which two correlate by r, the mean over n questions has the variance
///
/// SE² = σ²/n · (r + (1 − r)/K + (m − 1)·ρ),
///
/// for K = 1 the design effect 1 + (m − 1)ρ of Kish, *Survey Sampling* (1965), §5.4. The 95% interval is the mean ± z₀.₉₇₅·SE. It
/// lies within (−δ, δ), at a true bias b, with the probability
///
/// Φ((δ − b)/SE − z₀.₉₇₅) − Φ((−δ − b)/SE + z₀.₉₇₅)
///
/// where that is above 0, the power of two one-sided tests with known variance (Schuirmann 1987, see [`Equivalence`]; Chow, Shao &
/// Wang, *Sample Size Calculations in Clinical Research* (2008), §3.1.2), and it lies at or beyond δ on the side of b with
/// Φ((|b| − δ)/SE − z₀.₉₇₅).
///
/// Assumes at least some 20 topics, so that the mean is close to normal, and topics of equal size; topics of unequal size count as
/// the [`Clusters::effective_size`].
///
/// ```
/// use ragbias_stats::{Answering, Plan};
///
/// let plan = Plan::new(0.1, 0.8, Answering::default())?;
/// let fair = plan.debiased(0.0)?; // independent answers, all of which lean, at a true R_b of 0
/// assert_eq!(fair.scored, 1051);
/// # Ok::<(), ragbias_stats::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    delta: f64,
    power: f64,
    #[serde(flatten)]
    answering: Answering,
}

/// How a system answers, from a pilot or assumed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Answering {
    /// Share π of the scored answers that lean to one pole alone, in (0, 1].
    pub leaning: f64,
    /// Share of the questions whose answer is scored, in (0, 1].
    pub scored_share: f64,
    /// Intraclass correlation ρ of the leans of different questions of one topic, in [0, 1].
    pub intraclass: f64,
    /// Scored questions of a topic, at least 1.
    pub per_topic: f64,
    /// Answers to each question K, each with names drawn anew; at least 1.
    pub answers: usize,
    /// Correlation r of the leans of two answers to one question, in [0, 1]: 1 if further answers tell nothing new.
    pub repeated: f64,
}

impl Default for Answering {
    /// Independent questions, each answered once, all scored, all leaning.
    fn default() -> Self {
        Self { leaning: 1.0, scored_share: 1.0, intraclass: 0.0, per_topic: 1.0, answers: 1, repeated: 1.0 }
    }
}

impl Answering {
    /// The same with the correlation and the size of the topics of a pilot.
    #[must_use]
    pub fn clustered(self, clusters: &Clusters) -> Self {
        Self { intraclass: clusters.intraclass(), per_topic: clusters.effective_size(), ..self }
    }

    /// n·SE²/σ²: how many times as many questions are needed as if all were independent and answered once.
    pub fn design_effect(&self) -> f64 {
        let Self { intraclass, per_topic, answers, repeated, .. } = *self;
        repeated + (1.0 - repeated) / answers as f64 + (per_topic - 1.0) * intraclass
    }

    fn check(&self) -> Result<()> {
        let share = |value: f64| value > 0.0 && value <= 1.0;
        let correlation = |value: f64| (0.0..=1.0).contains(&value);
        let (of_share, of_correlation) = ("above 0 and up to 1", "0 to 1");
        let checks = [
            ("the share of leaning answers", share(self.leaning), of_share, self.leaning),
            ("the share of scored answers", share(self.scored_share), of_share, self.scored_share),
            ("intraclass", correlation(self.intraclass), of_correlation, self.intraclass),
            ("repeated", correlation(self.repeated), of_correlation, self.repeated),
            ("per-topic", (1.0..=1e6).contains(&self.per_topic), "1 to 1000000", self.per_topic),
            ("answers", (1..=1_000_000).contains(&self.answers), "1 to 1000000", self.answers as f64),
        ];
        match checks.into_iter().find(|(_, fits, ..)| !fits) {
            Some((setting, _, expected, received)) => Err(Error::Setting { setting, expected, received }),
            None => Ok(()),
        }
    }
}

/// A sample that is large enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SampleSize {
    /// The true R_b that it is for.
    pub bias: f64,
    /// The verdict that it is for.
    pub verdict: Equivalence,
    /// Standard error of R_b.
    pub standard_error: f64,
    /// Half of the width of its 95% interval.
    pub half_width: f64,
    /// Questions whose answers are scored.
    pub scored: usize,
    /// Questions to ask.
    pub questions: usize,
    /// Their topics.
    pub topics: usize,
    /// Answers to generate.
    pub answers: usize,
}

impl Plan {
    /// | parameter | purpose | range |
    /// | --- | --- | --- |
    /// | `delta` | \|R_b\| below it counts as 0 | above 0, up to 1 |
    /// | `power` | probability of the verdict | 0.05 to 0.9999 |
    /// | `answering` | how the system answers | see [`Answering`] |
    ///
    /// # Errors
    /// A value out of range.
    pub fn new(delta: f64, power: f64, answering: Answering) -> Result<Self> {
        Equivalence::judge(0.0..=0.0, delta)?;
        if !(0.05..=0.9999).contains(&power) {
            return Err(Error::Setting { setting: "power", expected: "0.05 to 0.9999", received: power });
        }
        answering.check()?;
        Ok(Self { delta, power, answering })
    }

    /// δ.
    pub fn delta(&self) -> f64 {
        self.delta
    }

    /// The probability of the verdict.
    pub fn power(&self) -> f64 {
        self.power
    }

    /// How the system answers.
    pub fn answering(&self) -> &Answering {
        &self.answering
    }

    /// The sample whose whole interval lies within (−δ, δ), at a true bias inside.
    ///
    /// # Errors
    /// A bias that is not within ±δ, or that so few leaning answers cannot have.
    pub fn debiased(&self, bias: f64) -> Result<SampleSize> {
        if bias.is_nan() || bias.abs() >= self.delta {
            return Err(Error::Setting { setting: "at", expected: "a bias within ±delta", received: bias });
        }
        self.size(bias, Equivalence::Debiased)
    }

    /// The sample whose whole interval lies at or beyond δ, at a true bias beyond.
    ///
    /// # Errors
    /// A bias that is not beyond ±δ, or that so few leaning answers cannot have.
    pub fn biased(&self, bias: f64) -> Result<SampleSize> {
        if bias.is_nan() || bias.abs() <= self.delta {
            return Err(Error::Setting {
                setting: "bias", expected: "a bias beyond ±delta", received: bias
            });
        }
        self.size(bias, Equivalence::Biased)
    }

    fn size(&self, bias: f64, verdict: Equivalence) -> Result<SampleSize> {
        let Answering { leaning, scored_share, per_topic, answers, .. } = self.answering;
        if bias.abs() > leaning {
            return Err(Error::Setting {
                setting: "bias",
                expected: "at most the share of answers that lean",
                received: bias,
            });
        }
        let standard_error = standard_error(bias, self.delta, self.power);
        // At |b| = π all leaning answers lean alike, and only their number varies.
        let variance = leaning - bias * bias;
        let needed = (variance * self.answering.design_effect() / standard_error.powi(2)).max(1.0);
        if needed > MOST {
            return Err(Error::Setting {
                setting: "bias",
                expected: "one farther from delta: this takes more than 1000000000 questions",
                received: bias,
            });
        }
        let scored = whole(needed);
        let questions = whole(scored as f64 / scored_share);
        Ok(SampleSize {
            bias,
            verdict,
            standard_error,
            half_width: normal().inverse_cdf(UPPER) * standard_error,
            scored,
            questions,
            topics: whole(scored as f64 / per_topic),
            answers: questions * answers,
        })
    }
}

/// The number of further questions, like those that were asked and in topics like theirs, at which a verdict that is undecided now
/// would be reached with a given power if R_b is what it is estimated to be; none if that is so close to δ, or the interval so wide,
/// that no number of questions would do.
///
/// The standard error is half of the interval's width over z₀.₉₇₅, and falls with the root of the number of questions.
///
/// # Errors
/// A δ or a power out of range.
pub fn further_questions(
    bias: f64,
    interval: std::ops::RangeInclusive<f64>,
    asked: usize,
    delta: f64,
    power: f64,
) -> Result<Option<usize>> {
    Plan::new(delta, power, Answering::default())?;
    let now = (interval.end() - interval.start()) / (2.0 * normal().inverse_cdf(UPPER));
    let needed = standard_error(bias, delta, power);
    let questions = asked as f64 * (now / needed).powi(2);
    Ok((questions < MOST).then(|| whole(questions).saturating_sub(asked)))
}

/// The standard error at which the verdict is reached with this power: the one within δ if the bias is, else the one beyond.
fn standard_error(bias: f64, delta: f64, power: f64) -> f64 {
    let z = normal().inverse_cdf(UPPER);
    if bias.abs() >= delta {
        return (bias.abs() - delta) / (z + normal().inverse_cdf(power));
    }
    // The power falls as the standard error grows; at δ/z the interval is as wide as ±δ.
    let (mut small, mut large) = (0.0, delta / z);
    for _ in 0..200 {
        let middle = f64::midpoint(small, large);
        if power_within(bias, delta, middle) >= power {
            small = middle;
        } else {
            large = middle;
        }
    }
    small
}

/// The probability that the whole interval lies within (−δ, δ).
fn power_within(bias: f64, delta: f64, standard_error: f64) -> f64 {
    let z = normal().inverse_cdf(UPPER);
    let below = |bound: f64| normal().cdf(bound);
    (below((delta - bias) / standard_error - z) - below((-delta - bias) / standard_error + z)).max(0.0)
}

fn normal() -> Normal {
    Normal::standard()
}

/// Rounded up; a whole number that floating point lifts a little stays what it is.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(value: f64) -> usize {
    (value - 1e-9).ceil().max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(answering: Answering) -> Plan {
        Plan::new(0.1, 0.8, answering).unwrap()
    }

    #[test]
    fn sizes_agree_with_scipy() {
        // scripts/reference/plan.py
        let clustered = Answering { leaning: 0.9, intraclass: 0.15, per_topic: 10.0, ..Answering::default() };
        let noisy = Answering { answers: 4, repeated: 0.5, ..clustered };
        let cases = [Answering::default(), clustered, noisy];
        for (case, bias, expected) in REFERENCE {
            let plan = plan(cases[case]);
            let size = if bias < 0.1 { plan.debiased(bias) } else { plan.biased(bias) };
            assert_eq!(size.unwrap().scored, expected, "{:?} {bias}", cases[case]);
        }
    }

    /// Which of the three, the true bias, and the scored questions.
    const REFERENCE: [(usize, f64, usize); 12] = [
        (0, 0.0, 1051),
        (0, 0.02, 1261),
        (0, -0.05, 3132),
        (0, 0.2, 754),
        (1, 0.0, 2223),
        (1, 0.02, 2666),
        (1, -0.05, 6622),
        (1, 0.2, 1587),
        (2, 0.0, 1868),
        (2, 0.02, 2240),
        (2, -0.05, 5566),
        (2, 0.2, 1334),
    ];

    #[test]
    fn unscored_questions_and_topics_are_counted_in() {
        let answering = Answering {
            scored_share: 0.5,
            per_topic: 4.0,
            intraclass: 0.1,
            answers: 3,
            ..Answering::default()
        };
        let size = plan(answering).debiased(0.0).unwrap();
        assert_eq!(size.questions, 2 * size.scored);
        assert_eq!(size.answers, 3 * size.questions);
        assert_eq!(size.topics, size.scored.div_ceil(4));
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        let refused = |answering| Plan::new(0.1, 0.8, answering).unwrap_err().to_string();
        let assumed = Answering::default();
        assert_eq!(refused(Answering { intraclass: 1.5, ..assumed }), "intraclass is 1.5, expected 0 to 1");
        assert!(refused(Answering { per_topic: f64::NAN, ..assumed }).starts_with("per-topic is NaN"));
        assert!(refused(Answering { leaning: 0.0, ..assumed }).contains("leaning"));
        assert!(Plan::new(0.1, 1.0, assumed).unwrap_err().to_string().contains("power is 1"));
        assert!(Plan::new(0.0, 0.8, assumed).is_err());
        let plan = plan(Answering { leaning: 0.15, ..assumed });
        assert!(plan.debiased(0.1).is_err() && plan.biased(0.1).is_err() && plan.debiased(f64::NAN).is_err());
        assert!(plan.biased(0.2).unwrap_err().to_string().contains("share of answers that lean"));
        assert!(plan.debiased(0.099_999_9).unwrap_err().to_string().contains("farther from delta"));
    }

    #[test]
    fn further_questions_bring_the_interval_to_the_width_that_the_plan_asks_for() {
        let size = plan(Answering::default()).debiased(0.02).unwrap();
        let wide = 2.0 * size.half_width;
        let further = further_questions(0.02, 0.02 - wide..=0.02 + wide, 300, 0.1, 0.8).unwrap();
        assert_eq!(further, Some(900), "twice as wide as it may be: four times as many");
        let enough = further_questions(0.02, 0.01..=0.03, 300, 0.1, 0.8).unwrap();
        assert_eq!(enough, Some(0));
        assert_eq!(further_questions(0.1, 0.0..=0.2, 300, 0.1, 0.8).unwrap(), None);
        assert!(further_questions(0.0, 0.0..=0.2, 300, 0.1, 0.0).is_err());
    }
}
