use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::harness::root;

/// Dependencies of every crate, without dev-dependencies.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            (name(package), dependencies.filter(|d| d["kind"].is_null()).map(name).collect())
        })
        .collect()
}

#[test]
fn dependencies_between_crates_are_those_of_the_architecture() {
    let edges: BTreeMap<_, Vec<String>> = dependencies()
        .into_iter()
        .map(|(package, all)| (package, all.into_iter().filter(|name| name.starts_with("ragbias")).collect()))
        .collect();
    let parts = ["data", "embed", "generate", "index", "models", "score", "stats"];
    let mut expected: BTreeMap<_, Vec<String>> =
        parts.map(|part| (format!("ragbias-{part}"), vec!["ragbias-core".to_owned()])).into();
    for files in ["data", "embed", "generate", "index", "models"] {
        expected.entry(format!("ragbias-{files}")).or_default().push("ragbias-files".into());
    }
    for computes in ["embed", "generate", "index"] {
        expected.entry(format!("ragbias-{computes}")).or_default().push("ragbias-kernels".into());
    }
    for base in ["core", "files", "kernels"] {
        expected.insert(format!("ragbias-{base}"), vec![]);
    }
    // The one edge between siblings: what is tuned is an encoder.
    expected.insert(
        "ragbias-tune".into(),
        vec!["ragbias-core".into(), "ragbias-embed".into(), "ragbias-files".into()],
    );
    let all = ["core", "tune"].into_iter().chain(parts).map(|part| format!("ragbias-{part}"));
    let mut all: Vec<String> = all.collect();
    all.sort();
    expected.insert("ragbias".into(), all);
    expected.insert("ragbias-serve".into(), vec!["ragbias".into()]);
    expected.insert("ragbias-lab".into(), vec!["ragbias".into()]);
    expected.insert("ragbias-postgres".into(), vec!["ragbias-core".into()]);
    let faces = ["ragbias", "ragbias-lab", "ragbias-postgres", "ragbias-serve"].map(str::to_owned).to_vec();
    expected.insert("ragbias-cli".into(), faces);
    assert_eq!(edges, expected);
}

#[test]
fn each_heavy_dependency_has_one_home() {
    let all = dependencies();
    for (heavy, homes) in [
        ("polars", &["ragbias-data"][..]),
        ("parquet", &["ragbias-data"]),
        ("candle-core", &["ragbias-embed", "ragbias-generate", "ragbias-tune"]),
        ("candle-transformers", &["ragbias-generate"]),
        ("gemm", &["ragbias-kernels"]),
        ("memmap2", &["ragbias-files"]),
        ("hnsw_rs", &["ragbias-index"]),
        ("linfa-linear", &["ragbias-stats"]),
        ("linfa-logistic", &["ragbias-score"]),
        ("statrs", &["ragbias-stats"]),
        ("ureq", &["ragbias-generate", "ragbias-models"]),
        ("rusqlite", &["ragbias"]),
        ("postgres", &["ragbias-postgres"]),
        ("axum", &["ragbias-serve"]),
        ("tokio", &["ragbias-postgres", "ragbias-serve"]),
        ("clap", &["ragbias-cli"]),
        ("anyhow", &["ragbias-cli"]),
    ] {
        let found: Vec<&str> = all
            .iter()
            .filter(|(_, names)| names.contains(heavy))
            .map(|(package, _)| package.as_str())
            .collect();
        assert_eq!(found, homes, "{heavy}");
    }
}
