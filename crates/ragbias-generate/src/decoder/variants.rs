//! Small models with every key and tensor that changes a logit, beside llama.cpp's logits of the same files.

use std::collections::BTreeMap;

use super::*;
use crate::testing::{VOCABULARY, loaded, variants};

/// `scripts/reference/gguf_variants.py` made them.
const REFERENCE: &str = include_str!("variants.json");

fn tokens() -> Vec<u32> {
    (0..41).map(|i| (i * 31 + i * i * 7 + 3) % VOCABULARY).collect()
}

fn logits(decoder: &Decoder) -> Vec<f32> {
    let (mut state, tokens) = (decoder.start(), tokens());
    decoder.read(vec![Span { state: &mut state, tokens: &tokens, logits: true }]).remove(0)
}

#[test]
fn logits_are_those_of_llama_cpp_whatever_a_file_says_of_its_model() {
    let reference: BTreeMap<String, Vec<f32>> = serde_json::from_str(REFERENCE).unwrap();
    let variants = variants();
    assert_eq!(reference.len(), variants.len());
    for (name, model) in variants {
        let ours = logits(&loaded(&model.bytes()).unwrap());
        let theirs = &reference[name];
        let apart = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(ours.len() == theirs.len() && apart < 1e-3, "{name}: {apart}");
        // Steps by one token take another way through the same weights.
        let decoder = loaded(&model.bytes()).unwrap();
        let mut state = decoder.start();
        let mut stepped = Vec::new();
        for token in tokens().chunks(1) {
            stepped = decoder.step(&mut [Span { state: &mut state, tokens: token, logits: true }]).remove(0);
        }
        assert!(stepped.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-3), "{name}, in steps");
    }
}

#[test]
fn every_variant_but_those_that_say_the_same_has_logits_of_its_own() {
    let reference: BTreeMap<String, Vec<f32>> = serde_json::from_str(REFERENCE).unwrap();
    let same = |a: &str, b: &str| reference[a] == reference[b];
    assert!(same("llama", "llama-factor-of-type-none"));
    for (name, logits) in &reference {
        let plain = &reference[if name.starts_with("gemma3") { "gemma3" } else { "llama" }];
        let apart = logits.iter().zip(plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let differs = !matches!(name.as_str(), "llama" | "gemma3" | "llama-factor-of-type-none");
        assert_eq!(apart > 1e-2, differs, "{name}: {apart}");
    }
}

/// Writes the files for the script, into the folder that `RAGBIAS_VARIANTS` names.
#[test]
#[ignore = "writes files for scripts/reference/gguf_variants.py"]
fn write_the_variants() {
    let folder = std::path::PathBuf::from(std::env::var_os("RAGBIAS_VARIANTS").expect("RAGBIAS_VARIANTS"));
    fs_err::create_dir_all(&folder).unwrap();
    for (name, model) in variants() {
        let model = model.with_key(
            "tokenizer.ggml.model",
            candle_core::quantized::gguf_file::Value::String("no_vocab".into()),
        );
        fs_err::write(folder.join(name).with_extension("gguf"), model.bytes()).unwrap();
    }
}
