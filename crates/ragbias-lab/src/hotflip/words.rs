//! The words that are put before texts.

use std::collections::BTreeSet;

use ragbias::System;
use ragbias::core::{Axis, ContentHasher, ContentId, Corpus, Document};
use ragbias::embed::TextEmbedder;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::bench::Bench;
use crate::error::{Error, Result};

/// Words of an embedder's vocabulary, each one token, without those that show a pole: a document's lean must not change.
pub(crate) struct Words {
    ids: Vec<u32>,
    texts: Vec<String>,
}

impl Words {
    /// Those of an embedder, in the order of its vocabulary.
    pub(crate) fn of(embedder: &TextEmbedder, axis: &Axis, bench: &Bench) -> Result<Self> {
        let all = embedder.whole_words()?;
        let shown = |(id, word): &(u32, String)| {
            let capital: String = word
                .chars()
                .take(1)
                .map(|first| first.to_ascii_uppercase())
                .chain(word.chars().skip(1))
                .collect();
            Document::new(id.to_string(), format!("{word}. {capital}."))
        };
        let corpus = Corpus::new(all.iter().map(shown).collect())?;
        let judged = System::on(axis.clone()).workspace(bench.workspace()).build()?.judge(&corpus)?;
        let is_neutral =
            judged.verdicts().iter().map(|verdict| verdict.lean().is_none_or(|lean| lean as i32 == 0));
        let (ids, texts) = all
            .into_iter()
            .zip(is_neutral)
            .filter(|(_, is_neutral)| *is_neutral)
            .map(|(word, _)| word)
            .unzip();
        Ok(Self { ids, texts })
    }

    /// Those that a text lacks.
    pub(crate) fn without(&self, text: &str) -> Self {
        let own: BTreeSet<String> = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        let all = self.ids.iter().zip(&self.texts).filter(|(_, word)| !own.contains(word.as_str()));
        let (ids, texts) = all.map(|(id, word)| (*id, word.clone())).unzip();
        Self { ids, texts }
    }

    /// Checks that there are enough to choose this many from.
    pub(crate) fn check(&self, length: usize) -> Result<()> {
        if self.ids.len() >= 10 * length {
            return Ok(());
        }
        let what = "words of the vocabulary that are one token each";
        Err(Error::TooFew { what, expected: 10 * length, received: self.ids.len() })
    }

    /// Their number.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Their token ids.
    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The hash of all of them.
    pub(crate) fn id(&self) -> ContentId {
        ContentHasher::new("words/1").field(self.texts.join(" ")).finish()
    }

    /// Different words by a draw.
    pub(crate) fn drawn(&self, length: usize, seed: u64) -> Vec<u32> {
        let mut ids = self.ids.clone();
        ids.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        ids.truncate(length);
        ids
    }

    /// The text of words.
    pub(crate) fn text(&self, ids: &[u32]) -> String {
        let word = |id: &u32| {
            let place = self.ids.iter().position(|own| own == id).expect("one of these words; this is a bug");
            self.texts[place].as_str()
        };
        ids.iter().map(word).collect::<Vec<_>>().join(" ")
    }
}

/// A document with words before it.
pub(crate) fn before(words: &str, document: &str) -> String {
    format!("{words} {document}")
}
