use std::collections::{HashMap, HashSet};

use ndarray::Array2;
use ragbias_core::{ContentId, Embedder, Embeddings, Error, Result, Role, Similarity, TokenCount};

use crate::store::{Kind, Store};

/// An embedder that computes the vector of each text once.
pub struct StoredEmbedder<E> {
    embedder: E,
    store: Store,
}

impl<E: Embedder> StoredEmbedder<E> {
    /// `embedder`, memoised in `store`.
    pub fn new(embedder: E, store: &Store) -> Self {
        Self { embedder, store: store.clone() }
    }
}

impl<E: Embedder> Embedder for StoredEmbedder<E> {
    fn id(&self) -> ContentId {
        self.embedder.id()
    }

    fn dim(&self) -> usize {
        self.embedder.dim()
    }

    fn similarity(&self) -> Similarity {
        self.embedder.similarity()
    }

    fn token_counts(&self, texts: &[&str], role: Role) -> Result<Option<Vec<TokenCount>>> {
        self.embedder.token_counts(texts, role)
    }

    fn embed(&self, texts: &[&str], role: Role) -> Result<Embeddings> {
        let (id, dim) = (self.id(), self.dim());
        let mut known: HashMap<&str, Vec<f32>> = HashMap::new();
        let (mut missing, mut asked) = (Vec::new(), HashSet::new());
        for &text in texts.iter().filter(|text| asked.insert(**text)) {
            match self.store.vector(id, role, text, dim).map_err(Error::component)? {
                Some(vector) => {
                    known.insert(text, vector);
                }
                None => missing.push(text),
            }
        }
        if !missing.is_empty() {
            let fresh = self.embedder.embed(&missing, role)?;
            let rows = missing.iter().enumerate().map(|(row, text)| (*text, fresh.row(row).to_vec()));
            self.store.put_vectors(id, role, rows.clone()).map_err(Error::component)?;
            known.extend(rows);
        }
        self.store.tally(Kind::Vectors, texts.len() - missing.len(), missing.len());
        let values: Vec<f32> = texts.iter().flat_map(|text| known[text].iter().copied()).collect();
        let rows = Array2::from_shape_vec((texts.len(), dim), values)
            .expect("one vector of dim values per text; this is a bug");
        Embeddings::new(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use ragbias_core::testing::HashEmbedder;

    use super::*;
    use crate::memo::testing::{Counting, store};

    impl Embedder for Counting<HashEmbedder> {
        fn id(&self) -> ContentId {
            self.0.id()
        }
        fn dim(&self) -> usize {
            self.0.dim()
        }
        fn embed(&self, texts: &[&str], role: Role) -> Result<Embeddings> {
            self.1.fetch_add(texts.len(), Ordering::Relaxed);
            self.0.embed(texts, role)
        }
    }

    #[test]
    fn a_text_is_embedded_once_and_its_vector_comes_back_to_the_bit() {
        let (_folder, store) = store();
        let counting = Counting::new(HashEmbedder::new(32, 1));
        let stored = StoredEmbedder::new(&counting, &store);
        let first = stored.embed(&["a b", "c", "a b"], Role::Document).unwrap();
        assert_eq!(counting.1.load(Ordering::Relaxed), 2, "a text that occurs twice is embedded once");
        assert_eq!(first, counting.0.embed(&["a b", "c", "a b"], Role::Document).unwrap());
        assert_eq!(stored.embed(&["c", "a b"], Role::Document).unwrap().row(1), first.row(0));
        assert_eq!(counting.1.load(Ordering::Relaxed), 2);
        stored.embed(&["c"], Role::Question).unwrap();
        assert_eq!(counting.1.load(Ordering::Relaxed), 3, "a question is another text than a document");
    }
}
