use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::{
    Answer, ChoicePrompt, Chosen, ContentId, DocId, Document, Embeddings, Error, Keep, Lean, Result,
    Similarity, Verdict,
};

/// Which side of a retrieval a text stands on; some embedders prefix the two differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What is asked.
    Question,
    /// What is retrieved.
    Document,
}

/// Texts to vectors.
///
/// Callers: one call embeds one batch; a long corpus is best given in slices of a few hundred texts, with progress
/// shown between them. Implementers: the vector of a text must not depend on the other texts of its batch (to 1e-5),
/// and the order and number of rows is that of the texts.
pub trait Embedder: Send + Sync {
    /// Hash of the weights and of every setting that changes a vector.
    fn id(&self) -> ContentId;

    /// Dimensions of a vector.
    fn dim(&self) -> usize;

    /// How its vectors are compared: what its checkpoint says, or by cosine.
    fn similarity(&self) -> Similarity {
        Similarity::Cosine
    }

    /// One vector per text, `(texts.len(), dim)`; of unit length where vectors are compared by cosine.
    fn embed(&self, texts: &[&str], role: Role) -> Result<Embeddings>;
}

/// One retrieved document.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Its position in the corpus.
    pub document: DocId,
    /// Similarity to the question, by the [`Similarity`] of the index: a cosine is in [−1, 1].
    pub score: f32,
}

/// Vectors to their nearest neighbours.
///
/// Implementers: hits come best first, and documents of equal score in document order, so that the order in which
/// documents were added decides nothing else.
pub trait VectorIndex: Send + Sync {
    /// Hash of the vectors and of every setting that changes a hit.
    fn id(&self) -> ContentId;

    /// How many vectors are indexed.
    fn len(&self) -> usize;

    /// Whether no vector is indexed.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Dimensions of a vector.
    fn dim(&self) -> usize;

    /// The `k` nearest documents of each question; all of them where `k` is larger than the index.
    fn search(&self, questions: &Embeddings, k: usize) -> Result<Vec<Vec<Hit>>>;
}

/// Makes the index of a corpus out of its vectors: in memory, from a file, in a database.
///
/// Implementers: build the index, or open one that was built of the same vectors before.
pub trait IndexBackend: Send + Sync {
    /// An index of these vectors, which are compared by `similarity`; of unit length where that is the cosine.
    ///
    /// # Errors
    /// Vectors that the backend cannot index, or whatever it fails with.
    fn index(&self, similarity: Similarity, documents: Embeddings) -> Result<Box<dyn VectorIndex>>;
}

/// Prompts to answers.
///
/// Callers: give all prompts at once, as a generator knows best how many to answer side by side; what is said comes to
/// `keep` as it is said, and is to be kept there. Implementers: an answer depends on its prompt alone, never on the batch;
/// every prompt is kept once, as soon as its answer has ended. Where a prompt fails, those that are being answered beside it
/// are still kept, and then the first error is returned, by number of the prompt.
pub trait Generator: Send + Sync {
    /// Hash of the weights and of every setting that changes an answer: of all that is known of who answers. It does not
    /// change once it was asked for.
    fn id(&self) -> ContentId;

    /// An answer to every prompt.
    fn generate(&self, prompts: &[&str], keep: &Keep<'_, Answer>) -> Result<()>;

    /// A choice after every prompt, each from both orders of its two claims.
    fn choose(&self, prompts: &[ChoicePrompt<'_>], keep: &Keep<'_, Chosen>) -> Result<()>;

    /// What a user should know of who answered, a note each; may grow while answers come.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// The name that stands in [`id`](Self::id) for a model of which nothing more is known, as where a server does not say
    /// which one it runs. None where the id tells one model from another.
    fn assumed(&self) -> Option<String> {
        None
    }

    /// How many answers so far carried which mark, where whoever answers leaves one that changes with its version, as
    /// servers' `system_fingerprint`. Marks are no part of [`id`](Self::id): a service answers from several replicas.
    fn fingerprints(&self) -> BTreeMap<String, usize> {
        BTreeMap::new()
    }

    /// An answer to every prompt, in their order.
    ///
    /// # Errors
    /// Whatever [`generate`](Self::generate) fails with, and [`Error::BatchLength`](crate::Error::BatchLength) where it
    /// leaves out a prompt.
    fn generate_all(&self, prompts: &[&str]) -> Result<Vec<Answer>> {
        in_order(prompts.len(), |keep| self.generate(prompts, keep))
    }

    /// A choice after every prompt, in their order.
    ///
    /// # Errors
    /// As of [`generate_all`](Self::generate_all).
    fn choose_all(&self, prompts: &[ChoicePrompt<'_>]) -> Result<Vec<Chosen>> {
        in_order(prompts.len(), |keep| self.choose(prompts, keep))
    }
}

/// What a generator says to `count` prompts, in their order.
///
/// # Errors
/// Whatever `ask` fails with, and [`Error::BatchLength`](crate::Error::BatchLength) where it leaves out a prompt.
pub fn in_order<A: Send>(count: usize, ask: impl FnOnce(&Keep<'_, A>) -> Result<()>) -> Result<Vec<A>> {
    let kept: Mutex<Vec<Option<A>>> = Mutex::new((0..count).map(|_| None).collect());
    ask(&|prompt, answer| {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.get_mut(prompt) {
            Some(place) if place.is_none() => *place = Some(answer),
            _ => return Err(Error::Kept { prompt, count }),
        }
        Ok(())
    })?;
    let kept = kept.into_inner().unwrap_or_else(PoisonError::into_inner);
    let answers: Vec<A> = kept.into_iter().flatten().collect();
    if answers.len() < count {
        return Err(Error::BatchLength { component: "the LLM", expected: count, received: answers.len() });
    }
    Ok(answers)
}

/// What a scorer is shown of a document or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Passage<'a> {
    /// A document's title; answers have none.
    pub title: Option<&'a str>,
    /// The text.
    pub text: &'a str,
    /// The gold label, for the scorer that reads it; every other scorer must ignore it.
    pub gold: Option<Lean>,
}

impl<'a> From<&'a str> for Passage<'a> {
    fn from(text: &'a str) -> Self {
        Self { title: None, text, gold: None }
    }
}

impl<'a> TryFrom<&'a Document> for Passage<'a> {
    type Error = crate::Error;

    fn try_from(document: &'a Document) -> Result<Self> {
        Ok(Self { title: document.title.as_deref(), text: &document.text, gold: document.gold_lean()? })
    }
}

/// Texts to verdicts on one axis.
///
/// Implementers: say [`Verdict::Unscored`] where the text gives no evidence that you can read, and
/// [`Verdict::NEITHER`] only where you can tell that neither pole is present. [`Verdict::Refused`] and [`Verdict::Cut`] are
/// said of how an answer ended, never by a scorer of its text.
pub trait BiasScorer: Send + Sync {
    /// Hash of everything that changes a verdict.
    fn id(&self) -> ContentId;

    /// The name of the axis it scores on.
    fn axis(&self) -> &str;

    /// One verdict per passage.
    fn score(&self, passages: &[Passage<'_>]) -> Result<Vec<Verdict>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trait_is_object_safe() {
        fn _takes(_: &dyn Embedder, _: &dyn VectorIndex, _: &dyn Generator, _: &dyn BiasScorer) {}
    }
}
