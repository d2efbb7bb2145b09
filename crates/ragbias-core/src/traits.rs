use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::{
    Answer, ChoicePrompt, Chosen, ContentId, DocId, Document, Embeddings, Error, Keep, Lean, Likelihood,
    PossibleAnswer, Prompt, Result, Similarity, Verdict,
};

/// The role of a text in retrieval; some embedders use a different prefix for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A question.
    Question,
    /// A document.
    Document,
}

/// Embeds texts.
///
/// Callers: one call embeds one batch; pass a long corpus in slices of a few hundred texts, and show progress
/// between them. Implementers: the vector of a text must not depend on the other texts of its batch (to 1e-5),
/// and rows are in the order of the texts.
pub trait Embedder: Send + Sync {
    /// Hash of the weights and of every setting that changes a vector.
    fn id(&self) -> ContentId;

    /// Dimensions of a vector.
    fn dim(&self) -> usize;

    /// The similarity measure of its vectors: that of its checkpoint, or the cosine.
    fn similarity(&self) -> Similarity {
        Similarity::Cosine
    }

    /// One vector per text, `(texts.len(), dim)`, of unit length if vectors are compared by cosine.
    fn embed(&self, texts: &[&str], role: Role) -> Result<Embeddings>;

    /// How much of each text is embedded; none, the default, if that is not known.
    fn token_counts(&self, _texts: &[&str], _role: Role) -> Result<Option<Vec<TokenCount>>> {
        Ok(None)
    }
}

/// How much of a text an [`Embedder`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenCount {
    /// Number of tokens that are embedded, with the prefix and special tokens.
    pub tokens: usize,
    /// Whether the text is longer than the model's limit, so that its end is left out.
    pub truncated: bool,
}

/// One retrieved document.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Its position in the corpus.
    pub document: DocId,
    /// Similarity to the question, by the [`Similarity`] of the index: a cosine is in [−1, 1].
    pub score: f32,
}

/// Finds the nearest neighbours of vectors.
///
/// Implementers: return hits best first, and documents of equal score in document order, so that the order in which
/// documents were added has no other effect.
pub trait VectorIndex: Send + Sync {
    /// Hash of the vectors and of every setting that changes a hit.
    fn id(&self) -> ContentId;

    /// Number of indexed vectors.
    fn len(&self) -> usize;

    /// Whether no vectors are indexed.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Dimensions of a vector.
    fn dim(&self) -> usize;

    /// The `k` nearest documents of each question; all documents if `k` is larger than the index.
    fn search(&self, questions: &Embeddings, k: usize) -> Result<Vec<Vec<Hit>>>;
}

/// Creates the index of a corpus from its vectors: in memory, from a file, in a database.
///
/// Implementers: build the index, or open one that was built from the same vectors before.
pub trait IndexBackend: Send + Sync {
    /// An index of these vectors, compared by `similarity`; of unit length if that is the cosine.
    ///
    /// # Errors
    /// Vectors that the backend cannot index, or the backend's own errors.
    fn index(&self, similarity: Similarity, documents: Embeddings) -> Result<Box<dyn VectorIndex>>;
}

/// Answers prompts.
///
/// Callers: pass all prompts at once, as the generator knows best how many to answer concurrently. Each answer is passed to
/// `keep` as soon as it has ended; store it there. Implementers: an answer depends only on its prompt, never on the batch; the
/// system message reaches the model, or is refused;
/// call `keep` once per prompt, as soon as its answer has ended. If a prompt fails, answers in progress
/// are still passed to `keep`, and then the error of the lowest-numbered prompt is returned.
pub trait Generator: Send + Sync {
    /// Hash of the weights and of every setting that changes an answer, including everything known about the model. It does not
    /// change once it has been requested.
    fn id(&self) -> ContentId;

    /// Answers every prompt.
    fn generate(&self, prompts: &[Prompt<'_>], keep: &Keep<'_, Answer>) -> Result<()>;

    /// Makes a choice after every prompt, each from both orders of its two claims.
    fn choose(&self, prompts: &[ChoicePrompt<'_>], keep: &Keep<'_, Chosen>) -> Result<()>;

    /// Tells how likely each answer is, instead of generating one.
    ///
    /// Implementers: what the model would put between the prompt and its answer, such as a space, is part of the answer.
    ///
    /// # Errors
    /// [`Error::NoLikelihoods`](crate::Error::NoLikelihoods) by default: a generator that does not know the probabilities of a given
    /// text.
    fn likelihoods(&self, _: &[PossibleAnswer<'_>], _: &Keep<'_, Likelihood>) -> Result<()> {
        Err(Error::NoLikelihoods)
    }

    /// Notes for the user about the model that answered; may grow while answers arrive.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// The name that represents the model in [`id`](Self::id) if nothing else is known about it, as when a server does not
    /// identify its model. None if the id distinguishes models.
    fn assumed(&self) -> Option<String> {
        None
    }

    /// Number of answers so far by fingerprint, if the model reports one that changes with its version, such as
    /// a server's `system_fingerprint`. Fingerprints are not part of [`id`](Self::id): a service answers from several replicas.
    fn fingerprints(&self) -> BTreeMap<String, usize> {
        BTreeMap::new()
    }
}

/// Answers in order, from any [`Generator`].
pub trait GenerateAll: Generator {
    /// Answers every prompt, and returns the answers in order.
    ///
    /// # Errors
    /// Those of [`generate`](Generator::generate), and [`Error::BatchLength`](crate::Error::BatchLength) if it
    /// leaves out a prompt.
    fn generate_all<'p>(
        &self,
        prompts: impl IntoIterator<Item = impl Into<Prompt<'p>>>,
    ) -> Result<Vec<Answer>> {
        let prompts: Vec<Prompt<'p>> = prompts.into_iter().map(Into::into).collect();
        in_order(prompts.len(), |keep| self.generate(&prompts, keep))
    }

    /// Makes a choice after every prompt, and returns the choices in order.
    ///
    /// # Errors
    /// Those of [`generate_all`](Self::generate_all).
    fn choose_all(&self, prompts: &[ChoicePrompt<'_>]) -> Result<Vec<Chosen>> {
        in_order(prompts.len(), |keep| self.choose(prompts, keep))
    }

    /// Tells how likely each answer is, in order.
    ///
    /// # Errors
    /// Those of [`likelihoods`](Generator::likelihoods) and of [`generate_all`](Self::generate_all).
    fn likelihoods_all(&self, answers: &[PossibleAnswer<'_>]) -> Result<Vec<Likelihood>> {
        in_order(answers.len(), |keep| self.likelihoods(answers, keep))
    }
}

impl<G: Generator + ?Sized> GenerateAll for G {}

/// Collects a generator's answers to `count` prompts, in order.
///
/// # Errors
/// Those of `ask`, and [`Error::BatchLength`](crate::Error::BatchLength) if it leaves out a prompt.
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

/// The scorer's input: a document or an answer.
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

/// Scores texts on one axis.
///
/// Implementers: return [`Verdict::Unscored`] if the text gives no evidence that you can read, and
/// [`Verdict::NEITHER`] only if you can tell that neither pole is present. [`Verdict::Refused`] and [`Verdict::Cut`]
/// describe how an answer ended; a scorer never returns them.
pub trait BiasScorer: Send + Sync {
    /// Hash of everything that changes a verdict.
    fn id(&self) -> ContentId;

    /// The name of the axis it scores on.
    fn axis(&self) -> &str;

    /// Whether it is an LLM that judges, whose errors are not known until it is compared with labels.
    fn is_judge(&self) -> bool {
        false
    }

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
