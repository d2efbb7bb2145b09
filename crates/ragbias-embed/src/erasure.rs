use std::sync::Arc;

use ndarray::ArrayViewMut1;
use ragbias_core::{
    ContentHasher, ContentId, Embedder, Embeddings, Error, Result, Role, Similarity, TokenCount,
};
use serde::{Deserialize, Serialize};

/// An affine change of vectors that removes a concept: x − a·bᵀ(x − μ), with bᵀa = 1.
///
/// a is the direction that is removed, b tells how much of it a vector has beyond the mean μ. `Leace` of `ragbias-stats` finds all three.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct Eraser(Parts);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    mean: Vec<f32>,
    direction: Vec<f32>,
    discriminant: Vec<f32>,
}

impl TryFrom<Parts> for Eraser {
    type Error = Error;

    fn try_from(parts: Parts) -> Result<Self> {
        Self::new(parts.mean, parts.direction, parts.discriminant)
    }
}

impl From<Eraser> for Parts {
    fn from(eraser: Eraser) -> Self {
        eraser.0
    }
}

impl Eraser {
    /// How far bᵀa may be from 1, for rounding.
    const TOLERANCE: f64 = 1e-3;

    /// The eraser of μ, a and b, each `(dim,)`.
    ///
    /// # Errors
    /// Different dimensions, a value that is not finite, or bᵀa other than 1.
    pub fn new(mean: Vec<f32>, direction: Vec<f32>, discriminant: Vec<f32>) -> Result<Self> {
        for received in [direction.len(), discriminant.len()] {
            if received != mean.len() {
                return Err(Error::Dimension { expected: mean.len(), received });
            }
        }
        for (row, values) in [&mean, &direction, &discriminant].into_iter().enumerate() {
            if let Some(&value) = values.iter().find(|value| !value.is_finite()) {
                return Err(Error::NotFinite { row, value });
            }
        }
        let scale =
            direction.iter().zip(&discriminant).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        if (scale - 1.0).abs() > Self::TOLERANCE {
            return Err(Error::Eraser { received: scale });
        }
        Ok(Self(Parts { mean, direction, discriminant }))
    }

    /// Dimension of the vectors.
    pub fn dim(&self) -> usize {
        self.0.mean.len()
    }

    /// Subtracts `strength`·a·bᵀ(x − μ) from a vector, `(dim,)`.
    fn erase(&self, mut vector: ArrayViewMut1<'_, f32>, strength: f64) {
        let Parts { mean, direction, discriminant } = &self.0;
        let beyond =
            |(&b, (&x, &mean)): (&f32, (&f32, &f32))| f64::from(b) * (f64::from(x) - f64::from(mean));
        let along: f64 = discriminant.iter().zip(vector.iter().zip(mean)).map(beyond).sum();
        for (x, &a) in vector.iter_mut().zip(direction) {
            *x = (f64::from(*x) - strength * along * f64::from(a)) as f32;
        }
    }
}

/// Whose vectors are changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sides {
    /// Those of questions; the index stays as it is.
    Questions,
    /// Those of questions and documents; documents are indexed anew.
    Both,
}

impl Sides {
    /// Their name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Questions => "questions",
            Self::Both => "both",
        }
    }
}

/// An embedder from whose vectors a concept is erased, in part or in whole: x − β·a·bᵀ(x − μ).
///
/// β = 0 changes nothing, β = 1 erases, β = 2 reflects: a vector then has as much of the concept as before, on the other side of the mean.
/// Vectors that are compared by cosine are scaled to unit length afterwards, others are left as they are.
pub struct Erased {
    base: Arc<dyn Embedder>,
    eraser: Eraser,
    strength: f64,
    sides: Sides,
}

impl Erased {
    /// Erases from the vectors of `base` with strength β, a finite number.
    ///
    /// # Errors
    /// An eraser of another dimension.
    pub fn new(base: Arc<dyn Embedder>, eraser: Eraser, strength: f64, sides: Sides) -> Result<Self> {
        if eraser.dim() != base.dim() {
            return Err(Error::Dimension { expected: base.dim(), received: eraser.dim() });
        }
        Ok(Self { base, eraser, strength, sides })
    }
}

impl Embedder for Erased {
    fn id(&self) -> ContentId {
        let Parts { mean, direction, discriminant } = &self.eraser.0;
        let values = mean.iter().chain(direction).chain(discriminant);
        let values: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
        ContentHasher::new("erased/1")
            .field(self.base.id().as_bytes())
            .field(values)
            .field(self.strength.to_le_bytes())
            .field(self.sides.name())
            .finish()
    }

    fn dim(&self) -> usize {
        self.base.dim()
    }

