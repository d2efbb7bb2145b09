use ragbias_core::{ContentId, Embedder, Similarity};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Most dimensions that pgvector stores.
const DIMENSIONS: usize = 16_000;
/// Most partitions of a table.
const PARTITIONS: usize = 1_000;
/// Bytes of a vector up to which it is kept in its row, where comparing everything is faster.
const IN_ROW: usize = 4_096;
/// The number in a table's comment; another means another layout.
const FORMAT: u32 = 1;

/// How documents are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Search {
    /// Every vector is compared.
    #[default]
    Exact,
    /// Approximately, with pgvector's HNSW index.
    Hnsw,
}

impl Search {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Hnsw => "hnsw",
        }
    }
}

/// How a vector is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VectorType {
    /// In f32: 4 bytes per dimension.
    #[default]
    Vector,
    /// In f16: 2 bytes per dimension, with 11 bits of precision; questions are rounded alike.
    HalfVec,
}

impl VectorType {
    /// The name of pgvector's type.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vector => "vector",
            Self::HalfVec => "halfvec",
        }
    }

    /// Most dimensions of an HNSW index.
    pub(crate) fn most_indexed(self) -> usize {
        match self {
            Self::Vector => 2_000,
            Self::HalfVec => 4_000,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Vector => 4,
            Self::HalfVec => 2,
        }
    }
}

/// What a new table is to be.
///
/// | setting | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `vector_type` | none: f32, or that of a table that exists | how vectors are stored | |
/// | `partitions` | 0: not partitioned | tables over which rows are spread by the hash of their id | 0 to 1000 |
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TableConfig {
    /// The embedder's name, for people.
    pub embedder: String,
    /// The embedder's [`id`](Embedder::id).
    pub id: ContentId,
    /// How its vectors are compared.
    pub similarity: Similarity,
    /// Their dimensions, 1 to 16000.
    pub dim: usize,
    /// How they are stored.
    pub vector_type: Option<VectorType>,
    /// Tables over which rows are spread.
    pub partitions: usize,
}

ragbias_core::setters!(TableConfig { vector_type: Option<VectorType>, partitions: usize });

impl TableConfig {
    /// A table for the vectors of an embedder, which was loaded under a name.
    pub fn of(name: impl Into<String>, embedder: &dyn Embedder) -> Self {
        Self {
            embedder: name.into(),
            id: embedder.id(),
            similarity: embedder.similarity(),
            dim: embedder.dim(),
            vector_type: None,
            partitions: 0,
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let within = [
            ("vectors' number of dimensions", self.dim, 1, DIMENSIONS),
            ("partitions", self.partitions, 0, PARTITIONS),
        ];
        for (what, value, least, most) in within {
            if !(least..=most).contains(&value) {
                return Err(Error::Setting {
                    what,
                    expected: format!("{least} to {most}"),
                    received: value.to_string(),
                });
            }
        }
        Ok(())
    }

    /// What the comment of a new table says.
    pub(crate) fn description(&self) -> Description {
        Description {
            ragbias: FORMAT,
            embedder: self.embedder.clone(),
            id: self.id,
            similarity: self.similarity,
            dim: self.dim,
            vector_type: self.vector_type.unwrap_or_default(),
        }
    }
}

/// What a table's comment says about its rows, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    /// The number of this layout.
    ragbias: u32,
    pub(crate) embedder: String,
    pub(crate) id: ContentId,
    pub(crate) similarity: Similarity,
    pub(crate) dim: usize,
    #[serde(rename = "type")]
    pub(crate) vector_type: VectorType,
}

impl Description {
    /// The description in a comment, if it is one of this layout.
    pub(crate) fn read(comment: &str) -> Option<Self> {
        serde_json::from_str(comment).ok().filter(|read: &Self| read.ragbias == FORMAT)
    }

    pub(crate) fn written(&self) -> String {
        serde_json::to_string(self).expect("a description has plain fields; this is a bug")
    }

    /// The type of the column.
    pub(crate) fn column_type(&self) -> String {
        format!("{}({})", self.vector_type.name(), self.dim)
    }

    /// Whether a vector is short enough to be kept in its row.
    pub(crate) fn is_kept_in_row(&self) -> bool {
        self.dim * self.vector_type.bytes() <= IN_ROW
    }

    /// pgvector's operator for the distance: the negative inner product, which for unit vectors is the negative cosine, or the
    /// Euclidean distance. The score is the negative distance.
    pub(crate) fn operator(&self) -> &'static str {
        match self.similarity {
            Similarity::Cosine | Similarity::Dot => "<#>",
            Similarity::Euclidean => "<->",
        }
    }

    /// The operator class of an index for this operator.
    pub(crate) fn operator_class(&self) -> String {
        let distance = match self.similarity {
            Similarity::Cosine | Similarity::Dot => "ip",
            Similarity::Euclidean => "l2",
        };
        format!("{}_{distance}_ops", self.vector_type.name())
    }

    /// What differs from a wanted table, if anything: what it is, expected, received.
    pub(crate) fn difference(&self, wanted: &TableConfig) -> Option<(&'static str, String, String)> {
        let named = |name: &str, id: ContentId| format!("`{name}` ({})", id.short());
        let numbered = |dim: usize| format!("{dim} dimensions");
        if self.id != wanted.id {
            let expected = named(&wanted.embedder, wanted.id);
            return Some(("the embedder of its vectors", expected, named(&self.embedder, self.id)));
        }
        if self.dim != wanted.dim {
            return Some(("the length of its vectors", numbered(wanted.dim), numbered(self.dim)));
        }
        if self.similarity != wanted.similarity {
            let name = |similarity: Similarity| similarity.name().to_owned();
            return Some(("its similarity", name(wanted.similarity), name(self.similarity)));
        }
        let stored = wanted.vector_type.filter(|wanted| *wanted != self.vector_type)?;
        Some(("the type of its vectors", stored.name().into(), self.vector_type.name().into()))
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::testing::HashEmbedder;

    use super::*;

    #[test]
    fn a_description_is_that_of_its_comment_and_of_this_layout() {
        let description = TableConfig::of("o'hash", &HashEmbedder::new(8, 1)).description();
        let comment = description.written();
        assert_eq!(Description::read(&comment), Some(description));
        for other in [
            "",
            "a comment",
            &comment.replace("\"ragbias\":1", "\"ragbias\":2"),
            &comment.replace("dim", "size"),
        ] {
            assert_eq!(Description::read(other), None, "{other}");
        }
    }

    #[test]
    fn what_differs_is_said_by_name() {
        let config = TableConfig::of("one", &HashEmbedder::new(8, 1));
        let description = config.description();
        assert_eq!(description.difference(&config), None);
        let (what, expected, received) =
            description.difference(&TableConfig::of("two", &HashEmbedder::new(8, 2))).unwrap();
        assert!(what.contains("embedder") && expected.contains("`two`") && received.contains("`one`"));
        let half = config.vector_type(Some(VectorType::HalfVec));
        let (_, expected, received) = description.difference(&half).unwrap();
        assert_eq!((expected.as_str(), received.as_str()), ("halfvec", "vector"));
    }
}
