//! The encoder of MiniLM: forward passes, a pass with its gradients, and its sublayers, whose kernels are private.
//!
//! `cargo bench --bench encoder`; MiniLM is downloaded if missing.

use std::collections::BTreeSet;
use std::error::Error;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use ragbias_core::{Embedder, Role, Silent};
use ragbias_embed::{Boundary, Encoder, Input, Packed, Parameters, TextEmbedder, TextEmbedderConfig};
use ragbias_models::{ModelKind, ModelStore};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = ModelStore::from_env()?.resolve("minilm", ModelKind::Embedder, &Silent)?;
    let embedder = TextEmbedder::load(&folder, &TextEmbedderConfig::default())?;
    let parameters = Parameters::load(&folder, &embedder.config().encoder, &candle_core::Device::Cpu)?;
    let mut criterion = Criterion::default().configure_from_args();
    tokenise(&mut criterion, &embedder);
    passes(&mut criterion, embedder.encoder());
    gradients(&mut criterion, embedder.encoder(), &parameters);
    half_layers(&mut criterion, embedder.encoder(), embedder.dim());
    criterion.final_summary();
    Ok(())
}

/// Sequences of these lengths; the token ids do not affect the time.
fn packed(lengths: impl IntoIterator<Item = usize>) -> Packed {
    let lengths: Vec<usize> = lengths.into_iter().collect();
    let tokens = lengths.iter().sum::<usize>() as u32;
    Packed { ids: (0..tokens).map(|i| 1000 + i * 7919 % 20_000).collect(), lengths }
}

/// 32 texts of 8 to 132 tokens.
fn mixed() -> Packed {
    packed((0..32).map(|i| 8 + i * 4))
}

fn tokenise(criterion: &mut Criterion, embedder: &TextEmbedder) {
    let text = "Marie Curie discovered radium, and was the first to be awarded two Nobel prizes. ".repeat(6);
    criterion.bench_function("tokenise/one text", |bencher| {
        bencher.iter(|| embedder.tokenise(&[&text], Role::Document).expect("a text has tokens"));
    });
}

fn passes(criterion: &mut Criterion, encoder: &Encoder) {
    let mut group = criterion.benchmark_group("encode");
    for (name, batch) in [("16 tokens", packed([16])), ("128 tokens", packed([128])), ("32 texts", mixed())] {
        group.throughput(Throughput::Elements(batch.ids.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| encoder.vectors(Input::Tokens(black_box(&batch))).expect("tokens of MiniLM"));
        });
    }
}

fn gradients(criterion: &mut Criterion, encoder: &Encoder, parameters: &Parameters) {
    let (batch, all) = (mixed(), parameters.iter().map(|(name, _)| name.to_owned()).collect::<BTreeSet<_>>());
    let mut group = criterion.benchmark_group("gradients");
    group.throughput(Throughput::Elements(batch.ids.len() as u64)).sample_size(20);
    group.bench_function("32 texts", |bencher| {
        bencher.iter(|| {
            let (vectors, tape) = encoder.record(Input::Tokens(&batch), &all).expect("tokens of MiniLM");
            tape.backward(&vectors).expect("a gradient of the vectors' shape")
        });
    });
}

fn half_layers(criterion: &mut Criterion, encoder: &Encoder, hidden: usize) {
    let lengths = [64; 8];
    let rows: Vec<f32> = (0..512 * hidden).map(|i| ((i * 7919 % 2003) as f32 / 1001.5) - 1.0).collect();
    let mut group = criterion.benchmark_group("half layer of 512 tokens");
    group.throughput(Throughput::Elements(512));
    let halves = [
        ("attention, LayerNorm", Boundary::Layer(0), Boundary::Mlp(0)),
        ("MLP, GELU, LayerNorm", Boundary::Mlp(0), Boundary::Layer(1)),
    ];
    for (name, boundary, at) in halves {
        let input = Input::States { boundary, rows: &rows, lengths: &lengths };
        group.bench_function(name, |bencher| {
            bencher.iter(|| encoder.states(black_box(input), at).expect("states of MiniLM's width"));
        });
    }
}
