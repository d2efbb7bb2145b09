//! A choice between two claims, from log-probabilities or from sampled letters.

use ragbias_core::{Choice, ChoicePrompt, Chosen, Prompt};

use super::Server;
use super::config::ChoiceMethod;
use super::letters::{self, LEAST_COVERAGE, Odds, Reading};
use super::parallel::{Call, Stopped};
use super::reply::Ended;
use super::request::Asked;
use super::seen::Why;
use crate::choice::render;
use crate::{Error, Result};

const OTHER_METHOD: &str = "`choices sample` reads a choice from letters that are sampled several times, in both orders of the claims";

/// The log-probabilities in one order of the claims.
enum LetterOdds {
    Odds(Odds),
    /// The server returns no log-probabilities.
    Nothing,
    Refused,
}

/// How sampled answers in one order of the claims ended.
#[derive(Default)]
struct Tally {
    letters: [usize; 2],
    cut: usize,
    /// Refused, or without a letter.
    refused: usize,
}

impl Server {
    pub(super) fn choice(&self, call: &Call, asked: &ChoicePrompt<'_>) -> Result<Chosen, Stopped<Error>> {
        let users = [
            render(asked.prompt.user, asked.negative, asked.positive),
            render(asked.prompt.user, asked.positive, asked.negative),
        ];
        let orders = users.each_ref().map(|user| Prompt { user, ..asked.prompt });
        let method = self.config.choices;
        // The first token of a reasoning model is not part of its answer.
        let told = method == ChoiceMethod::Logprobs || !self.fields().reasons;
        if method == ChoiceMethod::Sample || !told {
            let why = (method == ChoiceMethod::Auto).then_some(Why::Thinks);
            return self.sampled(call, &orders, why);
        }
        let mut odds = Vec::with_capacity(2);
        for &order in &orders {
            match self.told(call, order)? {
                LetterOdds::Refused => return Ok(Chosen::Refused),
                LetterOdds::Odds(order) if order.coverage >= LEAST_COVERAGE => odds.push(order),
                LetterOdds::Odds(order) if method == ChoiceMethod::Logprobs => {
                    let share = 100.0 * order.coverage;
                    return Err(self.unreadable(format!(
                        "A and B have {share:.0}% of the probability of the answer's first token, expected at least 50%"
                    )));
                }
                LetterOdds::Nothing if method == ChoiceMethod::Logprobs => {
                    return Err(self.unreadable(
                        "the answer has no log-probabilities (`logprobs` with `top_logprobs`)".into(),
                    ));
                }
                LetterOdds::Odds(_) => return self.sampled(call, &orders, Some(Why::Uncovered)),
                LetterOdds::Nothing => return self.sampled(call, &orders, Some(Why::Untold)),
            }
        }
        Ok(self.chosen(letters::combine(odds[0], odds[1])))
    }

    fn chosen(&self, reading: Reading) -> Chosen {
        self.seen().open += usize::from(reading.open);
        let Reading { log_odds, position_bias, coverage, .. } = reading;
        Chosen::Choice(Choice { log_odds, position_bias, coverage })
    }

    /// Log-odds of A against B as the first token of the answer.
    fn told(&self, call: &Call, prompt: Prompt<'_>) -> Result<LetterOdds, Stopped<Error>> {
        if self.fields().likeliest == 0 {
            return Ok(LetterOdds::Nothing);
        }
        let reply = self.ask(call, Asked { budget: 1, logprobs: true, ..self.free(prompt) })?;
        match reply.tokens {
            Some(tokens) if !tokens.is_empty() => {
                letters::read(&tokens).map(LetterOdds::Odds).map_err(|reason| self.unreadable(reason))
            }
            _ if reply.ended == Ended::Refused && reply.tokens.is_none() => Ok(LetterOdds::Refused),
            Some(_) => Ok(LetterOdds::Odds(Odds::NOTHING)),
            None => {
                self.fields().likeliest = 0;
                Ok(LetterOdds::Nothing)
            }
        }
    }

    fn unreadable(&self, reason: String) -> Stopped<Error> {
        Stopped::All(Error::Server { url: self.address.to_string(), reason, attempts: 1, hint: OTHER_METHOD })
    }

    /// The letter sampled in both orders at temperature 1, with a note of the reason unless the user requested sampling.
    ///
    /// If more than half of the answers in one order give no letter, the model made no choice: cut if most of those were
    /// cut, else refused.
    fn sampled(
        &self,
        call: &Call,
        orders: &[Prompt<'_>; 2],
        why: Option<Why>,
    ) -> Result<Chosen, Stopped<Error>> {
        if let Some(why) = why {
            *self.seen().sampled.entry(why).or_default() += 1;
        }
        let n = self.config.samples;
        let mut tallies = [Tally::default(), Tally::default()];
        for (&order, tally) in orders.iter().zip(&mut tallies) {
            for sample in 0..n {
                let asked = Asked {
                    temperature: 1.0,
                    seed: self.generate.seed.wrapping_add(sample as u64),
                    ..self.free(order)
                };
                let reply = self.reply(call, asked)?;
                match (reply.ended, letters::said(&reply.text)) {
                    (Ended::Refused, _) | (Ended::Stop, None) => tally.refused += 1,
                    (_, Some(letter)) => tally.letters[letter] += 1,
                    (Ended::Cut, None) => tally.cut += 1,
                }
                let given: usize = tally.letters.iter().sum();
                if 2 * (given + n - sample - 1) < n {
                    return Ok(if tally.cut > tally.refused { Chosen::Cut } else { Chosen::Refused });
                }
            }
        }
        Ok(self.chosen(letters::count(tallies[0].letters, tallies[1].letters, n)))
    }
}
