use std::path::Path;

use hnsw_rs::hnsw::Hnsw;
use ragbias_core::limits::{CONSTRUCTION_WIDTH, NEIGHBOURS, SEARCH_WIDTH};
use ragbias_core::{ContentHasher, ContentId, Embeddings, Hit, Similarity, VectorIndex};
use ragbias_files::{Staging, folder_of, write_file};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::codes::Codes;
use crate::exact::check_questions;
use crate::graph::{Graph, Scratch};
use crate::vectors::Vectors;
use crate::{Error, Result};

/// Settings of the graph.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `neighbours` | 24 | links of a vector on every layer (M); more is better and slower | 2 to 255 |
/// | `construction_width` | 128 | candidates considered when a vector is inserted | `neighbours` to 65,536 |
/// | `search_width` | 128 | candidates considered in a search; raised to k if that is larger | 1 to 65,536 |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HnswConfig {
    /// Links of a vector on every layer.
    pub neighbours: usize,
    /// Candidates considered when a vector is inserted.
    pub construction_width: usize,
    /// Candidates considered in a search.
    pub search_width: usize,
}

ragbias_core::setters!(HnswConfig { neighbours: usize, construction_width: usize, search_width: usize });

impl Default for HnswConfig {
    fn default() -> Self {
        Self { neighbours: 24, construction_width: 128, search_width: 128 }
    }
}

impl HnswConfig {
    fn check(&self) -> Result<()> {
        NEIGHBOURS.check("neighbours", self.neighbours)?;
        CONSTRUCTION_WIDTH.check("construction_width", self.construction_width)?;
        if self.construction_width < self.neighbours {
            let (setting, expected) = ("construction_width", "at least `neighbours`");
            return Err(Error::Setting { setting, expected, received: self.construction_width.to_string() });
        }
        Ok(SEARCH_WIDTH.check("search_width", self.search_width)?)
    }
}

/// A hierarchical navigable small world graph (Malkov & Yashunin, 2018, <https://arxiv.org/abs/1603.09320>), built by the
/// crate `hnsw_rs` and searched here.
///
/// Vectors are inserted sequentially and layers drawn from a fixed seed, so that the same vectors give the same
/// graph, and a search the same hits, on every machine.
pub struct HnswIndex {
    graph: Graph,
    vectors: Vectors,
    codes: Codes,
    config: HnswConfig,
    id: ContentId,
}

/// How many additional hits are compared by their vectors, as codes may have changed their order.
const SPARE: usize = 22;

const LAYERS: usize = 16;
const GRAPH: &str = "graph.bin";
const VECTORS: &str = "vectors.vec";
const META: &str = "index.json";
const VERSION: u32 = 3;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    version: u32,
    config: HnswConfig,
    /// blake3 of the settings and the file of the graph.
    checksum: ContentId,
}

fn checksum(config: &HnswConfig, graph: &[u8]) -> ContentId {
    let HnswConfig { neighbours, construction_width, search_width } = *config;
    let settings =
        [neighbours, construction_width, search_width].map(|setting| (setting as u64).to_le_bytes());
    ContentHasher::new("hnsw/3").field(settings.as_flattened()).field(graph).finish()
}

impl HnswIndex {
    /// Builds the graph of these vectors, which have unit length, by cosine.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotNormalised`] or [`Error::Setting`].
    pub fn build(documents: Embeddings, config: HnswConfig) -> Result<Self> {
        Self::build_by(Similarity::Cosine, documents, config)
    }

    /// Builds the graph of these vectors; if they are compared by cosine, they must have unit length.
    ///
    /// # Errors
    /// Those of [`HnswIndex::build`].
    pub fn build_by(similarity: Similarity, documents: Embeddings, config: HnswConfig) -> Result<Self> {
        config.check()?;
        Ok(Self::built(Vectors::new(documents, similarity)?, config))
    }

    /// The index in a folder if it has these vectors and settings; otherwise one that is built and saved there.
    ///
    /// # Errors
    /// Those of [`HnswIndex::build`], [`HnswIndex::load`] and [`HnswIndex::save`].
    pub fn open_or_build(
        folder: &Path,
        similarity: Similarity,
        documents: Embeddings,
        config: HnswConfig,
    ) -> Result<Self> {
        config.check()?;
        let vectors = Vectors::new(documents, similarity)?;
        if folder.is_dir() {
            let saved = Self::load(folder)?;
            if saved.id == Self::identity(&vectors, config) {
                return Ok(saved);
            }
        }
        let index = Self::built(vectors, config);
        index.save(folder)?;
        Ok(index)
    }

    fn built(vectors: Vectors, config: HnswConfig) -> Self {
        let (n, dim) = vectors.view().dim();
        let codes = Codes::new(vectors.values(), dim, vectors.similarity());
        let graph = Hnsw::new(config.neighbours, n, LAYERS, config.construction_width, codes.distance());
        for row in 0..n {
            graph.insert_slice((codes.row(row as u32), row));
        }
        Self::of(Graph::flatten(&graph), vectors, codes, config)
    }

