//! Compares the encoder with sentence-transformers, on the real MiniLM and MPNet (downloaded if missing).
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::path::{Path, PathBuf};

use ragbias_core::{Embedder, Embeddings, Role, Silent};
use ragbias_embed::{PoolingMode, Prefixes, TextEmbedder, TextEmbedderConfig};
use ragbias_models::{ModelKind, ModelStore};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// 200 texts: documents and questions of the default corpora, and some that are difficult for tokenizers.
fn texts() -> Vec<String> {
    let lines = fs_err::read_to_string(fixture("texts.jsonl")).unwrap();
    let text =
        |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned();
    lines.lines().map(text).collect()
}

/// Made by scripts/reference/embeddings.py with sentence-transformers 6.2.0, torch 2.15.0: `(texts, dim)` float16.
fn reference(name: &str, dim: usize) -> Vec<Vec<f64>> {
    let bytes = fs_err::read(fixture(name)).unwrap();
    let values: Vec<f64> =
        bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f64()).collect();
    values.chunks_exact(dim).map(<[f64]>::to_vec).collect()
}

fn minilm() -> PathBuf {
    model("minilm")
}

fn model(name: &str) -> PathBuf {
    ModelStore::from_env().unwrap().resolve(name, ModelKind::Embedder, &Silent).unwrap()
}

fn cosine(a: &[f64], b: ndarray::ArrayView1<'_, f32>) -> f64 {
    let dot: f64 = a.iter().zip(b).map(|(x, &y)| x * f64::from(y)).sum();
    let norm = |squares: f64| squares.sqrt();
    dot / norm(a.iter().map(|x| x * x).sum()) / norm(b.iter().map(|&y| f64::from(y).powi(2)).sum())
}

fn assert_same_vectors(ours: &Embeddings, reference: &[Vec<f64>]) {
    assert_eq!((ours.len(), ours.dim()), (reference.len(), reference[0].len()));
    for (row, expected) in reference.iter().enumerate() {
        let cosine = cosine(expected, ours.row(row));
        assert!(cosine >= 0.99999, "text {row}: cosine {cosine}");
    }
}

#[test]
fn vectors_are_those_of_sentence_transformers() {
    let embedder = TextEmbedder::load(&minilm(), &TextEmbedderConfig::default()).unwrap();
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert_same_vectors(&embedder.embed(&texts, Role::Document).unwrap(), &reference("mean.f16", 384));
}

#[test]
#[ignore = "downloads 440 MB"]
fn vectors_of_mpnet_are_those_of_sentence_transformers() {
    let embedder = TextEmbedder::load(&model("mpnet"), &TextEmbedderConfig::default()).unwrap();
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).step_by(5).collect();
    assert_same_vectors(&embedder.embed(&texts, Role::Document).unwrap(), &reference("mpnet.f16", 768));
}

#[test]
fn cls_pooling_and_prefixes_give_the_vectors_of_sentence_transformers() {
    // The same weights in a checkpoint with first-token pooling.
    let folder = tempfile::tempdir().unwrap();
    for file in
        ["config.json", "model.safetensors", "tokenizer.json", "sentence_bert_config.json", "modules.json"]
    {
        std::os::unix::fs::symlink(minilm().join(file), folder.path().join(file)).unwrap();
    }
    fs_err::create_dir(folder.path().join("1_Pooling")).unwrap();
    let pooling = r#"{"word_embedding_dimension": 384, "pooling_mode_cls_token": true}"#;
    fs_err::write(folder.path().join("1_Pooling/config.json"), pooling).unwrap();
    let prefixes = Prefixes { question: "query: ".into(), document: String::new() };
    let settings = TextEmbedderConfig::default().prefixes(Some(prefixes));
    let embedder = TextEmbedder::load(folder.path(), &settings).unwrap();
    assert_eq!(embedder.config().pooling, PoolingMode::Cls.into());
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert_same_vectors(
        &embedder.embed(&texts, Role::Question).unwrap(),
        &reference("cls_with_prefix.f16", 384),
    );
}

#[test]
fn a_vector_does_not_depend_on_its_batch() {
    let embedder = TextEmbedder::load(&minilm(), &TextEmbedderConfig::default()).unwrap();
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).take(40).collect();
    let together = embedder.embed(&texts, Role::Document).unwrap();
    for (row, text) in texts.iter().enumerate() {
        let alone = embedder.embed(&[text], Role::Document).unwrap();
        for (a, b) in alone.row(0).iter().zip(together.row(row)) {
            assert!((a - b).abs() <= 1e-5, "text {row}: {a} alone, {b} in a batch");
        }
    }
}

#[test]
fn a_text_of_100_000_words_is_cut_and_not_refused() {
    let embedder = TextEmbedder::load(&minilm(), &TextEmbedderConfig::default()).unwrap();
    let long = "word and another ".repeat(33_334);
    let vectors = embedder.embed(&[&long], Role::Document).unwrap();
    assert_eq!(vectors.len(), 1);
    assert_eq!(embedder.tokenise(&[&long], Role::Document).unwrap()[0].len(), 256);
}

/// A copy of MiniLM with its weights file damaged by `damage`.
fn damaged(damage: impl FnOnce(&mut Vec<u8>)) -> String {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json"] {
        fs_err::copy(minilm().join(file), folder.path().join(file)).unwrap();
    }
    let mut bytes = fs_err::read(minilm().join("model.safetensors")).unwrap();
    damage(&mut bytes);
    fs_err::write(folder.path().join("model.safetensors"), bytes).unwrap();
    TextEmbedder::load(folder.path(), &TextEmbedderConfig::default()).unwrap_err().to_string()
}

#[test]
fn a_truncated_weights_file_is_refused_with_a_hint() {
    let error = damaged(|bytes| bytes.truncate(1_000_000));
    assert!(error.contains("model.safetensors: not a whole safetensors file"), "{error}");
    assert!(error.contains("hint: a truncated download"), "{error}");
}

#[test]
fn nan_in_the_weights_is_refused_with_its_tensor() {
    let error = damaged(|bytes| {
        // Tensors are aligned to 8 bytes; the middle of the file is within the word embeddings.
        let middle = bytes.len() / 16 * 8;
        bytes[middle..middle + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    assert!(error.contains("holds NaN at position"), "{error}");
}

#[test]
fn an_empty_batch_gives_no_vectors() {
    let embedder = TextEmbedder::load(&minilm(), &TextEmbedderConfig::default()).unwrap();
    assert!(embedder.embed(&[], Role::Question).unwrap().is_empty());
}
