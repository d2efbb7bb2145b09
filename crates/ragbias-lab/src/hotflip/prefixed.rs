//! Documents as an encoder sees them, with words before them whose tokens can be swapped.

use std::collections::BTreeSet;

use ragbias::core::Role;
use ragbias::tune::{Base, Contest};

use super::words::{Words, before};
use crate::error::{Error, Result};

/// τ of the loss: that of training.
const SCALE: f64 = 50.0;

/// A document that is to be nearer to a question than another one.
#[derive(Debug, Clone)]
pub(crate) struct Competing {
    /// The unit vector of the question, `(dim,)`.
    pub(crate) question: Vec<f32>,
    /// The text of the document.
    pub(crate) document: String,
    /// The cosine of the question with the other one.
    pub(crate) rival: f32,
}

/// Documents with the same number of words before each, as an encoder sees them.
pub(crate) struct Prefixed<'b> {
    base: &'b Base,
    contests: Vec<Contest>,
    /// Place of the first of the words' tokens.
    first: usize,
}

impl<'b> Prefixed<'b> {
    /// Documents with `length` words before each. `setting` is what named the embedder.
    ///
    /// # Errors
    /// A tokenizer that does not give the words the same places in every document.
    pub(crate) fn by(
        base: &'b Base,
        competing: &[Competing],
        words: &Words,
        length: usize,
        setting: &'static str,
    ) -> Result<Self> {
        let ids = words.drawn(length, 0);
        let prefix = words.text(&ids);
        let texts: Vec<String> = competing.iter().map(|one| before(&prefix, &one.document)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let tokens = base.embedder().tokenise(&texts, Role::Document)?;
        let firsts: BTreeSet<Option<usize>> =
            tokens.iter().map(|tokens| tokens.windows(length).position(|window| window == ids)).collect();
        let [Some(first)] = firsts.into_iter().collect::<Vec<_>>()[..] else {
            return Err(Error::Setting {
                setting,
                expected: "an embedder whose tokenizer gives words before a text the same places in every document",
                received: base.folder().display().to_string(),
            });
        };
        let contests = tokens
            .into_iter()
            .zip(competing)
            .map(|(tokens, one)| Ok(Contest::new(tokens, one.question.clone(), one.rival)?));
        Ok(Self { base, contests: contests.collect::<Result<_>>()?, first })
    }

    /// The number of documents.
    pub(super) fn len(&self) -> usize {
        self.contests.len()
    }

    /// Some contests with these words.
    fn with(&self, rows: &[usize], words: &[u32]) -> Vec<Contest> {
        let with = |row: &usize| {
            let places = words.iter().enumerate();
            places.fold(self.contests[*row].clone(), |contest, (place, &id)| {
                contest.with(self.first + place, id)
            })
        };
        rows.iter().map(with).collect()
    }

    pub(super) fn loss(&self, rows: &[usize], words: &[u32]) -> Result<f64> {
        Ok(self.base.contest_loss(&self.with(rows, words), SCALE)?)
    }

    /// The loss, and the first-order gain of every token of the vocabulary at the place of a word.
    pub(super) fn gains(&self, rows: &[usize], words: &[u32], place: usize) -> Result<(f64, Vec<f32>)> {
        let at = self.first + place;
        let slopes = self.base.contest_slopes(&self.with(rows, words), SCALE, at..at + 1)?;
        Ok((slopes.loss, self.base.swap_gains(&slopes.gradients[0], words[place])?))
    }
}
