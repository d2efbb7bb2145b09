use serde::{Deserialize, Serialize};

/// How two vectors of an embedder are compared; the larger, the nearer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Similarity {
    /// The cosine of their angle, in [−1, 1]; vectors have unit length.
    #[default]
    Cosine,
    /// Their inner product; a vector's length counts.
    Dot,
    /// Their Euclidean distance with a minus sign, at most 0.
    Euclidean,
}

impl Similarity {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cosine, Self::Dot, Self::Euclidean];

    /// Its name in files: that of sentence-transformers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::Dot => "dot",
            Self::Euclidean => "euclidean",
        }
    }

    /// Whether vectors have to have unit length.
    pub fn wants_unit_vectors(self) -> bool {
        self == Self::Cosine
    }
}

impl std::fmt::Display for Similarity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
