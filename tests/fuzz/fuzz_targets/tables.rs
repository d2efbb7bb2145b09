//! Tables and text files: the first byte says which reader, the rest is the file.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ragbias_core::Silent;
use ragbias_data as data;
use ragbias_fuzz::{folder, names, put};

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(folder);

fuzz_target!(|input: &[u8]| {
    let [kind, file @ ..] = input else { return };
    let at = |name: &str| put(FOLDER.path(), name, file);
    match kind % 12 {
        0 => { let path = at("corpus.jsonl"); names(data::read_corpus(&path, None, &Silent), &path); }
        1 => { let path = at("corpus.csv"); names(data::read_corpus(&path, None, &Silent), &path); }
        2 => { let path = at("corpus.parquet"); names(data::read_corpus(&path, None, &Silent), &path); }
        3 => { let path = at("questions.jsonl"); names(data::read_questions(&path, &Silent), &path); }
        4 => { let path = at("qrels.tsv"); names(data::read_qrels(&path, &Silent), &path); }
        5 => { let path = at("measurements.csv"); names(data::read_measurements(&path), &path); }
        6 => { let path = at("measurements.parquet"); names(data::read_measurements(&path), &path); }
        7 => { let path = at("outcomes.csv"); names(data::read_outcomes(&path), &path); }
        8 => { let path = at("corpus.jsonl.gz"); names(data::read_corpus(&path, None, &Silent), &path); }
        9 => { let path = at("corpus.jsonl.zst"); names(data::read_corpus(&path, None, &Silent), &path); }
        10 => { let path = at("axis.toml"); names(data::load_axis(&path.display().to_string()), &path); }
        _ => { let path = at("questions.csv"); names(data::read_questions(&path, &Silent), &path); }
    }
});
