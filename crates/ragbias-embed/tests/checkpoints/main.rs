//! Compares small checkpoint folders of every kind with sentence-transformers, and tests what is refused.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

mod damage;
mod damaged_seeds;
mod families;
mod files;
mod folder;
mod saved;
#[path = "../../../../tests/fuzz/src/checkpoint.rs"]
#[allow(dead_code, unreachable_pub, reason = "a fuzz target has it, too")]
mod seeds;

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::ArrayView1;
use ragbias_core::{ContentId, Embedder, Role};
use ragbias_embed::{TextEmbedder, TextEmbedderConfig};

use crate::folder::Variants;

fn load(folder: &Path) -> ragbias_embed::Result<TextEmbedder> {
    TextEmbedder::load(folder, &TextEmbedderConfig::default())
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

fn cosine(ours: ArrayView1<'_, f32>, expected: &[f64]) -> f64 {
    let dot: f64 = ours.iter().zip(expected).map(|(&x, y)| f64::from(x) * y).sum();
    dot / norm(ours.iter().map(|&x| x.into())) / norm(expected.iter().copied())
}

/// Compares the vectors of every variant that sentence-transformers reads: the number of variants, and what differs.
fn compare_vectors(variants: &Variants, least_cosine: f64, most_length: f64) -> (usize, Vec<String>) {
    let texts = variants.texts();
    let (mut compared, mut wrong) = (0, Vec::new());
    for (name, variant) in variants.iter() {
        let Some(documents) = &variant.documents else { continue };
        let folder = variants.make(name);
        let embedder = match load(folder.path()) {
            Ok(embedder) => embedder,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        assert_eq!(Some(embedder.similarity().name()), variant.similarity.as_deref(), "{name}");
        let questions = variant.questions.as_ref().unwrap_or(documents);
        for (role, expected) in [(Role::Document, documents), (Role::Question, questions)] {
            let ours = embedder.embed(&texts, role).unwrap();
            assert_eq!((ours.len(), ours.dim()), (5, expected[0].len()), "{name}");
            for (row, expected) in expected.iter().enumerate() {
                let cosine = cosine(ours.row(row), expected);
                let length = norm(ours.row(row).iter().map(|&x| x.into()));
                let is_unit = embedder.similarity().wants_unit_vectors();
                let its = if is_unit { 1.0 } else { norm(expected.iter().copied()) };
                if !(cosine >= least_cosine && (length - its).abs() < most_length * its) {
                    let differs = format!("the cosine {cosine}, and the length {length} for {its}");
                    wrong.push(format!("{name}: {role:?} {row} has {differs}"));
                }
            }
        }
        compared += 1;
    }
    (compared, wrong)
}

/// Checks the errors for what sentence-transformers refuses; the number of variants.
fn check_refusals(variants: &Variants) -> usize {
    let mut refused = 0;
    for (name, variant) in variants.iter() {
        let Some(reason) = &variant.refused else { continue };
        let folder = variants.make(name);
        let result = load(folder.path()).map_err(ragbias_core::Error::from);
        let result = result.and_then(|embedder| embedder.embed(&variants.texts(), Role::Document));
        let error = result.expect_err(&format!("{name}: sentence-transformers says {reason}")).to_string();
        assert!(
            error.contains(folder.path().to_str().unwrap()) || error.contains("text 3"),
            "{name}: {error}"
        );
        refused += 1;
    }
    refused
}

/// Checks that variants of one id have the same vectors; the number of ids.
fn check_ids(variants: &Variants) -> usize {
    let mut by_id: BTreeMap<ContentId, Vec<&str>> = BTreeMap::new();
    for (name, variant) in variants.iter() {
        if variant.documents.is_some() {
            by_id.entry(load(variants.make(name).path()).unwrap().id()).or_default().push(name);
        }
    }
    // If vectors are compared by cosine, only the direction matters; `variants.json` has four digits.
    let vectors = |name: &str| -> Vec<Vec<f64>> {
        let variant = variants.iter().find(|(other, _)| *other == name).unwrap().1;
        let documents = variant.documents.clone().unwrap();
        let questions = variant.questions.clone().unwrap_or_else(|| documents.clone());
        let is_cosine = variant.similarity.as_deref() == Some("cosine");
        let length = |row: &[f64]| if is_cosine { norm(row.iter().copied()) } else { 1.0 };
        let rows = documents.into_iter().chain(questions);
        rows.map(|row| row.iter().map(|x| x / length(&row)).collect()).collect()
    };
    for names in by_id.values() {
        for name in &names[1..] {
            let (a, b) = (vectors(name), vectors(names[0]));
            let differ = a.iter().flatten().zip(b.iter().flatten()).any(|(a, b)| (a - b).abs() > 1e-3);
            assert!(a.len() == b.len() && !differ, "{name} and {} have one id", names[0]);
        }
    }
    by_id.len()
}

/// `variants.json` is made by scripts/reference/checkpoints.py with sentence-transformers 6.2.0, torch 2.15.0, transformers
/// 5.24.0: pooling, modules, lengths, case, prompts, weights.
#[test]
fn vectors_of_every_variant_are_those_of_sentence_transformers() {
    let (compared, wrong) = compare_vectors(&Variants::read(), 0.9999, 1e-3);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= 75, "{compared} variants");
}

#[test]
fn what_sentence_transformers_refuses_is_refused_with_its_place() {
    let refused = check_refusals(&Variants::read());
    assert!(refused >= 9, "{refused} variants");
}

#[test]
fn variants_of_other_vectors_have_other_ids() {
    let ids = check_ids(&Variants::read());
    assert!(ids > 50, "{ids} ids");
}

#[test]
fn prompts_that_nobody_puts_before_a_text_are_noted() {
    let variants = Variants::read();
    let embedder = load(variants.make("prompts-other-names").path()).unwrap();
    assert!(embedder.notes()[0].contains("and not `corpus`, `passage`"), "{:?}", embedder.notes());
    assert!(load(variants.make("prompts").path()).unwrap().notes().is_empty());
}

#[test]
fn of_a_long_text_no_more_is_read_than_is_embedded() {
    let variants = Variants::read();
    for name in
        ["base", "cut-at-the-start", "xlm-roberta", "tokenizer-json-as-it-is", "prompts", "length-huge"]
    {
        let folder = variants.make(name);
        let embedder = load(folder.path()).unwrap();
        let words = |count: usize| "the council met, in the OLD hall and 1903 notes ".repeat(count);
        let (short, long) = (words(20), words(20_000));
        for role in [Role::Document, Role::Question] {
            let vectors = embedder.embed(&[&short, &long, &format!("{long} the mill")], role).unwrap();
            assert_eq!(vectors.row(0), vectors.row(1), "{name}");
            // This makes a difference only if the end of a text is kept.
            assert_eq!(vectors.row(1) == vectors.row(2), name != "cut-at-the-start", "{name}");
        }
        // A text this long is not tokenised completely.
        assert!(embedder.embed(&[&words(100_000)], Role::Document).is_ok(), "{name}");
        let error = embedder.embed(&[&"x".repeat(5_000_000)], Role::Document).unwrap_err().to_string();
        assert!(error.contains("has 5000000 bytes, of which 4 MiB hold fewer words"), "{name}: {error}");
    }
}
