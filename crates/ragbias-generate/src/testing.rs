//! Small models with random weights, and a reference implementation of the transformer with plain loops.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use serde::Deserialize;

use crate::architecture::{Architecture, Sizes};
use crate::decoder::Decoder;
use crate::file::GgufFile;

pub(crate) const VOCABULARY: u32 = 300;

/// The keys and tensors of a small model (`scripts/reference/gguf_variants.py`).
#[derive(Deserialize)]
pub(crate) struct Plain {
    pub(crate) layers: u32,
    keys: BTreeMap<String, serde_json::Value>,
    /// Shapes of the tensors outside the layers, and of those of each layer.
    tensors: BTreeMap<String, Vec<usize>>,
    parts: BTreeMap<String, Vec<usize>>,
}

impl Plain {
    pub(crate) fn of(architecture: &str) -> Self {
        #[derive(Deserialize)]
        struct Fixture {
            families: BTreeMap<String, Plain>,
        }
        let fixture: Fixture =
            serde_json::from_str(include_str!("decoder/fixtures/gguf_variants.json")).unwrap();
        fixture.families.into_iter().find(|(name, _)| name == architecture).unwrap().1
    }

    pub(crate) fn keys(&self, architecture: &str, layers: u32) -> BTreeMap<String, Value> {
        let mut keys: BTreeMap<String, Value> =
            self.keys.iter().map(|(key, value)| (key.clone(), value_of(value))).collect();
        keys.insert("general.architecture".into(), Value::String(architecture.into()));
        keys.insert(format!("{architecture}.block_count"), Value::U32(layers));
        keys
    }

    pub(crate) fn tensors(&self, layers: u32) -> BTreeMap<String, Vec<usize>> {
        let parts = (0..layers).flat_map(|layer| {
            self.parts.iter().map(move |(part, shape)| (format!("blk.{layer}.{part}"), shape.clone()))
        });
        self.tensors.clone().into_iter().chain(parts).collect()
    }
}

/// The value of a GGUF file that is written as this in JSON.
pub(crate) fn value_of(value: &serde_json::Value) -> Value {
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

/// Uniform in [−1, 1).
pub(crate) fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random::<f32>() * 2.0 - 1.0).collect()
}

pub(crate) fn numbers(numbers: impl Iterator<Item = f32>) -> Vec<f32> {
    numbers.collect()
}

