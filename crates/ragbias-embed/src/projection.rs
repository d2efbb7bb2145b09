use std::sync::Arc;

use ndarray::{Array1, Array2};
use ragbias_core::{
    ContentHasher, ContentId, Embedder, Embeddings, Error, Result, Role, Similarity, TokenCount,
};

/// An embedder whose question vectors are moved along the direction of a word: `q⊥ + α·q∥`, scaled to the length of q.
///
/// q∥ is the component of the question's vector along the word's vector, q⊥ the rest. α = 1 changes nothing, α = 0 removes
/// the direction, α < 0 reverses it. Document vectors are unchanged, so the index need not be rebuilt. Source: Kim,
/// Springer, Raghunathan, Sap, *Mitigating Bias in RAG: Controlling the Embedder*, Findings of ACL 2025.
pub struct Projected {
    base: Arc<dyn Embedder>,
    /// Unit vector, `(dim,)`.
    direction: Array1<f32>,
    alpha: f32,
}

impl Projected {
    /// Moves the questions of `base` along the direction of `word` by α, a finite number.
    ///
    /// # Errors
    /// The word cannot be embedded.
    pub fn onto_word(base: Arc<dyn Embedder>, word: &str, alpha: f32) -> Result<Self> {
        let direction = base.embed(&[word], Role::Document)?;
        let direction = if direction.is_normalised() { direction } else { direction.normalised()? };
        Ok(Self { base, direction: direction.row(0).to_owned(), alpha })
    }

    /// Moves the questions of `base` along a direction of its space, of any non-zero length, by α.
    ///
    /// # Errors
    /// A direction of another dimension, or of length 0.
    pub fn onto_direction(base: Arc<dyn Embedder>, direction: &[f32], alpha: f32) -> Result<Self> {
        let rows = Array2::from_shape_vec((1, direction.len()), direction.to_vec())
            .expect("one row of as many values; this is a bug");
        if direction.len() != base.dim() {
            return Err(Error::Dimension { expected: base.dim(), received: direction.len() });
        }
        let direction = Embeddings::new(rows)?.normalised()?.row(0).to_owned();
        Ok(Self { base, direction, alpha })
    }
}

impl Embedder for Projected {
    fn id(&self) -> ContentId {
        let direction: Vec<u8> = self.direction.iter().flat_map(|value| value.to_le_bytes()).collect();
        ContentHasher::new("projected/1")
            .field(self.base.id().as_bytes())
            .field(direction)
            .field(self.alpha.to_le_bytes())
            .finish()
    }

    fn dim(&self) -> usize {
        self.base.dim()
    }

    fn embed(&self, texts: &[&str], role: Role) -> Result<Embeddings> {
        let base = self.base.embed(texts, role)?;
        if role == Role::Document {
            return Ok(base);
        }
        let mut rows = base.into_inner();
        let lengths: Vec<f32> =
            rows.rows().into_iter().map(|question| question.dot(&question).sqrt()).collect();
        for mut question in rows.rows_mut() {
            let along = question.dot(&self.direction);
            question.scaled_add((self.alpha - 1.0) * along, &self.direction);
        }
        let moved = Embeddings::new(rows)?.normalised()?;
        if self.similarity().wants_unit_vectors() {
            return Ok(moved);
        }
        let mut rows = moved.into_inner();
        for (mut question, length) in rows.rows_mut().into_iter().zip(lengths) {
            question *= length;
        }
        Embeddings::new(rows)
    }

    fn similarity(&self) -> Similarity {
        self.base.similarity()
    }

    fn token_counts(&self, texts: &[&str], role: Role) -> Result<Option<Vec<TokenCount>>> {
        self.base.token_counts(texts, role)
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::testing::HashEmbedder;

    use super::*;

    fn along(alpha: f32) -> (f32, Embeddings) {
        let base: Arc<dyn Embedder> = Arc::new(HashEmbedder::new(64, 3));
        let word = base.embed(&["woman"], Role::Document).unwrap();
        let projected = Projected::onto_word(base, "woman", alpha).unwrap();
        let vectors = projected.embed(&["which woman flew"], Role::Question).unwrap();
        (vectors.row(0).dot(&word.row(0)), vectors)
    }

    #[test]
    fn alpha_moves_a_question_along_the_word_and_keeps_it_a_unit_vector() {
        let base = HashEmbedder::new(64, 3).embed(&["which woman flew"], Role::Question).unwrap();
        let (same, vectors) = along(1.0);
        assert!((vectors.row(0).to_owned() - base.row(0)).iter().all(|d| d.abs() < 1e-6));
        let (removed, vectors) = along(0.0);
        assert!(removed.abs() < 1e-6 && same > 0.1);
        assert!(vectors.is_normalised());
        assert!(along(-1.0).0 < -0.1 && along(3.0).0 > same);
    }

    /// Vectors of length three, compared by inner product.
    struct Long(HashEmbedder);

    impl Embedder for Long {
        fn id(&self) -> ContentId {
            self.0.id()
        }
        fn dim(&self) -> usize {
            self.0.dim()
        }
        fn similarity(&self) -> Similarity {
            Similarity::Dot
        }
        fn embed(&self, texts: &[&str], role: Role) -> Result<Embeddings> {
            Embeddings::new(self.0.embed(texts, role)?.into_inner() * 3.0)
        }
    }

    #[test]
    fn a_question_that_is_no_unit_vector_keeps_its_length_and_moves_as_one_that_is() {
        let long: Arc<dyn Embedder> = Arc::new(Long(HashEmbedder::new(64, 3)));
        let projected = Projected::onto_word(long, "woman", -1.0).unwrap();
        assert_eq!(projected.similarity(), Similarity::Dot);
        let moved = projected.embed(&["which woman flew"], Role::Question).unwrap();
        let (_, unit) = along(-1.0);
        assert!((moved.row(0).to_owned() / 3.0 - unit.row(0)).iter().all(|d| d.abs() < 1e-6));
    }

    #[test]
    fn documents_stay_where_they_are() {
        let base: Arc<dyn Embedder> = Arc::new(HashEmbedder::new(64, 3));
        let projected = Projected::onto_word(base.clone(), "woman", -5.0).unwrap();
        let (a, b) = (base.embed(&["a text"], Role::Document), projected.embed(&["a text"], Role::Document));
        assert_eq!(a.unwrap(), b.unwrap());
    }
}
