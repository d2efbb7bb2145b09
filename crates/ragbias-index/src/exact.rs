use std::path::Path;

use ragbias_core::{ContentHasher, ContentId, Embeddings, Hit, VectorIndex};
use rayon::prelude::*;

use crate::product;
use crate::top::Top;
use crate::vectors::Vectors;
use crate::{Error, Result};

/// Questions and documents of one block: their scores are a matrix that stays in the cache.
const QUESTION_BLOCK: usize = 256;
const DOCUMENT_BLOCK: usize = 1024;

/// How many hits more than asked for are scored again, pair by pair: the product's sums depend on its blocks in their last
/// bits, and with them the order of hits that are nearly equal.
const SPARE: usize = 8;

/// Compares every question with every document.
///
/// A search is a product of matrices, block by block over both sides, with a running top k for every question: memory
/// is O(questions × k), whatever the size of the corpus. Blocks of questions run in parallel, and where they are fewer than
/// threads, parts of the corpus. The score of a hit is computed pair by pair: it does not depend on what else is asked.
pub struct ExactIndex {
    vectors: Vectors,
    id: ContentId,
}

impl ExactIndex {
    /// An index of these vectors, which have unit length.
    ///
    /// # Errors
    /// [`Error::Empty`] or [`Error::NotNormalised`].
    pub fn new(documents: Embeddings) -> Result<Self> {
        Ok(Self::of(Vectors::new(documents)?))
    }

    fn of(vectors: Vectors) -> Self {
        let id = ContentHasher::new("exact-index/1").field(vectors.content_id().as_bytes()).finish();
        Self { vectors, id }
    }

    /// Writes the index to one file, whole or not at all.
    ///
    /// # Errors
    /// Failures of the file system.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.vectors.save(path)
    }

    /// Maps a saved index into memory.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the file is of another kind, cut, or its checksum is wrong.
    pub fn load(path: &Path) -> Result<Self> {
        Ok(Self::of(Vectors::load(path)?))
    }
}

/// Questions that fit an index, and how many hits each can have.
pub(crate) fn check_questions(questions: &Embeddings, dim: usize, n: usize, k: usize) -> Result<usize> {
    if questions.is_empty() {
        return Ok(0);
    }
    if questions.dim() != dim {
        return Err(Error::Dimension { expected: dim, received: questions.dim() });
    }
    if !questions.is_normalised() {
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
        let k = check_questions(questions, self.dim(), self.len(), k)?;
        if k == 0 {
            return Ok(vec![Vec::new(); questions.len()]);
        }
        let (dim, values) = (self.dim(), self.vectors.values());
        let blocks: Vec<&[f32]> = questions.as_slice().chunks(QUESTION_BLOCK * dim).collect();
        let parts = rayon::current_num_threads().div_ceil(blocks.len());
        let part = self.len().div_ceil(parts).next_multiple_of(DOCUMENT_BLOCK);
        let hits = blocks.into_par_iter().flat_map_iter(|block| {
            let parts = values.par_chunks(part * dim).enumerate();
            let tops = parts.map(|(at, documents)| nearest(block, documents, dim, at * part, k + SPARE));
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

/// The `k` nearest of some documents to each question; the first document has the number `first`.
fn nearest(questions: &[f32], documents: &[f32], dim: usize, first: usize, k: usize) -> Vec<Top> {
    let n = questions.len() / dim;
    let mut tops: Vec<Top> = (0..n).map(|_| Top::new(k)).collect();
    let mut floors = vec![f32::NEG_INFINITY; n];
    let mut scores = vec![0.0; n * DOCUMENT_BLOCK.min(documents.len() / dim)];
    for (block, documents) in documents.chunks(DOCUMENT_BLOCK * dim).enumerate() {
        let scores = &mut scores[..documents.len() / dim * n];
        product::scores(scores, questions, documents, dim);
        for (offset, scores) in scores.chunks_exact(n).enumerate() {
            offer(&mut tops, &mut floors, scores, first + block * DOCUMENT_BLOCK + offset);
        }
    }
    tops
}

/// A document's scores for all questions, of which few come up to the floors: 16 questions are compared at once.
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
