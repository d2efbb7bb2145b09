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

use crate::architecture::{Architecture, Sizes};
use crate::decoder::Decoder;
use crate::file::GgufFile;

pub(crate) const VOCABULARY: u32 = 97;
const HIDDEN: usize = 64;
const LAYERS: u32 = 6;
const HEADS: u32 = 4;
const KEY_HEADS: u32 = 2;
const WIDTH: usize = 32;
const INNER: usize = 96;

/// Uniform in [−1, 1).
pub(crate) fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random::<f32>() * 2.0 - 1.0).collect()
}

pub(crate) fn numbers(numbers: impl Iterator<Item = f32>) -> Vec<f32> {
    numbers.collect()
}

/// A GGUF file of either family without a tokenizer, with its matrices in `format`.
pub(crate) fn gguf(architecture: Architecture, format: GgmlDType) -> Vec<u8> {
    build(architecture, format, None)
}

/// The same in f32, with one key changed.
pub(crate) fn gguf_with(architecture: Architecture, key: &str, value: Value) -> Vec<u8> {
    build(architecture, GgmlDType::F32, Some((key.to_owned(), value)))
}

fn build(architecture: Architecture, format: GgmlDType, change: Option<(String, Value)>) -> Vec<u8> {
    let name = architecture.name();
    let gemma = architecture == Architecture::Gemma3;
    let mut numbers = vec![
        ("context_length", 512),
        ("embedding_length", HIDDEN as u32),
        ("block_count", LAYERS),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", KEY_HEADS),
        ("feed_forward_length", INNER as u32),
    ];
    if gemma {
        numbers.extend([("attention.key_length", WIDTH as u32), ("attention.sliding_window", 5)]);
    } else {
        numbers.push(("rope.dimension_count", (HIDDEN / HEADS as usize) as u32));
    }
    let mut metadata = vec![
        ("general.architecture".to_owned(), Value::String(name.into())),
        (format!("{name}.attention.layer_norm_rms_epsilon"), Value::F32(1e-5)),
    ];
    metadata.extend(numbers.into_iter().map(|(key, n)| (format!("{name}.{key}"), Value::U32(n))));
    if let Some((key, value)) = change {
        metadata.retain(|(known, _)| *known != key);
        metadata.push((key, value));
    }

    let width = if gemma { WIDTH } else { HIDDEN / HEADS as usize };
    let (queries, keys) = (HEADS as usize * width, KEY_HEADS as usize * width);
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize]| {
        let count = shape.iter().product();
        let seed = tensors.len() as u64;
        // Norms are close to one, and matrices preserve the scale of their inputs.
        let (values, format) = if let [_, width] = *shape {
            (random(count, seed).iter().map(|x| x * (3.0 / width as f32).sqrt()).collect(), format)
        } else {
            (random(count, seed).iter().map(|x| 1.0 + x / 4.0).collect::<Vec<f32>>(), GgmlDType::F32)
        };
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
        tensors.push((name, QTensor::quantize(&tensor, format).unwrap()));
    };
    add("token_embd.weight".into(), &[VOCABULARY as usize, HIDDEN]);
    add("output_norm.weight".into(), &[HIDDEN]);
    for layer in 0..LAYERS {
        let mut add = |part: &str, shape: &[usize]| add(format!("blk.{layer}.{part}.weight"), shape);
        add("attn_norm", &[HIDDEN]);
        add("attn_q", &[queries, HIDDEN]);
        add("attn_k", &[keys, HIDDEN]);
        add("attn_v", &[keys, HIDDEN]);
        add("attn_output", &[HIDDEN, queries]);
        add("ffn_norm", &[HIDDEN]);
        add("ffn_gate", &[INNER, HIDDEN]);
        add("ffn_up", &[INNER, HIDDEN]);
        add("ffn_down", &[HIDDEN, INNER]);
        if gemma {
            add("attn_q_norm", &[width]);
            add("attn_k_norm", &[width]);
            add("post_attention_norm", &[HIDDEN]);
            add("post_ffw_norm", &[HIDDEN]);
        }
    }
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let mut file = Cursor::new(Vec::new());
    gguf_file::write(&mut file, &metadata, &tensors).unwrap();
    file.into_inner()
}

/// The model of such a file.
pub(crate) fn decoder(architecture: Architecture, format: GgmlDType) -> Decoder {
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
        _ if name == "rope_freqs.weight" => x * 3.0 + 4.0,
        _ => x / 4.0 + 1.0,
    };
    (0..shape.iter().product()).map(|i| sized(uniform(i))).collect()
}

/// A GGUF file with tensors in f32.
pub(crate) fn write_gguf(
    keys: &BTreeMap<String, Value>,
    tensors: impl IntoIterator<Item = (String, Vec<usize>, Vec<f32>)>,
) -> Vec<u8> {
    let tensors: Vec<_> = tensors
        .into_iter()
        .map(|(name, shape, values)| {
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
            (name, QTensor::quantize(&tensor, GgmlDType::F32).unwrap())
        })
        .collect();
    let keys: Vec<_> = keys.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let mut file = Cursor::new(Vec::new());
    gguf_file::write(&mut file, &keys, &tensors).unwrap();
    file.into_inner()
}
