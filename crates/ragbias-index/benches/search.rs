//! Both indices over synthetic vectors of 384 values: `cargo bench -p ragbias-index`.
#![allow(missing_docs, reason = "criterion's macros write functions without")]

use criterion::{Criterion, criterion_group, criterion_main};
use ndarray::Array2;
use ragbias_core::{Embeddings, VectorIndex};
use ragbias_index::{ExactIndex, HnswConfig, HnswIndex};

fn made_up(n: usize, mut state: u64) -> Embeddings {
    let rows = Array2::from_shape_fn((n, 384), |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    });
    Embeddings::new(rows).and_then(Embeddings::normalised).expect("made-up values are finite; this is a bug")
}

fn search(criterion: &mut Criterion) {
    let (documents, questions) = (made_up(10_000, 1), made_up(256, 2));
    let graph = HnswIndex::build(made_up(2_000, 1), HnswConfig::default());
    let graph = graph.expect("a graph of unit vectors; this is a bug");
    let exact = ExactIndex::new(documents).expect("unit vectors; this is a bug");
    criterion.bench_function("exact, 256 questions of 10,000 documents", |bench| {
        bench.iter(|| exact.search(&questions, 10));
    });
    criterion.bench_function("hnsw, 256 questions of 2,000 documents", |bench| {
        bench.iter(|| graph.search(&questions, 10));
    });
}

fn build(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build");
    group.sample_size(10);
    group.bench_function("hnsw, 1,000 documents", |bench| {
        bench.iter(|| HnswIndex::build(made_up(1_000, 1), HnswConfig::default()));
    });
    group.finish();
}

criterion_group!(benches, search, build);
criterion_main!(benches);
