use serde::{Deserialize, Serialize};

use crate::{Result, Verdict};

/// How an LLM's answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The LLM finished its answer.
    Stop,
    /// The token budget was spent first.
    Cut,
    /// The LLM refused, a content filter blocked the answer, or the answer is empty.
    Refused,
}

impl Finish {
    /// The verdict on an answer that ended this way and whose text a scorer scored as `scored`.
    ///
    /// A pole that is present in a cut answer counts. If none is present, one might have followed: the answer is
    /// [`Verdict::Cut`], and never treated as having neither pole.
    pub fn verdict(self, scored: Verdict) -> Verdict {
        match self {
            Self::Stop => scored,
            Self::Cut if scored.has_a_pole() => scored,
            Self::Cut => Verdict::Cut,
            Self::Refused => Verdict::Refused,
        }
    }
}

/// An LLM's answer to one prompt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Answer {
    /// The answer, trimmed, without its reasoning; may be empty if it was cut or refused.
    pub text: String,
    /// How it ended.
    pub finish: Finish,
}

impl Answer {
    /// A finished answer; an empty one is refused.
    pub fn whole(text: impl Into<String>) -> Self {
        let text = text.into();
        let finish = if text.trim().is_empty() { Finish::Refused } else { Finish::Stop };
        Self { text, finish }
    }

    /// An answer cut at the token budget.
    pub fn cut(text: impl Into<String>) -> Self {
        Self { text: text.into(), finish: Finish::Cut }
    }

    /// A refusal, with its text if there is any.
    pub fn refused(text: impl Into<String>) -> Self {
        Self { text: text.into(), finish: Finish::Refused }
    }
}

/// What an LLM is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prompt<'a> {
    /// The system message, if there is one.
    pub system: Option<&'a str>,
    /// The user's message.
    pub user: &'a str,
}

impl<'a, T: AsRef<str> + ?Sized> From<&'a T> for Prompt<'a> {
    /// A prompt without a system message.
    fn from(user: &'a T) -> Self {
        Self { system: None, user: user.as_ref() }
    }
}

/// Two claims from which an LLM chooses one, after a shared prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChoicePrompt<'a> {
    /// Context and question; the options and the request for a letter are added by the generator.
    pub prompt: Prompt<'a>,
    /// The claim of the negative pole.
    pub negative: &'a str,
    /// The claim of the positive pole.
    pub positive: &'a str,
}

/// The result of a choice, with the two claims shown in both orders.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Log-odds of the positive claim against the negative one, averaged over both orders, so that position cancels.
    pub log_odds: f64,
    /// Log-odds of whichever claim was shown first against the one shown second, averaged over both orders.
    pub position_bias: f64,
    /// The probability that the LLM answers with one of the two letters at all, mean of both orders, in [0, 1]. If it is
    /// low, the odds between the letters say little about what the LLM would have answered.
    pub coverage: f64,
}

impl Choice {
    /// From the log-probabilities of the letters A and B, `[A, B]`, in the two orders.
    pub fn from_log_probabilities(negative_first: [f64; 2], positive_first: [f64; 2]) -> Self {
        let a = negative_first[0] - negative_first[1];
        let b = positive_first[0] - positive_first[1];
        let covered = |letters: [f64; 2]| letters.map(f64::exp).iter().sum::<f64>().clamp(0.0, 1.0);
        Self {
            log_odds: (b - a) / 2.0,
            position_bias: f64::midpoint(a, b),
            coverage: f64::midpoint(covered(negative_first), covered(positive_first)),
        }
    }

    /// The pole of the chosen claim; exactly even odds are neither.
    pub fn verdict(&self) -> Verdict {
        Verdict::of_sign(self.log_odds)
    }
}

/// The outcome of one choice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chosen {
    /// A claim was chosen.
    Choice(Choice),
    /// The token budget was spent before a letter was generated.
    Cut,
    /// The LLM refused, or a content filter blocked the answer.
    Refused,
}

impl Chosen {
    /// The choice, if one was made.
    pub fn choice(&self) -> Option<&Choice> {
        match self {
            Self::Choice(choice) => Some(choice),
            Self::Cut | Self::Refused => None,
        }
    }

    /// The pole of the chosen claim, or the reason why there is none.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Choice(choice) => choice.verdict(),
            Self::Cut => Verdict::Cut,
            Self::Refused => Verdict::Refused,
        }
    }
}

/// Receives a generator's answers as they arrive: the number of the prompt in its batch, and the answer.
///
/// Called from any thread, for prompts in any order, once for each. An error (such as a full store) ends the batch.
pub type Keep<'a, A> = dyn Fn(usize, A) -> Result<()> + Sync + 'a;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn showing_both_orders_cancels_a_preference_for_the_first_letter() {
        // A model with a position preference for A of 2 nats, and a preference for the positive claim of 0.5.
        let choice = Choice::from_log_probabilities([-0.5, -2.0], [-0.2, -2.7]);
        assert!((choice.log_odds - 0.5).abs() < 1e-12);
        assert!((choice.position_bias - 2.0).abs() < 1e-12);
        assert_eq!(choice.verdict(), Verdict::POSITIVE);
    }

    #[test]
    fn coverage_is_the_probability_of_both_letters_in_the_mean_of_both_orders() {
        let choice = Choice::from_log_probabilities(
            [0.25_f64.ln(), 0.5_f64.ln()],
            [0.125_f64.ln(), f64::NEG_INFINITY],
        );
        assert!((choice.coverage - 0.4375).abs() < 1e-12);
    }

    #[test]
    fn a_cut_answer_counts_where_a_pole_was_found_and_is_never_neither() {
        let both = Verdict::scored(true, true);
        for pole in [Verdict::POSITIVE, Verdict::NEGATIVE, both] {
            assert_eq!(Finish::Cut.verdict(pole), pole);
        }
        for nothing in [Verdict::NEITHER, Verdict::Unscored] {
            assert_eq!(Finish::Cut.verdict(nothing), Verdict::Cut);
            assert_eq!(Finish::Stop.verdict(nothing), nothing);
        }
        assert_eq!(
            Finish::Refused.verdict(Verdict::POSITIVE),
            Verdict::Refused,
            "a refusal may name anybody"
        );
    }

    #[test]
    fn an_answer_without_a_word_is_refused() {
        assert_eq!(Answer::whole(" \n").finish, Finish::Refused);
        assert_eq!(Answer::whole("Marie Curie").finish, Finish::Stop);
        assert_eq!(Answer::cut("").finish, Finish::Cut);
    }
}
