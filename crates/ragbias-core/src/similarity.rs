use serde::{Deserialize, Serialize};

/// The similarity measure of an embedder's vectors; larger values mean more similar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Similarity {
    /// The cosine of the angle, in [−1, 1]; vectors have unit length.
    #[default]
    Cosine,
    /// The inner product, which depends on the vectors' lengths.
    Dot,
    /// The negative Euclidean distance, at most 0.
    Euclidean,
}

impl Similarity {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cosine, Self::Dot, Self::Euclidean];

    /// Its name in files, as in sentence-transformers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Dot => "dot",
            Self::Euclidean => "euclidean",
        }
    }

    /// Whether vectors must have unit length.
    pub fn wants_unit_vectors(self) -> bool {
        self == Self::Cosine
    }
}

impl std::fmt::Display for Similarity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