    fn identity(vectors: &Vectors, config: HnswConfig) -> ContentId {
        vectors.identify("hnsw-index/2").field(format!("{config:?}")).finish()
    }

    fn of(graph: Graph, vectors: Vectors, codes: Codes, config: HnswConfig) -> Self {
        let id = Self::identity(&vectors, config);
        Self { graph, vectors, codes, config, id }
    }

    /// The same graph, searched with another `search_width`.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is 0 or above 65,536.
    pub fn with_search_width(self, search_width: usize) -> Result<Self> {
        let config = HnswConfig { search_width, ..self.config };
        config.check()?;
        Ok(Self::of(self.graph, self.vectors, self.codes, config))
    }

    /// Writes the index into a folder, atomically; an existing index is replaced.
    ///
    /// # Errors
    /// Failures of the file system.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let staging = Staging::within(folder_of(folder))?;
        let mut graph = Vec::new();
        self.graph.write(&mut graph)?;
        write_file(&staging.path().join(GRAPH), &graph)?;
        self.vectors.save(&staging.path().join(VECTORS))?;
        let meta = Meta { version: VERSION, config: self.config, checksum: checksum(&self.config, &graph) };
        let json = serde_json::to_string_pretty(&meta).map_err(std::io::Error::from)?;
        write_file(&staging.path().join(META), json)?;
        Ok(staging.replace(folder)?)
    }

    /// Loads a saved index; its vectors are mapped into memory.
    ///
    /// # Errors
    /// [`Error::Damaged`] if a file is truncated, its checksum is wrong, or it is of another version.
    pub fn load(folder: &Path) -> Result<Self> {
        let damaged = |file: &str, reason: String| Error::Damaged { path: folder.join(file), reason };
        let text = fs_err::read_to_string(folder.join(META))?;
        let version: Version =
            serde_json::from_str(&text).map_err(|error| damaged(META, error.to_string()))?;
        if version.version != VERSION {
            return Err(damaged(META, format!("version {}, expected {VERSION}", version.version)));
        }
        let meta: Meta = serde_json::from_str(&text).map_err(|error| damaged(META, error.to_string()))?;
        let graph = fs_err::read(folder.join(GRAPH))?;
        if checksum(&meta.config, &graph) != meta.checksum {
            return Err(damaged(GRAPH, format!("its checksum is wrong, or {META} is damaged")));
        }
        let vectors = Vectors::load(&folder.join(VECTORS))?;
        let graph = Graph::read(&graph, vectors.view().nrows()).map_err(|reason| damaged(GRAPH, reason))?;
        let codes = Codes::new(vectors.values(), vectors.view().ncols(), vectors.similarity());
        Ok(Self::of(graph, vectors, codes, meta.config))
    }
}

