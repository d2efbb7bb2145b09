//! Seconds of building and searching an index; `benches/peers/index.py` runs it beside faiss, numpy and hnswlib.
//!
//! ```text
//! cargo run --release -p ragbias-index --example time_index -- exact DOCUMENTS QUESTIONS DIM K
//! cargo run --release -p ragbias-index --example time_index -- hnsw DOCUMENTS QUESTIONS DIM K M BUILD_WIDTH WIDTH…
//! cargo run --release -p ragbias-index --example time_index -- grow exact|hnsw N DIM
//! ```
//!
//! Files hold f32, little-endian, row after row. The answer is JSON: seconds, and the documents found for each question.
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
            let config = HnswConfig {
                neighbours: neighbours.parse()?,
                construction_width: construction_width.parse()?,
                ..HnswConfig::default()
            };
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

/// On all threads: the best of three searches, as its peers are timed.
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

/// Vectors around 1,000 centres: texts are not spread evenly either.
fn made_up(n: usize, dim: usize, seed: u64) -> Result<Embeddings> {
    let mut state = seed;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    let mut centre_state = 88_172_645_463_325_252_u64;
    let mut centre = move || {
        centre_state ^= centre_state << 13;
        centre_state ^= centre_state >> 7;
        centre_state ^= centre_state << 17;
        (centre_state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    let centres = Array2::from_shape_fn((1000, dim), |_| centre());
    let rows = Array2::from_shape_fn((n, dim), |(row, column)| centres[[row % 1000, column]] + next());
    Ok(Embeddings::new(rows)?.normalised()?)
}

/// Every step of an index's life, and the peak of this process's memory after each.
fn grow(kind: &str, n: usize, dim: usize) -> Result<Value> {
    let rows = made_up(n, dim, 0x9E37_79B9_7F4A_7C15)?;
    let questions = made_up(1000, dim, 0xD1B5_4A32_D192_ED03)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("index");
    let before = peak_memory()?;
    let (build, save, load, search) = match kind {
        "exact" => {
            let (build, index) = timed(|| ExactIndex::new(rows));
            let index = index?;
            let (search, hits) = timed(|| index.search(&questions, 10));
            hits?;
            let (save, saved) = timed(|| index.save(&path));
            saved?;
            drop(index);
            let (load, index) = timed(|| ExactIndex::load(&path));
            index?;
            (build, save, load, search)
        }
        "hnsw" => {
            let (build, index) = timed(|| HnswIndex::build(rows, HnswConfig::default()));
            let index = index?;
            let (search, hits) = timed(|| index.search(&questions, 10));
            hits?;
            let (save, saved) = timed(|| index.save(&path));
            saved?;
            drop(index);
            let (load, index) = timed(|| HnswIndex::load(&path));
            index?;
            (build, save, load, search)
        }
        other => return Err(format!("an index is exact or hnsw, not {other}").into()),
    };
    let bytes = size(&path)?;
    let (build, save, load) = (json!(build), json!(save), json!(load));
    Ok(json!({
        "n": n, "build": build, "save": save, "load": load, "search": search,
        "bytes": n * dim * 4, "file": bytes, "peak_before": before, "peak": peak_memory()?,
    }))
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

/// The most memory that this process has held so far, in bytes; Linux says it.
fn peak_memory() -> Result<u64> {
    let status = fs_err::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kilobytes * 1024)
}