/// The largest difference, relative to the largest logit.
pub(crate) fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0.0_f32, |largest, b| largest.max(b.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

/// A GGUF file of an architecture without a tokenizer, with its matrices in `format`.
pub(crate) fn gguf(architecture: &str, format: GgmlDType) -> Vec<u8> {
    build(architecture, format, None)
}

/// The same in f32, with one key changed.
pub(crate) fn gguf_with(architecture: &str, key: &str, value: Value) -> Vec<u8> {
    build(architecture, GgmlDType::F32, Some((key, value)))
}

fn build(architecture: &str, format: GgmlDType, change: Option<(&str, Value)>) -> Vec<u8> {
    let plain = Plain::of(architecture);
    let mut keys = plain.keys(architecture, plain.layers);
    keys.extend(change.map(|(key, value)| (key.to_owned(), value)));
    let tensors = plain.tensors(plain.layers).into_iter().map(|(name, shape)| {
        let values = named_weights(&name, &shape);
        (name, shape, values)
    });
    write_in(&keys, tensors, format)
}

/// The model of such a file.
pub(crate) fn decoder(architecture: &str, format: GgmlDType) -> Decoder {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs_err::write(&path, gguf(architecture, format)).unwrap();
    load(&path)
}

pub(crate) fn load(path: &Path) -> Decoder {
    let file = GgufFile::open(path).unwrap();
    let architecture = Architecture::of(&file).unwrap();
    Decoder::load(architecture, Sizes::read(architecture, &file).unwrap(), &file).unwrap()
}

/// The weights of a tensor in `scripts/reference/gguf_variants.py`, computed from its name and shape.
pub(crate) fn named_weights(name: &str, shape: &[usize]) -> Vec<f32> {
    let seed =
        name.bytes().fold(2_166_136_261_u32, |seed, byte| (seed ^ u32::from(byte)).wrapping_mul(16_777_619));
    let uniform = |i: usize| {
        let mut x = (i as u32).wrapping_mul(0x9E37_79B9).wrapping_add(seed);
        x = (x ^ x >> 16).wrapping_mul(0x7FEB_352D);
        x = (x ^ x >> 15).wrapping_mul(0x846C_A68B);
        x ^= x >> 16;
        (x >> 8) as f32 / 8_388_608.0 - 1.0
    };
    let sized = |x: f32| match *shape {
        [_, width] => x * (3.0 / width as f32).sqrt(),
        _ if name.rsplit_once('.').is_some_and(|(_, kind)| kind == "bias") => x / 2.0,
        _ if name.starts_with("rope_") => x * 3.0 + 4.0,
        _ => x / 4.0 + 1.0,
    };
    (0..shape.iter().product()).map(|i| sized(uniform(i))).collect()
}

/// A GGUF file with tensors in f32.
pub(crate) fn write_gguf(
    keys: &BTreeMap<String, Value>,
    tensors: impl IntoIterator<Item = (String, Vec<usize>, Vec<f32>)>,
) -> Vec<u8> {
    write_in(keys, tensors, GgmlDType::F32)
}

/// The same with matrices in `format`.
fn write_in(
    keys: &BTreeMap<String, Value>,
    tensors: impl IntoIterator<Item = (String, Vec<usize>, Vec<f32>)>,
    format: GgmlDType,
) -> Vec<u8> {
    let tensors: Vec<_> = tensors
        .into_iter()
        .map(|(name, shape, values)| {
            let format = if shape.len() == 2 { format } else { GgmlDType::F32 };
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
            (name, QTensor::quantize(&tensor, format).unwrap())
        })
        .collect();
    let keys: Vec<_> = keys.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let mut file = Cursor::new(Vec::new());
    gguf_file::write(&mut file, &keys, &tensors).unwrap();
    file.into_inner()
}

/// A small model with one change that affects its logits, and the logits of llama.cpp (`scripts/reference/gguf_variants.py`).
#[derive(Deserialize)]
pub(crate) struct Variant {
    pub(crate) name: String,
    pub(crate) architecture: String,
    layers: u32,
    /// The changed keys and tensors; null removes one.
    keys: BTreeMap<String, Option<serde_json::Value>>,
    tensors: BTreeMap<String, Option<Vec<usize>>>,
    /// Of all logits.
    pub(crate) norm: f64,
    /// Every tenth logit.
    pub(crate) logits: Vec<f64>,
}

impl Variant {
    pub(crate) fn all() -> Vec<Self> {
        #[derive(Deserialize)]
        struct Fixture {
            variants: Vec<Variant>,
        }
        let fixture: Fixture =
            serde_json::from_str(include_str!("decoder/fixtures/gguf_variants.json")).unwrap();
        fixture.variants
    }

    fn keys(&self) -> BTreeMap<String, Value> {
        let mut keys = Plain::of(&self.architecture).keys(&self.architecture, self.layers);
        for (key, value) in &self.keys {
            match value {
                Some(value) => keys.insert(key.clone(), value_of(value)),
                None => keys.remove(key),
            };
        }
        keys
    }

    fn tensors(&self) -> BTreeMap<String, Vec<usize>> {
        let mut tensors = Plain::of(&self.architecture).tensors(self.layers);
        for (name, shape) in &self.tensors {
            match shape {
                Some(shape) => tensors.insert(name.clone(), shape.clone()),
                None => tensors.remove(name),
            };
        }
        tensors
    }

    /// Its decoder.
    pub(crate) fn decoder(&self) -> Decoder {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        let tensors = self.tensors().into_iter().map(|(name, shape)| {
            let values = named_weights(&name, &shape);
            (name, shape, values)
        });
        fs_err::write(&path, write_gguf(&self.keys(), tensors)).unwrap();
        load(&path)
    }

    /// The tokens after which the reference has its logits.
    pub(crate) fn tokens() -> Vec<u32> {
        (0..60).map(|i| (i * 31 + i * i * 7 + 3) % VOCABULARY).collect()
    }
}
