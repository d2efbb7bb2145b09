//! For any content of a file, its reader returns a result, or an error that names the file.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::error::Error as _;
use std::path::Path;

use ragbias_core::testing::damaged;
use ragbias_core::{Bias, Silent, Verdict};
use ragbias_data::{self as data, Measurement};

/// Number of damaged versions of each file. The fuzz targets in `tests/fuzz` search for many more.
const SEEDS: u64 = 1_000;

fn every_damage_is_read_or_refused<T>(name: &str, whole: &[u8], read: impl Fn(&Path) -> data::Result<T>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs_err::write(&path, whole).unwrap();
    if let Err(error) = read(&path) {
        panic!("{name} is whole, and was refused: {error}");
    }
    for seed in 0..SEEDS {
        fs_err::write(&path, damaged(whole, seed)).unwrap();
        if let Err(error) = read(&path) {
            let source = error.source().map(ToString::to_string).unwrap_or_default();
            let message = format!("{error} {source}");
            assert!(message.contains(name), "damage {seed}: no place in: {message}");
        }
    }
}

const CORPUS: &str = "{\"_id\":\"d1\",\"title\":\"Chemistry\",\"text\":\"She isolated radium.\",\"metadata\":{\"lean\":1}}\n\
                      {\"_id\":\"d2\",\"text\":\"He drew the orbit.\",\"metadata\":{\"lean\":-1.0,\"topic\":\"astronomy\"}}\n";
const MEASUREMENTS: &str = "embedder,llm,axis,embedder_bias,rag_bias,llm_bias\n\
                            a,m,gender,-0.5,-0.25,0.125\nb,m,gender,0,0.0625,0.125\n\"c, d\",m,gender,0.5,0.375,0.125\n";

#[test]
fn a_damaged_corpus_is_read_or_refused_with_its_name() {
    every_damage_is_read_or_refused("corpus.jsonl", CORPUS.as_bytes(), |path| {
        data::read_corpus(path, None, &Silent)
    });
    let csv = "text,lean\n\"She isolated radium, and more.\",1\nHe drew the orbit.,-1\n";
    every_damage_is_read_or_refused("corpus.csv", csv.as_bytes(), |path| {
        data::read_corpus(path, None, &Silent)
    });
}

#[test]
fn damaged_questions_and_judgements_are_read_or_refused_with_their_name() {
    let questions = "{\"_id\":\"q1\",\"text\":\"Who isolated radium?\",\"topic\":\"chemistry\"}\n\
                     {\"_id\":\"q2\",\"text\":\"Tax?\",\"choices\":{\"negative\":\"More.\",\"positive\":\"Less.\"}}\n";
    every_damage_is_read_or_refused("questions.jsonl", questions.as_bytes(), |path| {
        data::read_questions(path, &Silent)
    });
    let qrels = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t2\n";
    every_damage_is_read_or_refused("qrels.tsv", qrels.as_bytes(), |path| data::read_qrels(path, &Silent));
}

#[test]
fn a_damaged_measurement_table_is_read_or_refused_with_its_name() {
    every_damage_is_read_or_refused("measurements.csv", MEASUREMENTS.as_bytes(), data::read_measurements);
    let bias = |verdicts: &[Verdict]| Bias::from_verdicts(verdicts, -1.0..=1.0).unwrap();
    let rows: Vec<Measurement> = ["a", "b", "c"]
        .map(|embedder| Measurement {
            embedder: embedder.into(),
            family: "f".into(),
            llm: Some("m".into()),
            axis: "gender".into(),
            corpus: "c".into(),
            split: "test".into(),
            n: 2,
            embedder_bias: bias(&[Verdict::POSITIVE, Verdict::NEGATIVE]),
            twin_preference: None,
            rag_bias: Some(bias(&[Verdict::POSITIVE, Verdict::NEITHER])),
            llm_bias: Some(bias(&[Verdict::NEGATIVE, Verdict::NEITHER])),
            corpus_bias: bias(&[Verdict::POSITIVE]),
            llm_counts: None,
            rag_counts: None,
            ndcg10: Some(0.5),
        })
        .into();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole.parquet");
    data::write_measurements(&path, &rows, None).unwrap();
    let whole = fs_err::read(&path).unwrap();
    every_damage_is_read_or_refused("measurements.parquet", &whole, data::read_measurements);
}

/// Files that the fuzz targets found: the library would take 62 GB, or 50 seconds.
#[test]
fn a_page_that_claims_more_than_it_holds_is_refused() {
    for (name, reason) in [
        ("large-dictionary.parquet", "a dictionary claims 1946606003 entries in 10 bytes"),
        ("long-list.parquet", "unexpected end of file"),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        let error = data::read_measurements(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("{name}: damaged or truncated: ")), "{error}");
        assert!(error.contains(reason), "{error}");
    }
}
