//! Nearest neighbours by cosine, inner product or Euclidean distance: exact, or approximate with a navigable graph.
//!
//! [`ExactIndex`] compares with every vector, in blocks; [`HnswIndex`] traverses a graph and finds nearly all neighbours with
//! a fraction of the comparisons. Both implement [`VectorIndex`](ragbias_core::VectorIndex) with the
//! [`Similarity`](ragbias_core::Similarity) of the embedder, return the best hit first and, among equal scores, the earlier
//! document, and are saved with a checksum.
//!
//! ```
//! use ndarray::array;
//! use ragbias_core::{DocId, Embeddings, VectorIndex};
//! use ragbias_index::ExactIndex;
//!
//! let documents = Embeddings::new(array![[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])?;
//! let index = ExactIndex::new(documents)?;
//! let hits = index.search(&Embeddings::new(array![[0.0, 1.0]])?, 2)?;
//! assert_eq!(hits[0].iter().map(|hit| hit.document).collect::<Vec<_>>(), [DocId(1), DocId(2)]);
//! # Ok::<(), ragbias_core::Error>(())
//! ```

mod backend;
mod codes;
mod error;
mod exact;
mod graph;
mod hnsw;
mod top;
mod vectors;

pub use backend::{Exact, Hnsw, SavedHnsw};
pub use error::{Error, Result};
pub use exact::ExactIndex;
pub use hnsw::{HnswConfig, HnswIndex};
