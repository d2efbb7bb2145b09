//! Tests on published data sets, if `RAGBIAS_DATA_DIR` has them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use ragbias::core::{Document, Embedder, Embeddings, Hit, Role, Silent, VectorIndex};
use ragbias::data::read_corpus;
use ragbias::index::{Exact, ExactIndex, HnswConfig, HnswIndex};
use ragbias::{Models, Store, StoredEmbedder, TestCollection, Workspace};
use serde_json::{Value, json};

use crate::harness::{Scratch, done, program, root};

/// The folder of published data sets, or a message about what is skipped.
fn data(what: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("RAGBIAS_DATA_DIR").filter(|folder| !folder.is_empty());
    if folder.is_none() {
        eprintln!("skipped: {what} (RAGBIAS_DATA_DIR is not set)");
    }
    folder.map(PathBuf::from)
}

/// The program with the user's own store: vectors of these sets are computed once per machine.
fn json(command: &mut Command, args: &[&str]) -> Value {
    let done = done(command.args(args).arg("--json"));
    assert_eq!(done.code, 0, "{}", done.stderr);
    serde_json::from_str(&done.stdout).unwrap()
}

fn share(agreement: &Value, key: &str) -> f64 {
    agreement[key].as_f64().unwrap()
}

#[test]
fn embedder_bias_on_genderbias_qa_is_that_of_sentence_transformers_to_the_question() {
    let Some(data) = data("E_b against sentence-transformers") else { return };
    let scratch = Scratch::new();
    let set = data.join("genderbias-qa/train.csv");
    let set = set.to_str().unwrap();
    let measured = scratch.json(&[
        "measure",
        "--axis",
        "gender",
        "--questions",
        set,
        "--corpus",
        set,
        "--embedder",
        "minilm",
        "--scorer",
        "gold",
        "--retrieve-only",
        "--out",
        "out",
    ]);
    assert_eq!(measured["embedder_bias"]["n"], 172);
    assert_eq!(measured["corpus_bias"]["n"], 688);
    // scripts/reference/retrieval.py: E_b −0.430233.
    assert!((measured["embedder_bias"]["value"].as_f64().unwrap() + 0.430_233).abs() < 1e-6, "{measured}");
    let table = |path: PathBuf, question: usize, document: usize| -> HashMap<String, String> {
        let text = fs_err::read_to_string(path).unwrap();
        let rows = text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        rows.map(|row| (row[question].to_owned(), row[document].to_owned())).collect()
    };
    let reference = table(root().join("tests/fixtures/genderbias_qa_top1.csv"), 0, 1);
    assert_eq!(reference.len(), 172);
    assert_eq!(table(scratch.path("out/outcomes.csv"), 5, 7), reference);
}

#[test]
fn retrieval_metrics_are_those_of_sentence_transformers_and_pytrec_eval() {
    let Some(data) = data("nDCG, recall, MRR and MAP against pytrec_eval") else { return };
    // scripts/reference/retrieval_metrics.py sets
    let fixture = fs_err::read_to_string(root().join("tests/fixtures/retrieval_metrics.json")).unwrap();
    let reference: Value = serde_json::from_str(&fixture).unwrap();
    let workspace = Workspace::from_env().unwrap();
    let minilm = workspace.models().embedder("minilm", &Silent).unwrap();
    let minilm: Arc<dyn Embedder> = Arc::new(StoredEmbedder::new(minilm, workspace.store().unwrap()));
    for (set, expected) in reference.as_object().unwrap() {
        let folder = data.join(set);
        let args = ["evaluate", "--embedder", "minilm", "--corpus", folder.to_str().unwrap()];
        let evaluated = json(&mut program(), &args);
        assert_eq!(evaluated["documents"], expected["documents"], "{set}");
        assert_eq!(evaluated["queries"], expected["queries"], "{set}");
        for (metric, mean) in expected["mean"].as_object().unwrap() {
            let (value, mean) = (share(&evaluated, metric), mean.as_f64().unwrap());
            eprintln!("{set} {metric}: {value:.6}, reference {mean:.6}");
            assert!((value - mean).abs() < 1e-6, "{set}, {metric}: {value}, reference {mean}");
        }
        let collection = TestCollection::load(folder.to_str().unwrap(), None, None, &Silent).unwrap();
        let embedded = collection.embed(Arc::clone(&minilm), Arc::new(Exact), &workspace).unwrap();
        let evaluation = collection.evaluate(&embedded).unwrap();
        for (question, metrics) in &evaluation.per_question {
            for (metric, value) in [("ndcg@10", metrics.ndcg10), ("map", metrics.map)] {
                let reference = expected[metric][question].as_f64().unwrap();
                assert!(
                    (value - reference).abs() < 1e-6,
                    "{set}, {question}, {metric}: {value}, reference {reference}"
                );
            }
        }
    }
}

