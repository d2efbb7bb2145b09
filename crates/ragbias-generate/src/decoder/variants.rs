//! Compares logits of small models, each with one change that affects them, with llama.cpp's
//! (`scripts/reference/gguf_variants.py`).

use std::collections::BTreeMap;

use candle_core::quantized::gguf_file::Value;
use serde::Deserialize;

use super::Span;
use crate::testing::{load, named_weights, write_gguf};

#[derive(Deserialize)]
struct Variant {
    name: String,
    architecture: String,
    layers: u32,
    /// The changed keys and tensors; null removes one.
    keys: BTreeMap<String, Option<serde_json::Value>>,
    tensors: BTreeMap<String, Option<Vec<usize>>>,
    norm: f64,
    /// Every tenth logit.
    logits: Vec<f64>,
}

const HIDDEN: usize = 64;
const INNER: usize = 96;
const HEADS: usize = 4;
const KEY_HEADS: usize = 2;
const VOCABULARY: usize = 300;
const TOKENS: u32 = 60;

impl Variant {
    fn all() -> Vec<Self> {
        serde_json::from_str(include_str!("fixtures/gguf_variants.json")).unwrap()
    }

    fn gemma(&self) -> bool {
        self.architecture == "gemma3"
    }

    /// Tolerance for logits of size 1. llama.cpp looks GELU up in a table of 16-bit
    /// floats, which changes Gemma's logits.
    fn tolerance(&self) -> f64 {
        if self.gemma() { 5e-3 } else { 1e-4 }
    }

    fn width(&self) -> usize {
        if self.gemma() { 32 } else { HIDDEN / HEADS }
    }

    fn keys(&self) -> BTreeMap<String, Value> {
        let name = &self.architecture;
        let width = self.width() as u32;
        let mut numbers = vec![
            ("context_length", 512),
            ("embedding_length", HIDDEN as u32),
            ("block_count", self.layers),
            ("feed_forward_length", INNER as u32),
            ("attention.head_count", HEADS as u32),
            ("attention.head_count_kv", KEY_HEADS as u32),
        ];
        if self.gemma() {
            numbers.extend([
                ("attention.key_length", width),
                ("attention.value_length", width),
                ("attention.sliding_window", 9),
            ]);
        } else {
            numbers.push(("rope.dimension_count", width));
        }
        let base = if self.gemma() { 1_000_000.0 } else { 10_000.0 };
        let mut keys: BTreeMap<String, Value> =
            numbers.into_iter().map(|(key, number)| (format!("{name}.{key}"), Value::U32(number))).collect();
        keys.insert(format!("{name}.rope.freq_base"), Value::F32(base));
        keys.insert(format!("{name}.attention.layer_norm_rms_epsilon"), Value::F32(1e-5));
        keys.insert("general.architecture".into(), Value::String(name.clone()));
        for (key, value) in &self.keys {
            match value {
                Some(value) => keys.insert(key.clone(), value_of(value)),
                None => keys.remove(key),
            };
        }
        keys
    }

    fn tensors(&self) -> BTreeMap<String, Vec<usize>> {
        let width = self.width();
        let mut tensors = BTreeMap::from([
            ("token_embd.weight".to_owned(), vec![VOCABULARY, HIDDEN]),
            ("output_norm.weight".to_owned(), vec![HIDDEN]),
        ]);
        for layer in 0..self.layers {
            let mut add = |part: &str, shape: &[usize]| {
                tensors.insert(format!("blk.{layer}.{part}.weight"), shape.to_vec())
            };
            add("attn_norm", &[HIDDEN]);
            add("attn_q", &[HEADS * width, HIDDEN]);
            add("attn_k", &[KEY_HEADS * width, HIDDEN]);
            add("attn_v", &[KEY_HEADS * width, HIDDEN]);
            add("attn_output", &[HIDDEN, HEADS * width]);
            add("ffn_norm", &[HIDDEN]);
            add("ffn_gate", &[INNER, HIDDEN]);
            add("ffn_up", &[INNER, HIDDEN]);
            add("ffn_down", &[HIDDEN, INNER]);
            if self.gemma() {
                add("attn_q_norm", &[width]);
                add("attn_k_norm", &[width]);
                add("post_attention_norm", &[HIDDEN]);
                add("post_ffw_norm", &[HIDDEN]);
            }
        }
        for (name, shape) in &self.tensors {
            match shape {
                Some(shape) => tensors.insert(name.clone(), shape.clone()),
                None => tensors.remove(name),
            };
        }
        tensors
    }

    /// The logits after the reference's tokens, either all prefilled, or the last of them decoded one by one.
    fn logits(&self, steps: usize) -> Vec<f32> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        let tensors = self.tensors().into_iter().map(|(name, shape)| {
            let values = named_weights(&name, &shape);
            (name, shape, values)
        });
        fs_err::write(&path, write_gguf(&self.keys(), tensors)).unwrap();
        let decoder = load(&path);
        let tokens: Vec<u32> = (0..TOKENS).map(|i| (i * 31 + i * i * 7 + 3) % VOCABULARY as u32).collect();
        let (prompt, rest) = tokens.split_at(tokens.len() - steps);
        let mut state = decoder.start();
        let mut logits =
            decoder.read(vec![Span { state: &mut state, tokens: prompt, logits: true }]).remove(0);
        for token in rest.chunks(1) {
            logits = decoder.step(&mut [Span { state: &mut state, tokens: token, logits: true }]).remove(0);
        }
        logits
    }

    fn furthest(&self, logits: &[f32]) -> f64 {
        let received = logits.iter().step_by(10).map(|&logit| f64::from(logit));
        let furthest = received.zip(&self.logits).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let norm = logits.iter().map(|&logit| f64::from(logit).powi(2)).sum::<f64>().sqrt();
        furthest.max((norm - self.norm).abs() / self.norm)
    }
}

fn value_of(value: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Bool(flag) => Value::Bool(*flag),
        Json::String(text) => Value::String(text.clone()),
        Json::Array(values) => Value::Array(values.iter().map(value_of).collect()),
        Json::Number(number) => match number.as_u64() {
            Some(number) => Value::U32(u32::try_from(number).unwrap()),
            None => Value::F32(number.as_f64().unwrap() as f32),
        },
        other => panic!("no value of a GGUF file: {other}"),
    }
}

#[test]
fn logits_of_every_variant_are_those_of_llama_cpp() {
    let variants = Variant::all();
    assert!(variants.len() > 40);
    for variant in variants {
        assert_eq!(variant.logits.len(), VOCABULARY / 10);
        for steps in [0, 3] {
            let distance = variant.furthest(&variant.logits(steps));
            println!("{}: {distance:.1e}", variant.name);
            assert!(distance < variant.tolerance(), "{}, {steps} steps: {distance}", variant.name);
        }
    }
}

/// Checks that every variant changes the logits by more than the tolerance above.
#[test]
fn variants_differ_from_the_plain_model_by_more_than_the_tolerance() {
    let variants = Variant::all();
    let plain = |variant: &Variant| {
        variants.iter().find(|plain| plain.name == variant.architecture).unwrap().logits.clone()
    };
    let same: Vec<&str> = variants
        .iter()
        .filter(|variant| {
            let distances = variant.logits.iter().zip(plain(variant)).map(|(a, b)| (a - b).abs());
            distances.fold(0.0, f64::max) < 10.0 * variant.tolerance()
        })
        .map(|variant| variant.name.as_str())
        .collect();
    let expected = ["llama", "no scaling", "no base", "no rotary width", "lists for layers", "gemma3"];
    assert_eq!(same, expected);
}
