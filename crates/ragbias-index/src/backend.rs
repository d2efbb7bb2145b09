use std::path::PathBuf;

use ragbias_core::{Embeddings, IndexBackend, Similarity, VectorIndex};

use crate::{ExactIndex, HnswConfig, HnswIndex};

/// An [`ExactIndex`] in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exact;

impl IndexBackend for Exact {
    fn index(
        &self,
        similarity: Similarity,
        documents: Embeddings,
    ) -> ragbias_core::Result<Box<dyn VectorIndex>> {
        Ok(Box::new(ExactIndex::by(similarity, documents)?))
    }
}

/// An [`HnswIndex`] in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Hnsw(pub HnswConfig);

impl IndexBackend for Hnsw {
    fn index(
        &self,
        similarity: Similarity,
        documents: Embeddings,
    ) -> ragbias_core::Result<Box<dyn VectorIndex>> {
        Ok(Box::new(HnswIndex::build_by(similarity, documents, self.0)?))
    }
}

/// An [`HnswIndex`] in a folder, built there the first time, and rebuilt if it has other vectors or settings.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedHnsw {
    /// Its folder.
    pub folder: PathBuf,
    /// Its settings.
    pub config: HnswConfig,
}

impl IndexBackend for SavedHnsw {
    fn index(
        &self,
        similarity: Similarity,
        documents: Embeddings,
    ) -> ragbias_core::Result<Box<dyn VectorIndex>> {
        Ok(Box::new(HnswIndex::open_or_build(&self.folder, similarity, documents, self.config)?))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    fn vectors(seed: u32) -> Embeddings {
        let value = |(row, column): (usize, usize)| {
            ((row as u32 * 31 + column as u32 * 17 + seed) % 97) as f32 - 48.0
        };
        Embeddings::new(Array2::from_shape_fn((40, 8), value)).unwrap().normalised().unwrap()
    }

    #[test]
    fn a_saved_index_is_opened_where_it_is_of_these_vectors_and_built_anew_where_not() {
        let folder = tempfile::tempdir().unwrap();
        let backend = SavedHnsw { folder: folder.path().join("index"), config: HnswConfig::default() };
        let file = backend.folder.join("index.json");
        let index = |seed| backend.index(Similarity::Cosine, vectors(seed)).unwrap();
        let first = index(1).id();
        let written = fs_err::metadata(&file).unwrap().modified().unwrap();
        assert_eq!(index(1).id(), first);
        assert_eq!(fs_err::metadata(&file).unwrap().modified().unwrap(), written, "it was opened");
        let other = index(2);
        assert_ne!(other.id(), first);
        assert_eq!(other.id(), HnswIndex::load(&backend.folder).unwrap().id(), "it was replaced");
        let exact = Exact.index(Similarity::Cosine, vectors(2)).unwrap();
        let hits = |index: &dyn VectorIndex| index.search(&vectors(2), 3).unwrap();
        assert_eq!(hits(other.as_ref()), hits(exact.as_ref()));
    }
}
