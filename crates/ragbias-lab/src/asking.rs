//! Asks an LLM which of two twins' names it holds more likely after a prompt, and how likely it holds a text.

use std::sync::Arc;

use ragbias::core::{
    Axis, Choices, Document, Generator, Lean, Likelihood, NameLikelihoods, PairAnswer, PossibleAnswer,
    Prompt, Unit, in_order,
};
use ragbias::generate::{GenerateConfig, ServerConfig};
use ragbias::{AnswerMode, LlmName, Prompter, System};
use serde::Serialize;

use crate::bench::Bench;
use crate::error::Result;

/// Texts that are read and kept together: each has keys and values of its own.
const TEXTS_AT_A_TIME: usize = 24;

/// A prompt, and the names that are weighed as its answer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Asked {
    pub(crate) system: Option<String>,
    pub(crate) user: String,
    pub(crate) names: Choices,
}

impl Asked {
    /// A question with these documents.
    ///
    /// # Errors
    /// A prompt that cannot be rendered.
    pub(crate) fn new(
        prompter: &Prompter,
        question: &str,
        documents: &[&Document],
        names: &Choices,
    ) -> Result<Self> {
        let user = prompter.prompt(question, documents)?;
        Ok(Self { system: prompter.system().map(str::to_owned), user, names: names.clone() })
    }
}

/// The pole of the likelier name, from the log-probability of the positive one less that of the negative one; neither if both are equally likely.
pub(crate) fn answer(difference: f64) -> Lean {
    if difference > 0.0 {
        Lean::Positive
    } else if difference < 0.0 {
        Lean::Negative
    } else {
        Lean::Neutral
    }
}

/// An LLM whose answers are kept.
pub(crate) struct Llm<'b> {
    generator: Arc<dyn Generator>,
    name: String,
    bench: &'b Bench,
}

impl<'b> Llm<'b> {
    /// The LLM of this name.
    ///
    /// # Errors
    /// An unknown or damaged model, or one that does not tell the probability of a given text.
    pub(crate) fn load(name: &LlmName, axis: &Axis, bench: &'b Bench) -> Result<Self> {
        let models = bench.workspace().models();
        let (generate, server) = (GenerateConfig::default(), ServerConfig::default());
        let generator = models.generator(name, &generate, &server, bench.progress())?;
        Self::of(generator, name.to_string(), axis, bench)
    }

    /// An LLM that has been loaded, by this name.
    ///
    /// # Errors
    /// One that does not tell the probability of a given text.
    pub(crate) fn of(
        generator: Arc<dyn Generator>,
        name: String,
        axis: &Axis,
        bench: &'b Bench,
    ) -> Result<Self> {
        let workspace = bench.workspace();
        let system = System::on(axis.clone()).llm(generator).answering(AnswerMode::Pair).workspace(workspace);
        let generator = Arc::clone(system.build()?.llm().expect("a system with an LLM; this is a bug"));
        Ok(Self { generator, name, bench })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The mean log-probability of a token of the positive name less that of the negative one after each prompt, in nats. So many prompts
    /// at a time are asked and kept: best those that begin with the same texts.
    ///
    /// # Errors
    /// Those of the LLM; a prompt that is longer than its context.
    pub(crate) fn weigh(&self, asked: &[Asked], at_a_time: usize, what: &str) -> Result<Vec<f64>> {
        let name = format!("{}, {what}", self.name);
        let step = self.bench.progress().begin(&name, 2 * asked.len() as u64, Unit::Items);
        let mut differences = Vec::with_capacity(asked.len());
        for chunk in asked.chunks(at_a_time.max(1)) {
            let weighed = std::cell::Cell::new(false);
            let kept: Vec<f64> = self.bench.kept("answers", &(self.generator.id(), chunk), || {
                weighed.set(true);
                self.differences(chunk, &|| step.advance(1))
            })?;
            if !weighed.get() {
                step.advance(2 * chunk.len() as u64);
            }
            differences.extend(kept);
        }
        Ok(differences)
    }

    fn differences(&self, asked: &[Asked], advance: &(dyn Fn() + Sync)) -> Result<Vec<f64>> {
        let answers: Vec<PossibleAnswer<'_>> = (asked.iter())
            .flat_map(|Asked { system, user, names }| {
                let prompt = Prompt { system: system.as_deref(), user };
                [&names.negative, &names.positive].map(|answer| PossibleAnswer { prompt, answer })
            })
            .collect();
        let likelihoods = self.likelihoods(&answers, advance)?;
        let (pairs, _) = likelihoods.as_chunks::<2>();
        let difference = |&[negative, positive]: &[_; 2]| {
            PairAnswer::of_one_order(NameLikelihoods { negative, positive }).difference
        };
        Ok(pairs.iter().map(difference).collect())
    }

    /// The mean negative log-probability of a token of each text, in nats, as the answer to a prompt: the logarithm of its perplexity.
    ///
    /// # Errors
    /// Those of the LLM; a text that is longer than its context.
    pub(crate) fn surprise(&self, user: &str, texts: &[&str], what: &str) -> Result<Vec<f64>> {
        let step =
            self.bench.progress().begin(&format!("{}, {what}", self.name), texts.len() as u64, Unit::Items);
        let mut surprise = Vec::with_capacity(texts.len());
        for chunk in texts.chunks(TEXTS_AT_A_TIME) {
            surprise.extend(self.bench.kept("surprise", &(self.generator.id(), user, chunk), || {
                let prompt = Prompt { system: None, user };
                let answers: Vec<_> = chunk.iter().map(|answer| PossibleAnswer { prompt, answer }).collect();
                let likelihoods = self.likelihoods(&answers, &|| ())?;
                Ok(likelihoods.iter().map(|likelihood| -likelihood.per_token()).collect::<Vec<f64>>())
            })?);
            step.advance(chunk.len() as u64);
        }
        Ok(surprise)
    }

    fn likelihoods(
        &self,
        answers: &[PossibleAnswer<'_>],
        advance: &(dyn Fn() + Sync),
    ) -> Result<Vec<Likelihood>> {
        Ok(in_order(answers.len(), |keep| {
            self.generator.likelihoods(answers, &|number, likelihood| {
                advance();
                keep(number, likelihood)
            })
        })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likelier_name_is_the_answer_and_equal_ones_are_neither() {
        assert_eq!([0.1, -0.1, 0.0].map(|difference| answer(difference) as i32), [1, -1, 0]);
    }
}
