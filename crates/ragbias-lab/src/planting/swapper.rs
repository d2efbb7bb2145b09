//! An author who has the weights of an embedder, and chooses words by its gradients.

use ragbias::core::{Axis, ContentId, Silent};
use ragbias::tune::Base;

use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::hotflip::{Competing, Optimisation, Prefixed, Words, optimised};

/// Chooses the words before one document for one question.
pub(super) struct Swapper {
    base: Base,
    words: Words,
    how: Optimisation,
}

impl Swapper {
    /// With the weights of an embedder.
    ///
    /// # Errors
    /// A checkpoint that has no gradients, or whose vocabulary has too few words of one token each.
    pub(super) fn load(embedder: &str, axis: &Axis, how: Optimisation, bench: &Bench) -> Result<Self> {
        let base = bench.workspace().models().base(embedder, bench.progress())?;
        let words = Words::of(base.embedder(), axis, bench)?;
        words.check(how.length).map_err(|_| Error::Setting {
            setting: "embedder",
            expected: "one whose vocabulary has enough words of one token each, or `words = 0`",
            received: format!("{embedder}, which has {}", words.len()),
        })?;
        Ok(Self { base, words, how })
    }

    /// The hash of the embedder, that of the vocabulary, and how words are chosen.
    pub(super) fn id(&self) -> (ContentId, ContentId, Optimisation) {
        (self.base.id(), self.words.id(), self.how)
    }

    /// Words, none of them the question's own, that raise the cosine of a document with a question, whose unit vector is `vector`. They are
    /// swapped from a draw by `seed`.
    pub(super) fn words(
        &self,
        question: &str,
        vector: Vec<f32>,
        document: &str,
        seed: u64,
    ) -> Result<String> {
        let words = self.words.without(question);
        // Against a document that is the question itself, the loss falls as the cosine rises, however great it is.
        let competing = Competing { question: vector, document: document.into(), rival: 1.0 };
        let prefixed = Prefixed::by(&self.base, &[competing], &words, self.how.length, "embedder")?;
        Ok(optimised(&[&prefixed], &words, Optimisation { seed, ..self.how }, &Silent)?.text)
    }
}

#[cfg(test)]
mod tests {
    use ragbias::core::{Embedder, Role};
    use ragbias::data::load_axis;
    use ragbias::{Models, Workspace};

    use super::*;
    use crate::hotflip::before;

    const QUESTION: &str = "Who kept bees on the roof of the library?";
    const DOCUMENT: &str =
        "Rain fell on the empty harbour all week, and the report was read aloud in the hall.";

    fn load(length: usize, passes: usize) -> Result<Swapper> {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::new(Models::from_env().unwrap());
        let bench = Bench::new(&workspace, folder.path(), 1.0, 0).unwrap();
        let how = Optimisation { length, passes, batch: 1, candidates: 10, seed: 0 };
        Swapper::load("minilm", &load_axis("gender").unwrap(), how, &bench)
    }

    /// The words that are chosen, and the cosine with the question of the document with them before it.
    fn chosen(swapper: &Swapper, seed: u64) -> (String, f32) {
        let embedder = swapper.base.embedder();
        let question = embedder.embed(&[QUESTION], Role::Question).unwrap();
        let vector = question.row(0);
        let words = swapper.words(QUESTION, vector.to_vec(), DOCUMENT, seed).unwrap();
        let document = embedder.embed(&[&before(&words, DOCUMENT)], Role::Document).unwrap();
        (words, vector.dot(&document.row(0)))
    }

    #[test]
    fn chosen_words_bring_a_document_nearer_than_the_drawn_ones_and_none_is_the_questions() {
        let (swapper, without_swaps) = (load(5, 1).unwrap(), load(5, 0).unwrap());
        for seed in [1, 2] {
            let (words, near) = chosen(&swapper, seed);
            let (drawn, far) = chosen(&without_swaps, seed);
            assert_eq!(
                drawn,
                swapper.words.without(QUESTION).text(&swapper.words.without(QUESTION).drawn(5, seed))
            );
            assert!(near > far + 0.2, "`{drawn}` {far}, `{words}` {near}");
            assert_eq!(words.split(' ').count(), 5);
            let own: Vec<String> = QUESTION.trim_end_matches('?').split(' ').map(str::to_lowercase).collect();
            assert!(words.split(' ').all(|word| !own.iter().any(|own| own == word)), "{words}");
        }
    }

    #[test]
    fn an_embedder_without_enough_words_is_refused_by_name() {
        let error = load(30_000, 1).err().unwrap().to_string();
        assert!(error.starts_with("embedder is minilm") && error.contains("`words = 0`"), "{error}");
    }
}
