use serde::{Deserialize, Serialize};

use crate::{ContentId, DocId, Document, Embeddings, Lean, Result, Verdict};

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

    /// One unit vector per text, `(texts.len(), dim)`.
    fn embed(&self, texts: &[&str], role: Role) -> Result<Embeddings>;
}

/// One retrieved document.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Its position in the corpus.
    pub document: DocId,
    /// Cosine with the question, in [−1, 1].
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

/// Two claims of which an LLM chooses one, after a prompt that both share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChoicePrompt<'a> {
    /// Context and question; the options and the request for a letter are added by the generator.
    pub prompt: &'a str,
    /// The claim of the negative pole.
    pub negative: &'a str,
    /// The claim of the positive pole.
    pub positive: &'a str,
}

/// What an LLM chose, with the two claims shown in both orders.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Log-odds of the positive claim against the negative one, averaged over both orders: position cancels.
    pub log_odds: f64,
    /// Log-odds of whichever claim was shown first against the one shown second, averaged over both orders.
    pub position_bias: f64,
}

impl Choice {
    /// From the log-probabilities of the letters A and B, `[A, B]`, in the two orders.
    pub fn from_log_probabilities(negative_first: [f64; 2], positive_first: [f64; 2]) -> Self {
        let a = negative_first[0] - negative_first[1];
        let b = positive_first[0] - positive_first[1];
        Self { log_odds: (b - a) / 2.0, position_bias: f64::midpoint(a, b) }
    }

    /// The pole of the chosen claim; exactly even odds are neither.
    pub fn verdict(&self) -> Verdict {
        if self.log_odds > 0.0 {
            Verdict::POSITIVE
        } else if self.log_odds < 0.0 {
            Verdict::NEGATIVE
        } else {
            Verdict::NEITHER
        }
    }
}

/// Prompts to answers.
///
/// Callers: keep batches small enough for progress to be shown between them. Implementers: an answer depends on its
/// prompt alone, never on the batch, and is trimmed; an empty answer is an answer.
pub trait Generator: Send + Sync {
    /// Hash of the weights and of every setting that changes an answer.
    fn id(&self) -> ContentId;

    /// One answer per prompt.
    fn generate(&self, prompts: &[&str]) -> Result<Vec<String>>;

    /// One choice per prompt, each from both orders of its two claims.
    fn choose(&self, prompts: &[ChoicePrompt<'_>]) -> Result<Vec<Choice>>;
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
/// [`Verdict::NEITHER`] only where you can tell that neither pole is present.
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
    fn showing_both_orders_cancels_a_preference_for_the_first_letter() {
        // A model that likes A by 2 nats whatever it says, and the positive claim by 0.5.
        let choice = Choice::from_log_probabilities([1.5, 0.0], [2.5, 0.0]);
        assert!((choice.log_odds - 0.5).abs() < 1e-12);
        assert!((choice.position_bias - 2.0).abs() < 1e-12);
        assert_eq!(choice.verdict(), Verdict::POSITIVE);
    }

    #[test]
    fn every_trait_is_object_safe() {
        fn _takes(_: &dyn Embedder, _: &dyn VectorIndex, _: &dyn Generator, _: &dyn BiasScorer) {}
    }
}
