//! How likely given answers are: each prompt is prefilled once, and every answer to it continues from there.

use std::collections::HashMap;

use ragbias_core::{Keep, Likelihood, PossibleAnswer};
use rayon::prelude::*;

use super::loaded::Loaded;
use crate::choice::log_probability;
use crate::model::{Model, Span};
use crate::prompts::Read;
use crate::{Error, Result};

/// The distinct prompts of some answers.
#[derive(Default)]
struct Asked {
    /// The token ids of each prompt.
    ids: Vec<Vec<u32>>,
    /// For each prompt, the answers to it.
    answers: Vec<Vec<Continuation>>,
}

/// An answer's number, and its tokens after the prompt.
struct Continuation {
    answer: usize,
    tokens: Vec<u32>,
}

/// An answer of which some tokens have been read.
struct Open<'t, C> {
    continuation: &'t Continuation,
    state: C,
    log_probability: f64,
    /// Number of tokens in `log_probability`.
    read: usize,
}

impl<C> Open<'_, C> {
    /// Adds the log-probability of the next token.
    fn add(&mut self, logits: &[f32]) {
        self.log_probability += log_probability(logits, self.continuation.tokens[self.read]);
        self.read += 1;
    }
}

impl<M: Model> Loaded<M> {
    pub(super) fn weigh(
        &self,
        answers: &[PossibleAnswer<'_>],
        keep: &Keep<'_, Likelihood>,
    ) -> ragbias_core::Result<()> {
        let asked = self.asked(answers)?;
        self.reader.read(&asked.ids, |read| self.weigh_together(&asked, read, keep))
    }

    /// The token ids of each prompt, and of its answer after it.
    pub(crate) fn answered(&self, answers: &[PossibleAnswer<'_>]) -> Result<Vec<[Vec<u32>; 2]>> {
        let one = |answer: &PossibleAnswer<'_>| {
            let mut asked = self.asked(std::slice::from_ref(answer))?;
            let (prompt, mut answers) = (asked.ids.remove(0), asked.answers.remove(0));
            Ok([prompt, answers.remove(0).tokens])
        };
        answers.iter().map(one).collect()
    }

    fn asked(&self, answers: &[PossibleAnswer<'_>]) -> Result<Asked> {
        let (mut asked, mut places, mut texts) = (Asked::default(), HashMap::new(), Vec::new());
        let Some(first) = answers.first() else { return Ok(asked) };
        let opening = self.parts.template.opening(&self.parts.path, first.prompt)?;
        for (answer, &PossibleAnswer { prompt, answer: words }) in answers.iter().enumerate() {
            let next = texts.len();
            let place = *places.entry(prompt).or_insert(next);
            if place == next {
                let text = self.render(prompt)?;
                asked.ids.push(self.tokenise(&text)?);
                asked.answers.push(Vec::new());
                texts.push(text);
            }
            let tokens = self.continuation(&texts[place], &asked.ids[place], &opening, words)?;
            asked.answers[place].push(Continuation { answer, tokens });
        }
        Ok(asked)
    }

    /// The tokens of an answer after a prompt: those of both together without those of the prompt alone.
    fn continuation(&self, text: &str, prompt: &[u32], opening: &str, answer: &str) -> Result<Vec<u32>> {
        let whole = self.tokenise(&format!("{text}{opening}{answer}"))?;
        let Some(tokens) = whole.strip_prefix(prompt) else {
            return Err(Error::JoinedAnswer { path: self.parts.path.clone(), answer: answer.into() });
        };
        if whole.len() > self.parts.context {
            let (received, limit, answer) = (prompt.len(), self.parts.context, tokens.len());
            return Err(Error::PromptTooLong { received, limit, answer });
        }
        Ok(tokens.to_vec())
    }

    /// Reads all answers to prompts as a batch, a token of each at a time.
    fn weigh_together(
        &self,
        asked: &Asked,
        read: Vec<(usize, Read<M::Cache>)>,
        keep: &Keep<'_, Likelihood>,
    ) -> ragbias_core::Result<()> {
        let mut open = Vec::new();
        for (prompt, read) in read {
            self.check(&read.logits)?;
            for continuation in &asked.answers[prompt] {
                let mut one = Open { continuation, state: read.state.clone(), log_probability: 0.0, read: 0 };
                if continuation.tokens.is_empty() {
                    Likelihood::new(0.0, 0)?;
                }
                one.add(&read.logits);
                open.push(one);
            }
        }
        loop {
            let mut left = Vec::with_capacity(open.len());
            for one in open {
                let (answer, tokens) = (one.continuation.answer, one.continuation.tokens.len());
                if one.read == tokens {
                    keep(answer, Likelihood::new(one.log_probability, tokens)?)?;
                } else {
                    left.push(one);
                }
            }
            open = left;
            if open.is_empty() {
                return Ok(());
            }
            let mut spans: Vec<Span<'_, M::Cache>> = (open.iter_mut())
                .map(|one| Span {
                    tokens: &one.continuation.tokens[one.read - 1..one.read],
                    state: &mut one.state,
                    logits: true,
                })
                .collect();
            let logits = self.reader.model().step(&mut spans)?;
            logits.iter().try_for_each(|logits| self.check(logits))?;
            open.par_iter_mut().zip(logits).for_each(|(one, logits)| one.add(&logits));
        }
    }
}
