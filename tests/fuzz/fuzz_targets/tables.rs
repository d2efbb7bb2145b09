//! Tables and text files: the first byte selects the reader, the rest is the file.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ragbias_core::Silent;
use ragbias_data::{
    Result, load_axis, read_corpus, read_measurements, read_outcomes, read_qrels, read_questions,
};
use ragbias_fuzz::{folder, names, put};

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(folder);

fn read(name: &str, path: &Path) -> Result<()> {
    match name.split('.').next() {
        Some("corpus") => drop(read_corpus(path, None, &Silent)?),
        Some("questions") => drop(read_questions(path, &Silent)?),
        Some("qrels") => drop(read_qrels(path, &Silent)?),
        Some("measurements") => drop(read_measurements(path)?),
        Some("outcomes") => drop(read_outcomes(path)?),
        _ => drop(load_axis(&path.display().to_string())?),
    }
    Ok(())
}

const NAMES: [&str; 12] = [
    "corpus.jsonl",
    "corpus.csv",
    "corpus.parquet",
    "questions.jsonl",
    "qrels.tsv",
    "measurements.csv",
    "measurements.parquet",
    "outcomes.csv",
    "corpus.jsonl.gz",
    "corpus.jsonl.zst",
    "axis.toml",
    "questions.csv",
];

fuzz_target!(|input: &[u8]| {
    let [kind, file @ ..] = input else { return };
    let name = NAMES[usize::from(*kind) % NAMES.len()];
    let path: PathBuf = put(FOLDER.path(), name, file);
    names(read(name, &path), name);
});
