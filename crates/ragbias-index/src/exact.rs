use std::path::Path;

use ragbias_core::{ContentId, Embeddings, Hit, Similarity, VectorIndex};
use ragbias_kernels::{Into, Matrix, dot, product};
use rayon::prelude::*;

use crate::top::Top;
use crate::vectors::Vectors;
use crate::{Error, Result};

/// Number of questions and documents in one block, whose score matrix stays in the cache.
const QUESTION_BLOCK: usize = 256;
const DOCUMENT_BLOCK: usize = 1024;

/// How many additional hits are scored again, pair by pair: the sums of the matrix product depend on its blocks in their last
/// bits, and with them the order of nearly equal hits.
const SPARE: usize = 8;

/// Compares every question with every document.
///
/// A search is a matrix product, block by block over both sides, with a running top k for every question: memory
/// is O(questions × k), whatever the size of the corpus. Blocks of questions run in parallel, or parts of the corpus if there
/// are fewer blocks than threads. The score of a hit is computed pair by pair, so it does not depend on the other questions.
pub struct ExactIndex {
    vectors: Vectors,
    /// |x|²/2 of each vector, if they are compared by distance: q·x − |x|²/2 has the order of −|q − x|. Empty otherwise.
    halves: Vec<f32>,
    id: ContentId,
}

impl ExactIndex {
    /// An index of these vectors, which have unit length, by cosine.
    ///
    /// # Errors
    /// [`Error::Empty`] or [`Error::NotNormalised`].
    pub fn new(documents: Embeddings) -> Result<Self> {
        Self::by(Similarity::Cosine, documents)
    }

    /// An index of these vectors; if they are compared by cosine, they must have unit length.
    ///
    /// # Errors
    /// Those of [`ExactIndex::new`].
    pub fn by(similarity: Similarity, documents: Embeddings) -> Result<Self> {
        Ok(Self::of(Vectors::new(documents, similarity)?))
    }

    fn of(vectors: Vectors) -> Self {
        let halves = if vectors.similarity() == Similarity::Euclidean {
            vectors
                .values()
                .par_chunks_exact(vectors.view().ncols())
                .map(|row| dot::in_32_lanes(row, row) / 2.0)
                .collect()
        } else {
            Vec::new()
        };
        let id = vectors.identify("exact-index/1").finish();
        Self { vectors, halves, id }
    }

    /// Writes the index to one file, atomically.
    ///
    /// # Errors
    /// Failures of the file system.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.vectors.save(path)
    }

    /// Maps a saved index into memory.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the file is of another kind, truncated, or has a wrong checksum.
    pub fn load(path: &Path) -> Result<Self> {
        Ok(Self::of(Vectors::load(path)?))
    }
}

/// Checked questions that match the index, and the number of hits for each.
pub(crate) fn check_questions(questions: &Embeddings, vectors: &Vectors, k: usize) -> Result<usize> {
    if questions.is_empty() {
        return Ok(0);
    }
    let (n, dim) = vectors.view().dim();
    if questions.dim() != dim {
        return Err(Error::Dimension { expected: dim, received: questions.dim() });
    }
    if vectors.similarity().wants_unit_vectors() && !questions.is_normalised() {
        return Err(Error::NotNormalised);
    }
    Ok(k.min(n))
}

impl VectorIndex for ExactIndex {
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
        let (dim, values) = (self.dim(), self.vectors.values());
        let blocks: Vec<&[f32]> = questions.as_slice().chunks(QUESTION_BLOCK * dim).collect();
        let parts = rayon::current_num_threads().div_ceil(blocks.len());
        let part = self.len().div_ceil(parts).next_multiple_of(DOCUMENT_BLOCK);
        let hits = blocks.into_par_iter().flat_map_iter(|block| {
            let parts = values.par_chunks(part * dim).enumerate();
            let tops = parts.map(|(at, documents)| {
                let halves = self.halves.get(at * part..).unwrap_or_default();
                nearest(block, documents, halves, dim, at * part, k + SPARE)
            });
            let tops = tops.reduce_with(|mut tops, others| {
                tops.iter_mut().zip(others).for_each(|(top, other)| top.take(other));
                tops
            });
            let tops = tops.expect("an index has documents; this is a bug");
            tops.into_iter().zip(block.chunks_exact(dim)).map(move |(top, question)| {
                let rows = top.into_sorted().into_iter().map(|hit| hit.document.0);
                self.vectors.best(question, rows, k)
            })
        });
        Ok(hits.collect())
    }
}

