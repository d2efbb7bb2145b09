//! Times building and searching an index; `benches/peers/index.py` runs it, and compares it with faiss, numpy and hnswlib.
//!
//! ```text
//! cargo run --release -p ragbias-index --example time_index -- exact DOCUMENTS QUESTIONS DIM K
//! cargo run --release -p ragbias-index --example time_index -- hnsw DOCUMENTS QUESTIONS DIM K M BUILD_WIDTH WIDTH…
//! cargo run --release -p ragbias-index --example time_index -- grow exact|hnsw N DIM
//! ```
//!
//! Files hold f32, little-endian, in row-major order. Prints JSON: seconds, and the documents found for each question.
#![expect(clippy::print_stdout, reason = "an example speaks to its reader")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use ndarray::Array2;
use ragbias_core::{Embeddings, Hit, VectorIndex};
use ragbias_index::{ExactIndex, HnswConfig, HnswIndex};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let answer = match *words.as_slice() {
        ["exact", documents, questions, dim, k] => {
            let dim = dim.parse()?;
            exact(read(documents, dim)?, &read(questions, dim)?, k.parse()?)?
        }
        ["hnsw", documents, questions, dim, k, neighbours, construction_width, ref widths @ ..] => {
            let dim = dim.parse()?;
            let config = HnswConfig::default()
                .neighbours(neighbours.parse()?)
                .construction_width(construction_width.parse()?);
            let widths =
                widths.iter().map(|width| width.parse()).collect::<std::result::Result<Vec<_>, _>>()?;
            hnsw(read(documents, dim)?, &read(questions, dim)?, k.parse()?, config, &widths)?
        }
        ["grow", kind, n, dim] => grow(kind, n.parse()?, dim.parse()?)?,
        _ => return Err("see the head of this file for its arguments".into()),
    };
    println!("{answer}");
    Ok(())
}

fn read(path: &str, dim: usize) -> Result<Embeddings> {
    let bytes = fs_err::read(path)?;
    let values: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|value| f32::from_le_bytes(value.try_into().expect("4 bytes; this is a bug")))
        .collect();
    let rows = Array2::from_shape_vec((values.len() / dim, dim), values)?;
    Ok(Embeddings::new(rows)?.normalised()?)
}

fn timed<T>(what: impl FnOnce() -> T) -> (f64, T) {
    let begun = Instant::now();
    let out = what();
    (begun.elapsed().as_secs_f64(), out)
}

fn documents(hits: &[Vec<Hit>]) -> Vec<Vec<u32>> {
    hits.iter().map(|hits| hits.iter().map(|hit| hit.document.0).collect()).collect()
}

/// On all threads: the best of three searches, as for the other libraries.
fn exact(rows: Embeddings, questions: &Embeddings, k: usize) -> Result<Value> {
    let index = ExactIndex::new(rows)?;
    let mut best = (f64::INFINITY, Vec::new());
    for _ in 0..3 {
        let (seconds, hits) = timed(|| index.search(questions, k));
        if seconds < best.0 {
            best = (seconds, hits?);
        }
    }
    Ok(json!({ "search": best.0, "hits": documents(&best.1) }))
}

/// On one thread: the best of three searches at each width.
fn hnsw(
    rows: Embeddings,
    questions: &Embeddings,
    k: usize,
    config: HnswConfig,
    widths: &[usize],
) -> Result<Value> {
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    one.install(|| {
        let (build, index) = timed(|| HnswIndex::build(rows, config));
        let mut index = index?;
        let mut searches = Vec::new();
        for &width in widths {
            index = index.with_search_width(width)?;
            let mut best = (f64::INFINITY, Vec::new());
            for _ in 0..3 {
                let (seconds, hits) = timed(|| index.search(questions, k));
                if seconds < best.0 {
                    best = (seconds, hits?);
                }
            }
            searches.push(json!({ "width": width, "search": best.0, "hits": documents(&best.1) }));
        }
        Ok(json!({ "build": build, "searches": searches }))
    })
}

const SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// Unit vectors that vary in 32 directions, the same for every seed, and slightly in all others, like those of texts.
fn made_up(n: usize, dim: usize, seed: u64) -> Result<Embeddings> {
    let numbers = |mut state: u64| {
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        }
    };
    let (mut direction, mut next) = (numbers(88_172_645_463_325_252), numbers(seed));
    let directions = Array2::from_shape_fn((32, dim), |_| direction());
    let mut values = Vec::with_capacity(n * dim);
    for start in (0..n).step_by(10_000) {
        let count = (n - start).min(10_000);
        let along = Array2::from_shape_fn((count, 32), |_| next());
        values.extend(along.dot(&directions).into_iter().map(|value| value + 0.5 * next()));
    }
    Ok(Embeddings::new(Array2::from_shape_vec((n, dim), values)?)?.normalised()?)
}

/// Times every operation of an index, and the peak memory of this process over all of them.
fn grow(kind: &str, n: usize, dim: usize) -> Result<Value> {
    let rows = made_up(n, dim, SEED)?;
    let questions = made_up(1000, dim, 0xD1B5_4A32_D192_ED03)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("index");
    let mut answer = match kind {
        "exact" => life(
            || Ok(ExactIndex::new(rows)?),
            |index| Ok(index.save(&path)?),
            || Ok(ExactIndex::load(&path)?),
            &questions,
        )?,
        "hnsw" => life(
            || Ok(HnswIndex::build(rows, HnswConfig::default())?),
            |index| Ok(index.save(&path)?),
            || Ok(HnswIndex::load(&path)?),
            &questions,
        )?,
        other => return Err(format!("an index is exact or hnsw, not {other}").into()),
    };
    answer["n"] = json!(n);
    answer["bytes"] = json!(n * dim * 4);
    answer["file"] = json!(size(&path)?);
    if kind == "hnsw" {
        let exact = ExactIndex::new(made_up(n, dim, SEED)?)?.search(&questions, 10)?;
        let found = HnswIndex::load(&path)?.search(&questions, 10)?;
        let (mut right, mut all) = (0, 0);
        for (exact, found) in documents(&exact).iter().zip(documents(&found)) {
            right += exact.iter().filter(|document| found.contains(document)).count();
            all += exact.len();
        }
        answer["recall"] = json!(right as f64 / all as f64);
    }
    Ok(answer)
}

/// Builds, searches, saves and loads an index.
fn life<I: VectorIndex>(
    build: impl FnOnce() -> Result<I>,
    save: impl FnOnce(&I) -> Result<()>,
    load: impl FnOnce() -> Result<I>,
    questions: &Embeddings,
) -> Result<Value> {
    let (build, index) = timed(build);
    let index = index?;
    let (search, hits) = timed(|| index.search(questions, 10));
    hits?;
    let (save, saved) = timed(|| save(&index));
    saved?;
    drop(index);
    let (load, index) = timed(load);
    index?;
    Ok(json!({ "build": build, "save": save, "load": load, "search": search, "peak": peak_memory()? }))
}

fn size(path: &Path) -> Result<u64> {
    if path.is_file() {
        return Ok(fs_err::metadata(path)?.len());
    }
    let mut bytes = 0;
    for entry in fs_err::read_dir(path)? {
        bytes += size(&entry?.path())?;
    }
    Ok(bytes)
}

/// The peak memory of this process so far, in bytes, as reported by Linux.
fn peak_memory() -> Result<u64> {
    let status = fs_err::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kilobytes * 1024)
}
