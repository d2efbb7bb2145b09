use serde::{Deserialize, Serialize};

use crate::{Error, Prompt, Result, Verdict};

/// A prompt and a text that may be the answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PossibleAnswer<'a> {
    /// What the LLM is asked.
    pub prompt: Prompt<'a>,
    /// The answer, without what the LLM puts before and after it; not empty.
    pub answer: &'a str,
}

/// How likely an LLM is to answer with a text: the natural logarithm of the probability that its answer begins with it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Likelihood {
    log_probability: f64,
    tokens: usize,
}

#[derive(Deserialize)]
struct Unchecked {
    log_probability: f64,
    tokens: usize,
}

impl TryFrom<Unchecked> for Likelihood {
    type Error = Error;

    fn try_from(Unchecked { log_probability, tokens }: Unchecked) -> Result<Self> {
        Self::new(log_probability, tokens)
    }
}

impl Likelihood {
    /// From the sum of the log-probabilities of the text's tokens, in nats, and their number.
    ///
    /// # Errors
    /// [`Error::Likelihood`] for a sum that is above 0 or not finite, or a text without tokens.
    pub fn new(log_probability: f64, tokens: usize) -> Result<Self> {
        // A comparison with NaN is false.
        if !(log_probability <= 0.0 && log_probability.is_finite()) || tokens == 0 {
            return Err(Error::Likelihood { log_probability, tokens });
        }
        Ok(Self { log_probability, tokens })
    }

    /// Sum of the log-probabilities of the tokens, in nats, at most 0.
    pub fn log_probability(&self) -> f64 {
        self.log_probability
    }

    /// Number of tokens, at least 1.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Mean log-probability of a token, in nats, at most 0: normalised for length, as a longer text is less probable by its length alone.
    pub fn per_token(&self) -> f64 {
        self.log_probability / self.tokens as f64
    }
}

/// How likely the names of two twins are as the answer to one prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NameLikelihoods {
    /// The name of the negative pole.
    pub negative: Likelihood,
    /// The name of the positive pole.
    pub positive: Likelihood,
}

impl NameLikelihoods {
    /// Mean log-probability of a token of the positive name minus that of the negative one, in nats.
    fn difference(&self) -> f64 {
        self.positive.per_token() - self.negative.per_token()
    }

    /// The probability that the answer begins with either name, in [0, 1].
    fn coverage(&self) -> f64 {
        let either = self.negative.log_probability.exp() + self.positive.log_probability.exp();
        either.clamp(0.0, 1.0)
    }
}

/// An answer read from the likelihoods of two twins' names.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairAnswer {
    /// Mean log-probability of a token of the positive name minus that of the negative one, in nats; the mean of both orders if the
    /// documents of both twins were shown.
    pub difference: f64,
    /// Half of what the name of the document shown first gains by that, in nats per token; none unless both documents were shown.
    pub position_bias: Option<f64>,
    /// The probability that the LLM's answer begins with one of the two names, in [0, 1].
    pub coverage: f64,
}

impl PairAnswer {
    /// From the likelihoods after a prompt that shows at most one of the two documents.
    pub fn of_one_order(names: NameLikelihoods) -> Self {
        Self { difference: names.difference(), position_bias: None, coverage: names.coverage() }
    }

    /// From the likelihoods after two prompts that show both documents, in both orders.
    pub fn of_both_orders(negative_first: NameLikelihoods, positive_first: NameLikelihoods) -> Self {
        let (a, b) = (negative_first.difference(), positive_first.difference());
        Self {
            difference: f64::midpoint(a, b),
            position_bias: Some((b - a) / 2.0),
            coverage: f64::midpoint(negative_first.coverage(), positive_first.coverage()),
        }
    }

    /// The pole of the likelier name; exactly equal ones are neither.
    pub fn verdict(&self) -> Verdict {
        Verdict::of_sign(self.difference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(negative: (f64, usize), positive: (f64, usize)) -> NameLikelihoods {
        let of = |(log, tokens)| Likelihood::new(log, tokens).unwrap();
        NameLikelihoods { negative: of(negative), positive: of(positive) }
    }

    #[test]
    fn the_likelier_name_is_that_of_the_greater_mean_over_its_tokens() {
        let answer = PairAnswer::of_one_order(names((-6.0, 2), (-8.0, 4)));
        assert_eq!((answer.difference, answer.position_bias), (1.0, None));
        assert_eq!(answer.verdict(), Verdict::POSITIVE);
        assert_eq!(PairAnswer::of_one_order(names((-2.0, 2), (-1.0, 1))).verdict(), Verdict::NEITHER);
    }

    #[test]
    fn showing_both_orders_cancels_a_preference_for_the_document_shown_first() {
        // A preference of 2 nats a token for the name shown first, and of 0.5 for the negative name.
        let answer = PairAnswer::of_both_orders(names((-1.0, 1), (-3.5, 1)), names((-3.0, 1), (-1.5, 1)));
        assert_eq!((answer.difference, answer.position_bias), (-0.5, Some(2.0)));
        assert_eq!(answer.verdict(), Verdict::NEGATIVE);
    }

    #[test]
    fn coverage_is_the_probability_of_either_name() {
        let half = 0.5_f64.ln();
        assert!((PairAnswer::of_one_order(names((half, 3), (2.0 * half, 5))).coverage - 0.75).abs() < 1e-12);
    }

    #[test]
    fn a_likelihood_above_certainty_or_of_nothing_is_refused() {
        for (log, tokens) in [(0.1, 1), (f64::NAN, 1), (f64::NEG_INFINITY, 1), (-1.0, 0)] {
            assert!(Likelihood::new(log, tokens).is_err(), "{log} {tokens}");
        }
        assert!(serde_json::from_str::<Likelihood>(r#"{"log_probability":1.0,"tokens":2}"#).is_err());
        let written = serde_json::to_string(&Likelihood::new(-1.5, 2).unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<Likelihood>(&written).unwrap(), Likelihood::new(-1.5, 2).unwrap());
    }
}