/// The `k` nearest of some documents to each question; `first` is the number of the first document, and `halves` has the
/// value subtracted from each document's product, if any.
fn nearest(
    questions: &[f32],
    documents: &[f32],
    halves: &[f32],
    dim: usize,
    first: usize,
    k: usize,
) -> Vec<Top> {
    let n = questions.len() / dim;
    let mut tops: Vec<Top> = (0..n).map(|_| Top::new(k)).collect();
    let mut floors = vec![f32::NEG_INFINITY; n];
    let mut scores = vec![0.0; n * DOCUMENT_BLOCK.min(documents.len() / dim)];
    for (block, documents) in documents.chunks(DOCUMENT_BLOCK * dim).enumerate() {
        let scores = &mut scores[..documents.len() / dim * n];
        let (rows, columns) =
            (Matrix::new(documents, documents.len() / dim, dim), Matrix::new(questions, n, dim));
        product(scores, n, Into::Set, 1.0, rows, columns.t());
        for (offset, scores) in scores.chunks_exact_mut(n).enumerate() {
            if let Some(half) = halves.get(block * DOCUMENT_BLOCK + offset) {
                for score in &mut *scores {
                    *score -= half;
                }
            }
            offer(&mut tops, &mut floors, scores, first + block * DOCUMENT_BLOCK + offset);
        }
    }
    tops
}