/// The fields common to all versions of the file.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl VectorIndex for HnswIndex {
    fn id(&self) -> ContentId {
        self.id
    }

    fn len(&self) -> usize {
        self.vectors.view().nrows()
    }

    fn dim(&self) -> usize {
        self.vectors.view().ncols()
    }

    fn search(&self, questions: &Embeddings, k: usize) -> ragbias_core::Result<Vec<Vec<Hit>>> {
        let k = check_questions(questions, &self.vectors, k)?;
        if k == 0 {
            return Ok(vec![Vec::new(); questions.len()]);
        }
        let width = self.config.search_width.max(k);
        let search = |scratch: &mut Scratch, question: &[f32]| {
            let near = self.graph.search(&self.codes, question, width, scratch);
            self.vectors.best(question, near.take(k + SPARE), k)
        };
        Ok(questions.as_slice().par_chunks_exact(self.dim()).map_init(Scratch::default, search).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ndarray::Array2;

    use super::*;
    use crate::ExactIndex;

    /// Clustered vectors, like those of texts.
    fn clustered(n: usize, seed: u64) -> Embeddings {
        let mut state = seed | 1;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        };
        let centres = Array2::from_shape_fn((20, 48), |_| next());
        let rows = Array2::from_shape_fn((n, 48), |(row, column)| centres[[row % 20, column]] + 0.8 * next());
        Embeddings::new(rows).unwrap().normalised().unwrap()
    }

    fn recall(exact: &[Vec<Hit>], found: &[Vec<Hit>]) -> f64 {
        let (mut right, mut all) = (0, 0);
        for (exact, found) in exact.iter().zip(found) {
            let found: HashSet<_> = found.iter().map(|hit| hit.document).collect();
            right += exact.iter().filter(|hit| found.contains(&hit.document)).count();
            all += exact.len();
        }
        f64::from(u32::try_from(right).unwrap()) / f64::from(u32::try_from(all).unwrap())
    }

    #[test]
    fn the_graph_finds_what_the_exact_index_finds() {
        let (documents, questions) = (clustered(3000, 7), clustered(200, 7));
        let exact = ExactIndex::new(documents.clone()).unwrap().search(&questions, 10).unwrap();
        let found =
            HnswIndex::build(documents, HnswConfig::default()).unwrap().search(&questions, 10).unwrap();
        let recall = recall(&exact, &found);
        assert!(recall >= 0.99, "recall@10 {recall}");
    }

    #[test]
    fn the_graph_finds_the_nearest_by_product_and_by_distance() {
        let lengthened = |n, seed| {
            let mut rows = clustered(n, seed).into_inner();
            for (row, mut vector) in rows.rows_mut().into_iter().enumerate() {
                vector.mapv_inplace(|x| (x + 0.1) * (5 + row * 7 % 9) as f32);
            }
            Embeddings::new(rows).unwrap()
        };
        let (documents, questions) = (lengthened(3000, 7), lengthened(200, 7));
        for similarity in [Similarity::Dot, Similarity::Euclidean] {
            let exact =
                ExactIndex::by(similarity, documents.clone()).unwrap().search(&questions, 10).unwrap();
            let graph = HnswIndex::build_by(similarity, documents.clone(), HnswConfig::default()).unwrap();
            let recall = recall(&exact, &graph.search(&questions, 10).unwrap());
            assert!(recall >= 0.98, "{similarity}: recall@10 {recall}");
            let folder = tempfile::tempdir().unwrap();
            graph.save(&folder.path().join("index")).unwrap();
            let loaded = HnswIndex::load(&folder.path().join("index")).unwrap();
            assert_eq!(loaded.id(), graph.id());
            assert_eq!(loaded.search(&questions, 5).unwrap(), graph.search(&questions, 5).unwrap());
        }
    }

    #[test]
    fn building_twice_gives_the_same_hits() {
        let build = || HnswIndex::build(clustered(800, 3), HnswConfig::default()).unwrap();
        let questions = clustered(50, 9);
        assert_eq!(build().search(&questions, 10).unwrap(), build().search(&questions, 10).unwrap());
    }

    #[test]
    fn a_saved_graph_finds_the_same_and_a_damaged_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let (index, questions) =
            (HnswIndex::build(clustered(500, 3), HnswConfig::default()).unwrap(), clustered(20, 4));
        index.save(&path).unwrap();
        let loaded = HnswIndex::load(&path).unwrap();
        assert_eq!(loaded.id(), index.id());
        assert_eq!(loaded.search(&questions, 5).unwrap(), index.search(&questions, 5).unwrap());
        index.save(&path).unwrap();
        let beside: Vec<_> =
            fs_err::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(beside, std::slice::from_ref(&path), "the index that was replaced is gone");
        let file = path.join("graph.bin");
        let mut bytes = fs_err::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs_err::write(&file, bytes).unwrap();
        assert!(HnswIndex::load(&path).err().unwrap().to_string().contains("checksum is wrong"));
    }

    #[test]
    fn a_byte_of_a_saved_graph_that_is_changed_changes_no_hit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let config = HnswConfig { search_width: 2, ..HnswConfig::default() };
        let (index, questions) = (HnswIndex::build(clustered(300, 3), config).unwrap(), clustered(20, 4));
        index.save(&path).unwrap();
        let expected = index.search(&questions, 5).unwrap();
        let mut refused = 0;
        for name in [META, GRAPH, VECTORS] {
            let whole = fs_err::read(path.join(name)).unwrap();
            for at in (0..whole.len()).step_by(1 + whole.len() / 200) {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << (at % 8);
                fs_err::write(path.join(name), bytes).unwrap();
                match HnswIndex::load(&path) {
                    Ok(loaded) => assert_eq!(loaded.search(&questions, 5).unwrap(), expected, "{name}: {at}"),
                    Err(_) => refused += 1,
                }
            }
            fs_err::write(path.join(name), whole).unwrap();
        }
        assert!(refused > 400, "{refused}");
    }

    #[test]
    fn k_larger_than_the_corpus_gives_all_of_it() {
        let index = HnswIndex::build(clustered(5, 3), HnswConfig::default()).unwrap();
        assert_eq!(index.search(&clustered(1, 4), 50).unwrap()[0].len(), 5);
    }

    #[test]
    fn settings_outside_their_range_are_refused() {
        let config = HnswConfig { neighbours: 1, ..HnswConfig::default() };
        let error = HnswIndex::build(clustered(5, 3), config).err().unwrap().to_string();
        assert_eq!(error, "neighbours is 1, expected 2 to 255");
        for (construction_width, search_width) in [(23, 128), (1 << 20, 128), (128, 0), (128, usize::MAX)] {
            let config = HnswConfig { construction_width, search_width, ..HnswConfig::default() };
            let error = HnswIndex::build(clustered(5, 3), config).err().unwrap().to_string();
            assert!(error.contains("width is "), "{error}");
        }
    }
}
