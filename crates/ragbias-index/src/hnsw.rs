use std::path::Path;

use hnsw_rs::anndists::dist::Distance;
use hnsw_rs::api::AnnT;
use hnsw_rs::hnsw::Hnsw;
use hnsw_rs::hnswio::{HnswIo, ReloadOptions};
use ragbias_core::{ContentHasher, ContentId, DocId, Embeddings, Hit, VectorIndex};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::exact::check_questions;
use crate::vectors::Vectors;
use crate::{Error, Result, top};

/// Settings of the graph.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `neighbours` | 16 | links of a vector on every layer (M); more is better and slower | 2 to 255 |
/// | `construction_width` | 200 | candidates looked at when a vector is inserted | ≥ `neighbours` |
/// | `search_width` | 128 | candidates looked at in a search; raised to k where that is more | ≥ 1 |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HnswConfig {
    /// Links of a vector on every layer.
    pub neighbours: usize,
    /// Candidates looked at when a vector is inserted.
    pub construction_width: usize,
    /// Candidates looked at in a search.
    pub search_width: usize,
}

impl Default for HnswConfig {
    fn default() -> Self {
        Self { neighbours: 16, construction_width: 200, search_width: 128 }
    }
}

impl HnswConfig {
    fn check(&self) -> Result<()> {
        let wrong = |setting, expected, received| Err(Error::Setting { setting, expected, received });
        if !(2..=255).contains(&self.neighbours) {
            return wrong("neighbours", "2 to 255", self.neighbours);
        }
        if self.construction_width < self.neighbours {
            return wrong("construction_width", "at least `neighbours`", self.construction_width);
        }
        if self.search_width == 0 {
            return wrong("search_width", "at least 1", 0);
        }
        Ok(())
    }
}

/// A hierarchical navigable small world graph (Malkov & Yashunin, 2018, <https://arxiv.org/abs/1603.09320>), by the
/// crate `hnsw_rs`.
///
/// Vectors are inserted one after the other and layers drawn from a fixed seed, so that the same vectors give the same
/// graph and a search the same hits on every machine.
pub struct HnswIndex {
    graph: Hnsw<'static, f32, UnitCosine>,
    vectors: Vectors,
    config: HnswConfig,
    id: ContentId,
}

/// 1 − cosine of unit vectors; never below 0, where rounding would take it.
#[derive(Debug, Clone, Copy, Default)]
struct UnitCosine;

impl Distance<f32> for UnitCosine {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        (1.0 - dot(a, b)).max(0.0)
    }
}

/// Sums in 16 lanes, which the compiler keeps in vector registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let (a_blocks, b_blocks) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a_blocks.remainder().iter().zip(b_blocks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_blocks.zip(b_blocks) {
        for lane in 0..16 {
            lanes[lane] = x[lane].mul_add(y[lane], lanes[lane]);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

const LAYERS: usize = 16;
const GRAPH: &str = "graph";
const VECTORS: &str = "vectors.vec";
const META: &str = "index.json";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    version: u32,
    config: HnswConfig,
    /// blake3 of the two files of the graph.
    graph: ContentId,
    data: ContentId,
}

impl HnswIndex {
    /// Builds the graph of these vectors, which have unit length.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NotNormalised`] or [`Error::Setting`].
    pub fn build(documents: Embeddings, config: HnswConfig) -> Result<Self> {
        config.check()?;
        let vectors = Vectors::new(documents)?;
        let rows = vectors.view();
        let graph = Hnsw::new(config.neighbours, rows.nrows(), LAYERS, config.construction_width, UnitCosine);
        for (row, vector) in rows.rows().into_iter().enumerate() {
            let vector = vector.to_slice().expect("rows are in standard layout; this is a bug");
            graph.insert_slice((vector, row));
        }
        Ok(Self::of(graph, vectors, config))
    }

