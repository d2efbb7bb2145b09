//! Implements the traits for references and shared pointers, so that a component may be owned, shared or borrowed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{
    Answer, BiasScorer, ChoicePrompt, Chosen, ContentId, Embedder, Embeddings, Generator, Hit, IndexBackend,
    Keep, Likelihood, Passage, PossibleAnswer, Prompt, Result, Role, Similarity, TokenCount, VectorIndex,
    Verdict,
};

/// Implements the traits for a pointer to a component.
macro_rules! through {
    ($pointer:ty) => {
        impl<T: Embedder + ?Sized> Embedder for $pointer {
            fn id(&self) -> ContentId {
                (**self).id()
            }
            fn dim(&self) -> usize {
                (**self).dim()
            }
            fn similarity(&self) -> Similarity {
                (**self).similarity()
            }
            fn embed(&self, texts: &[&str], role: Role) -> Result<Embeddings> {
                (**self).embed(texts, role)
            }
            fn token_counts(&self, texts: &[&str], role: Role) -> Result<Option<Vec<TokenCount>>> {
                (**self).token_counts(texts, role)
            }
        }

        impl<T: VectorIndex + ?Sized> VectorIndex for $pointer {
            fn id(&self) -> ContentId {
                (**self).id()
            }
            fn len(&self) -> usize {
                (**self).len()
            }
            fn is_empty(&self) -> bool {
                (**self).is_empty()
            }
            fn dim(&self) -> usize {
                (**self).dim()
            }
            fn search(&self, questions: &Embeddings, k: usize) -> Result<Vec<Vec<Hit>>> {
                (**self).search(questions, k)
            }
        }

        impl<T: IndexBackend + ?Sized> IndexBackend for $pointer {
            fn index(&self, similarity: Similarity, documents: Embeddings) -> Result<Box<dyn VectorIndex>> {
                (**self).index(similarity, documents)
            }
        }

        impl<T: Generator + ?Sized> Generator for $pointer {
            fn id(&self) -> ContentId {
                (**self).id()
            }
            fn generate(&self, prompts: &[Prompt<'_>], keep: &Keep<'_, Answer>) -> Result<()> {
                (**self).generate(prompts, keep)
            }
            fn choose(&self, prompts: &[ChoicePrompt<'_>], keep: &Keep<'_, Chosen>) -> Result<()> {
                (**self).choose(prompts, keep)
            }
            fn likelihoods(&self, answers: &[PossibleAnswer<'_>], keep: &Keep<'_, Likelihood>) -> Result<()> {
                (**self).likelihoods(answers, keep)
            }
            fn notes(&self) -> Vec<String> {
                (**self).notes()
            }
            fn assumed(&self) -> Option<String> {
                (**self).assumed()
            }
            fn fingerprints(&self) -> BTreeMap<String, usize> {
                (**self).fingerprints()
            }
        }

        impl<T: BiasScorer + ?Sized> BiasScorer for $pointer {
            fn id(&self) -> ContentId {
                (**self).id()
            }
            fn axis(&self) -> &str {
                (**self).axis()
            }
            fn is_judge(&self) -> bool {
                (**self).is_judge()
            }
            fn score(&self, passages: &[Passage<'_>]) -> Result<Vec<Verdict>> {
                (**self).score(passages)
            }
        }
    };
}

through!(&T);
through!(Box<T>);
through!(Arc<T>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GenerateAll;
    use crate::testing::{EchoGenerator, HashEmbedder};

    #[test]
    fn a_pointer_answers_as_what_it_points_to() {
        let embedder = HashEmbedder::new(8, 1);
        let shared: Arc<dyn Embedder> = Arc::new(HashEmbedder::new(8, 1));
        assert_eq!(Embedder::id(&&embedder), Embedder::id(&shared));
        let boxed: Box<dyn Generator> = Box::new(EchoGenerator);
        assert_eq!(boxed.generate_all(["a\nb"]).unwrap(), EchoGenerator.generate_all(["a\nb"]).unwrap());
        let answer = PossibleAnswer { prompt: "a".into(), answer: "a" };
        assert_eq!(
            boxed.likelihoods_all(&[answer]).unwrap(),
            EchoGenerator.likelihoods_all(&[answer]).unwrap(),
            "not the error that it is by default"
        );
    }
}
