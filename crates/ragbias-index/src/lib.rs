//! Exact and HNSW nearest-neighbour search over unit vectors