    fn of(graph: Hnsw<'static, f32, UnitCosine>, vectors: Vectors, config: HnswConfig) -> Self {
        let id = ContentHasher::new("hnsw-index/1")
            .field(vectors.content_id().as_bytes())
            .field(format!("{config:?}"))
            .finish();
        Self { graph, vectors, config, id }
    }

    /// Writes the index into a folder, whole or not at all; an index that was there is replaced.
    ///
    /// # Errors
    /// Failures of the file system.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let parent = folder.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs_err::create_dir_all(parent)?;
        let staging = tempfile::tempdir_in(parent)?;
        let dumped = self.graph.file_dump(staging.path(), GRAPH);
        dumped.map_err(|error| std::io::Error::other(error.to_string()))?;
        self.vectors.save(&staging.path().join(VECTORS))?;
        let [graph, data] = graph_files(staging.path())?;
        let meta = Meta { version: 1, config: self.config, graph, data };
        let json = serde_json::to_string_pretty(&meta).map_err(std::io::Error::from)?;
        fs_err::write(staging.path().join(META), json)?;
        if folder.exists() {
            fs_err::remove_dir_all(folder)?;
        }
        fs_err::rename(staging.keep(), folder)?;
        Ok(())
    }

    /// Loads a saved index; its vectors are mapped into memory.
    ///
    /// # Errors
    /// [`Error::Damaged`] where a file is missing, cut, or its checksum is wrong.
    pub fn load(folder: &Path) -> Result<Self> {
        let damaged = |file: &str, reason: String| Error::Damaged { path: folder.join(file), reason };
        let text = fs_err::read_to_string(folder.join(META))?;
        let meta: Meta = serde_json::from_str(&text).map_err(|error| damaged(META, error.to_string()))?;
        if meta.version != 1 {
            return Err(damaged(META, format!("version {}, expected 1", meta.version)));
        }
        if graph_files(folder)? != [meta.graph, meta.data] {
            return Err(damaged(GRAPH, "its checksum is wrong".into()));
        }
        let vectors = Vectors::load(&folder.join(VECTORS))?;
        // The graph borrows from its reader for as long as it lives; an index is loaded once and kept, so the reader
        // (a few hundred bytes) is never freed.
        let reader = Box::leak(Box::new(HnswIo::new_with_options(folder, GRAPH, ReloadOptions::default())));
        let graph =
            reader.load_hnsw::<f32, UnitCosine>().map_err(|error| damaged(GRAPH, error.to_string()))?;
        Ok(Self::of(graph, vectors, meta.config))
    }
}

fn graph_files(folder: &Path) -> Result<[ContentId; 2]> {
    let hash = |ending: &str| -> Result<ContentId> {
        Ok(ContentId::of(&fs_err::read(folder.join(format!("{GRAPH}.hnsw.{ending}")))?))
    };
    Ok([hash("graph")?, hash("data")?])
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
        let k = check_questions(questions, self.dim(), self.len(), k)?;
        if k == 0 {
            return Ok(vec![Vec::new(); questions.len()]);
        }
        let documents = self.vectors.view();
        let questions = questions.view();
        let rows: Vec<_> = questions.rows().into_iter().collect();
        let search = |question: &ndarray::ArrayView1<'_, f32>| {
            let vector = question.to_slice().expect("rows are in standard layout; this is a bug");
            let found = self.graph.search(vector, k, self.config.search_width.max(k));
            let mut hits: Vec<Hit> = found
                .iter()
                .map(|neighbour| Hit {
                    document: DocId(neighbour.d_id as u32),
                    score: documents.row(neighbour.d_id).dot(question),
                })
                .collect();
            hits.sort_unstable_by(top::order);
            hits
        };
        Ok(rows.par_iter().map(search).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ndarray::Array2;

    use super::*;
    use crate::ExactIndex;

    /// Vectors in clusters, as texts are.
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
        let file = path.join("graph.hnsw.graph");
        let mut bytes = fs_err::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs_err::write(&file, bytes).unwrap();
        assert!(HnswIndex::load(&path).err().unwrap().to_string().contains("checksum is wrong"));
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
    }
}