#[test]
fn the_lexicon_reads_published_passages() {
    let Some(data) = data("the lexicon on GenderBias-QA and GAP") else { return };
    let scratch = Scratch::new();
    let score =
        |input: &str| scratch.json(&["score", "--axis", "gender", "--scorer", "lexicon", "--input", input]);
    let agreement = score(data.join("genderbias-qa/train.csv").to_str().unwrap());
    assert_eq!(agreement["n"], 688);
    assert!(share(&agreement, "accuracy") * share(&agreement, "coverage") >= 0.998, "{agreement}");
    let snippets: Vec<String> = fs_err::read_to_string(data.join("gap/corpus.jsonl"))
        .unwrap()
        .lines()
        .map(|line| {
            let mut document: Value = serde_json::from_str(line).unwrap();
            let lean = if document["metadata"]["gender"] == "female" { 1 } else { -1 };
            document["metadata"] = json!({ "lean": lean });
            document.to_string()
        })
        .collect();
    let agreement = score(&scratch.write("gap.jsonl", snippets.join("\n")));
    assert_eq!(agreement["n"], 4454);
    assert!(share(&agreement, "accuracy") * share(&agreement, "coverage") >= 0.905, "{agreement}");
}

#[test]
fn the_politics_scorer_reads_claims_of_another_source() {
    let Some(data) = data("the politics scorer on TwinViews") else { return };
    let pairs = data.join("twinviews/pairs.csv");
    let agreement = json(
        &mut program(),
        &["score", "--axis", "politics", "--scorer", "classifier", "--input", pairs.to_str().unwrap()],
    );
    assert_eq!(agreement["n"], 13_404);
    assert!(share(&agreement, "accuracy") >= 0.80 && agreement["coverage"] == 1.0, "{agreement}");
}

#[test]
fn the_graph_finds_the_ten_nearest_of_gap_and_perspectrum() {
    let Some(data) = data("recall of HNSW on GAP and Perspectrum") else { return };
    let texts: Vec<String> = ["gap", "perspectrum"]
        .iter()
        .flat_map(|set| {
            let corpus = read_corpus(&data.join(set).join("corpus.jsonl"), None, &Silent).unwrap();
            corpus.documents().iter().map(Document::full_text).collect::<Vec<_>>()
        })
        .collect();
    let minilm = Models::from_env().unwrap().embedder("minilm", &Silent).unwrap();
    let store = Store::open(&Store::default_path().unwrap()).unwrap();
    let minilm = StoredEmbedder::new(minilm.as_ref(), &store);
    let embed = |texts: &[String]| {
        let batches = texts.chunks(256).map(|batch| {
            let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
            minilm.embed(&batch, Role::Document).unwrap()
        });
        Embeddings::concatenated(batches.collect()).unwrap()
    };
    let documents = embed(&texts);
    // Every 15th text is a query.
    let questions = embed(&texts.iter().step_by(15).cloned().collect::<Vec<_>>());
    let exact = ExactIndex::new(documents.clone()).unwrap().search(&questions, 10).unwrap();
    let graph = HnswIndex::build(documents, HnswConfig::default()).unwrap().search(&questions, 10).unwrap();
    // A neighbour as close as the tenth is as good: duplicates are common among short claims.
    let found: usize = (exact.iter().zip(&graph))
        .map(|(exact, graph)| {
            let tenth = exact.last().unwrap().score;
            graph.iter().filter(|hit: &&Hit| hit.score >= tenth - 1e-6).count()
        })
        .sum();
    let recall = found as f64 / (10 * exact.len()) as f64;
    eprintln!("recall@10 {recall:.4} over {} questions and {} documents", questions.len(), texts.len());
    assert!(recall >= 0.99, "recall@10 {recall}");
}