    fn embed(&self, texts: &[&str], role: Role) -> Result<Embeddings> {
        let base = self.base.embed(texts, role)?;
        let unchanged = role == Role::Document && self.sides == Sides::Questions;
        if unchanged || self.strength == 0.0 {
            return Ok(base);
        }
        let mut rows = base.into_inner();
        rows.rows_mut().into_iter().for_each(|row| self.eraser.erase(row, self.strength));
        let erased = Embeddings::new(rows)?;
        if self.similarity().wants_unit_vectors() { erased.normalised() } else { Ok(erased) }
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

    const TEXTS: [&str; 3] = ["which woman flew", "a man sailed", "people walked"];

    fn base() -> Arc<dyn Embedder> {
        Arc::new(HashEmbedder::new(8, 3))
    }

    fn eraser() -> Eraser {
        let direction = vec![0.5, -0.25, 0.0, 0.1, 0.0, 0.0, 0.3, 0.0];
        let discriminant: Vec<f32> = [2.0, 0.0, 1.0, 0.0, -1.0, 0.5, 0.0, 0.25].to_vec();
        Eraser::new(vec![0.1, -0.2, 0.05, 0.0, 0.3, 0.0, 0.0, 0.2], direction, discriminant).unwrap()
    }

    fn erased(strength: f64, sides: Sides) -> Erased {
        Erased::new(base(), eraser(), strength, sides).unwrap()
    }

    /// bᵀ(x − μ) of each text of the base, and the base's vectors.
    fn along(vectors: &Embeddings, row: usize) -> f64 {
        let Parts { mean, discriminant, .. } = eraser().0;
        let beyond = vectors.row(row).into_iter().zip(mean).map(|(x, mean)| x - mean);
        beyond.zip(discriminant).map(|(x, b)| f64::from(x * b)).sum()
    }

    #[test]
    fn a_strength_of_0_is_the_identity_to_the_bit() {
        for role in [Role::Question, Role::Document] {
            let vectors = erased(0.0, Sides::Both).embed(&TEXTS, role).unwrap();
            assert_eq!(vectors, base().embed(&TEXTS, role).unwrap());
        }
    }

    #[test]
    fn a_vector_is_x_minus_the_strength_times_its_concept_scaled_to_unit_length() {
        let before = base().embed(&TEXTS, Role::Document).unwrap();
        for strength in [0.5, 1.0, 2.0] {
            let after = erased(strength, Sides::Both).embed(&TEXTS, Role::Document).unwrap();
            for row in 0..TEXTS.len() {
                let along = along(&before, row);
                let expected: Vec<f64> = (before.row(row).iter().zip(&eraser().0.direction))
                    .map(|(&x, &a)| f64::from(x) - strength * along * f64::from(a))
                    .collect();
                let length = expected.iter().map(|x| x * x).sum::<f64>().sqrt();
                for (x, expected) in after.row(row).iter().zip(expected) {
                    assert!((f64::from(*x) - expected / length).abs() < 1e-6);
                }
            }
            assert!(after.is_normalised());
        }
    }

    /// The base's vectors, compared by inner product.
    struct ByProduct(HashEmbedder);

    impl Embedder for ByProduct {
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
            self.0.embed(texts, role)
        }
    }

    #[test]
    fn at_1_nothing_of_the_concept_is_left_and_at_2_it_is_reversed() {
        let base = ByProduct(HashEmbedder::new(8, 3));
        let before = base.embed(&TEXTS, Role::Document).unwrap();
        let base: Arc<dyn Embedder> = Arc::new(base);
        for (strength, factor) in [(0.5, 0.5), (1.0, 0.0), (2.0, -1.0)] {
            let erased = Erased::new(Arc::clone(&base), eraser(), strength, Sides::Both).unwrap();
            let after = erased.embed(&TEXTS, Role::Document).unwrap();
            for row in 0..TEXTS.len() {
                assert!((along(&after, row) - factor * along(&before, row)).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn documents_stay_where_they_are_if_only_questions_are_erased() {
        let questions = erased(1.0, Sides::Questions);
        let of = |embedder: &dyn Embedder, role| embedder.embed(&TEXTS, role).unwrap();
        assert_eq!(of(&questions, Role::Document), of(base().as_ref(), Role::Document));
        assert_ne!(of(&questions, Role::Question), of(base().as_ref(), Role::Question));
        let both = erased(1.0, Sides::Both);
        assert_eq!(of(&questions, Role::Question), of(&both, Role::Question));
        assert_ne!(questions.id(), both.id());
        assert_ne!(both.id(), erased(0.5, Sides::Both).id());
    }

    #[test]
    fn an_eraser_is_read_as_it_was_and_refused_if_it_erases_something_else() {
        let text = serde_json::to_string(&eraser()).unwrap();
        assert_eq!(serde_json::from_str::<Eraser>(&text).unwrap(), eraser());
        let changed = text.replacen("2.0", "3.0", 1);
        let error = serde_json::from_str::<Eraser>(&changed).unwrap_err().to_string();
        assert!(error.contains("the direction and the discriminant of an eraser multiply to 1.5"), "{error}");
        let short = Eraser::new(vec![0.0; 2], vec![1.0; 2], vec![1.0]).unwrap_err().to_string();
        assert!(short.contains('2') && short.contains('1'), "{short}");
        assert!(Erased::new(Arc::new(HashEmbedder::new(9, 3)), eraser(), 1.0, Sides::Both).is_err());
    }
}