/// Adds a document's scores for all questions. Few reach the floors, so 16 questions are compared at once.
#[expect(clippy::needless_bitwise_bool, reason = "a lazy operator would compare one by one")]
fn offer(tops: &mut [Top], floors: &mut [f32], scores: &[f32], document: usize) {
    for ((tops, floors), scores) in tops.chunks_mut(16).zip(floors.chunks_mut(16)).zip(scores.chunks(16)) {
        if scores.iter().zip(floors.iter()).fold(false, |any, (score, floor)| any | (score >= floor)) {
            for ((top, floor), &score) in tops.iter_mut().zip(floors).zip(scores) {
                if score >= *floor {
                    *floor = top.offer(document, score);
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use ndarray::{Array2, Axis};
    use proptest::prelude::*;
    use ragbias_core::DocId;

    use super::*;

    pub(crate) fn unit(n: usize, dim: usize, seed: u64) -> Embeddings {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let rows = Array2::from_shape_fn((n, dim), |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        });
        Embeddings::new(rows).unwrap().normalised().unwrap()
    }

    /// Vectors of lengths from 1 to 9 that share a component, like those of an encoder without normalisation.
    pub(crate) fn raw(n: usize, dim: usize, seed: u64) -> Embeddings {
        let mut rows = unit(n, dim, seed).into_inner();
        for (row, mut vector) in rows.rows_mut().into_iter().enumerate() {
            vector.mapv_inplace(|x| (x + 0.1) * (1 + row * 7 % 9) as f32);
        }
        Embeddings::new(rows).unwrap()
    }

    /// All documents, best first, in double precision.
    pub(crate) fn sorted(
        similarity: Similarity,
        documents: &Embeddings,
        question: &[f32],
    ) -> Vec<(f64, u32)> {
        let score = |row: ndarray::ArrayView1<'_, f32>| -> f64 {
            let pairs = row.into_iter().zip(question).map(|(x, y)| (f64::from(*x), f64::from(*y)));
            match similarity {
                Similarity::Cosine | Similarity::Dot => pairs.map(|(x, y)| x * y).sum(),
                Similarity::Euclidean => -pairs.map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt(),
            }
        };
        let rows = documents.view();
        let mut all: Vec<_> = rows.rows().into_iter().zip(0..).map(|(row, at)| (score(row), at)).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        all
    }

    #[test]
    fn products_and_distances_find_what_sorting_everything_by_them_finds() {
        let (documents, questions) = (raw(2500, 24, 3), raw(20, 24, 4));
        let mut first = Vec::new();
        for similarity in [Similarity::Dot, Similarity::Euclidean] {
            let index = ExactIndex::by(similarity, documents.clone()).unwrap();
            for (hits, question) in index.search(&questions, 10).unwrap().iter().zip(questions.view().rows())
            {
                let expected = sorted(similarity, &documents, question.to_slice().unwrap());
                for (hit, (score, row)) in hits.iter().zip(&expected) {
                    assert_eq!(hit.document.0, *row, "{similarity}");
                    assert!(
                        (f64::from(hit.score) - score).abs() < 1e-4,
                        "{similarity}: {} {score}",
                        hit.score
                    );
                }
            }
            first.push(index.search(&questions, 1).unwrap());
        }
        assert_ne!(first[0], first[1], "the two differ on vectors of other lengths");
    }

    #[test]
    fn an_index_is_of_its_similarity_and_is_saved_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.vec");
        let ids = Similarity::ALL.map(|similarity| {
            let index = ExactIndex::by(similarity, unit(50, 16, 1)).unwrap();
            index.save(&path).unwrap();
            assert_eq!(ExactIndex::load(&path).unwrap().id(), index.id());
            index.id()
        });
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        let mut bytes = fs_err::read(&path).unwrap();
        bytes[56] = 1;
        fs_err::write(&path, &bytes).unwrap();
        assert!(ExactIndex::load(&path).err().unwrap().to_string().contains("its checksum is wrong"));
        bytes[56] = 9;
        fs_err::write(&path, &bytes).unwrap();
        assert!(ExactIndex::load(&path).err().unwrap().to_string().contains("similarity has the number 9"));
    }

    #[test]
    fn a_file_of_vectors_that_no_index_holds_is_refused_although_its_checksum_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.vec");
        ExactIndex::new(unit(5, 8, 1)).unwrap().save(&path).unwrap();
        let whole = fs_err::read(&path).unwrap();
        let refusal = |value: f32| {
            let mut bytes = whole.clone();
            bytes[64 + 32..][..4].copy_from_slice(&value.to_le_bytes());
            let checksum = ragbias_core::ContentId::of(&bytes[64..]);
            bytes[24..56].copy_from_slice(checksum.as_bytes());
            fs_err::write(&path, &bytes).unwrap();
            ExactIndex::load(&path).err().unwrap().to_string()
        };
        for value in [f32::NAN, f32::INFINITY] {
            let error = refusal(value);
            assert!(error.contains("index.vec") && error.contains(&value.to_string()), "{error}");
        }
        assert!(refusal(7.0).contains("do not have unit length"));
    }

    #[test]
    fn cosines_need_unit_vectors() {
        let error = ExactIndex::new(raw(3, 8, 1)).err().unwrap().to_string();
        assert!(error.contains("do not have unit length"), "{error}");
        let index = ExactIndex::new(unit(3, 8, 1)).unwrap();
        assert!(index.search(&raw(1, 8, 2), 1).is_err());
    }

    #[test]
    fn ties_go_to_the_earlier_document() {
        let one = unit(1, 8, 3).into_inner();
        let rows = ndarray::concatenate(Axis(0), &[one.view(), one.view(), one.view()]).unwrap();
        let index = ExactIndex::new(Embeddings::new(rows).unwrap()).unwrap();
        let hits = index.search(&unit(1, 8, 5), 2).unwrap();
        assert_eq!([hits[0][0].document, hits[0][1].document], [DocId(0), DocId(1)]);
    }

    #[test]
    fn k_larger_than_the_corpus_gives_all_of_it() {
        let index = ExactIndex::new(unit(3, 8, 1)).unwrap();
        assert_eq!(
            index.search(&unit(2, 8, 2), 50).unwrap().iter().map(Vec::len).collect::<Vec<_>>(),
            [3, 3]
        );
        assert!(index.search(&unit(1, 8, 2), 0).unwrap()[0].is_empty());
    }

    #[test]
    fn questions_of_another_dimension_are_refused() {
        let index = ExactIndex::new(unit(3, 8, 1)).unwrap();
        let error = index.search(&unit(1, 9, 2), 1).unwrap_err().to_string();
        assert_eq!(error, "questions of 9 dimensions for an index of 8");
    }

    #[test]
    fn a_saved_index_finds_the_same_and_a_damaged_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/index.vec");
        let (index, questions) = (ExactIndex::new(unit(500, 16, 1)).unwrap(), unit(20, 16, 2));
        index.save(&path).unwrap();
        let loaded = ExactIndex::load(&path).unwrap();
        assert_eq!(loaded.id(), index.id());
        assert_eq!(loaded.search(&questions, 7).unwrap(), index.search(&questions, 7).unwrap());
        let mut bytes = fs_err::read(&path).unwrap();
        bytes[1000] ^= 1;
        fs_err::write(&path, &bytes).unwrap();
        assert!(ExactIndex::load(&path).err().unwrap().to_string().contains("its checksum is wrong"));
        fs_err::write(&path, &bytes[..900]).unwrap();
        assert!(ExactIndex::load(&path).err().unwrap().to_string().contains("do not hold 500 vectors"));
    }

    proptest! {
        #[test]
        fn the_blocks_find_what_sorting_everything_finds(n in 1..2500_usize, k in 1..40_usize, seed in 1..9_u64) {
            let (documents, questions) = (unit(n, 4, seed), unit(3, 4, seed + 100));
            let index = ExactIndex::new(documents.clone()).unwrap();
            for (hits, question) in index.search(&questions, k).unwrap().iter().zip(questions.view().rows()) {
                let mut all: Vec<Hit> = documents.view().rows().into_iter().enumerate()
                    .map(|(i, row)| Hit { document: DocId(i as u32), score: row.dot(&question) }).collect();
                all.sort_by(crate::top::order);
                for (hit, expected) in hits.iter().zip(&all) {
                    prop_assert!((hit.score - expected.score).abs() < 1e-5);
                }
                prop_assert_eq!(hits.len(), k.min(n));
                prop_assert!(hits.is_sorted_by(|a, b| crate::top::order(a, b).is_le()));
            }
        }

        #[test]
        fn the_order_of_documents_is_irrelevant(seed in 1..50_u64) {
            let (documents, questions) = (unit(300, 8, seed), unit(4, 8, seed + 100));
            let mut reversed = documents.clone().into_inner();
            reversed.invert_axis(Axis(0));
            let a = ExactIndex::new(documents).unwrap().search(&questions, 5).unwrap();
            let b = ExactIndex::new(Embeddings::new(reversed).unwrap()).unwrap().search(&questions, 5).unwrap();
            for (a, b) in a.iter().flatten().zip(b.iter().flatten()) {
                prop_assert_eq!(a.document.0, 299 - b.document.0);
            }
        }
    }
}
