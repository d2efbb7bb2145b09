//! Small models with random weights, and the transformer once more as plain loops.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::io::Cursor;
use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Result;
use crate::decoder::{Architecture, Decoder};
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

/// A model file in the making.
pub(crate) struct Model {
    architecture: Architecture,
    metadata: Vec<(String, Value)>,
    tensors: Vec<(String, QTensor)>,
}

impl Model {
    /// A model of either family without a tokenizer, its matrices in `format`, its heads `width` wide.
    pub(crate) fn new(architecture: Architecture, format: GgmlDType, width: usize) -> Self {
        let gemma = architecture == Architecture::Gemma3;
        let mut model = Self { architecture, metadata: Vec::new(), tensors: Vec::new() };
        model.metadata.push(("general.architecture".into(), Value::String(architecture.name().into())));
        for (key, number) in [
            ("embedding_length", HIDDEN as u32),
            ("block_count", LAYERS),
            ("attention.head_count", HEADS),
            ("attention.head_count_kv", KEY_HEADS),
            ("attention.key_length", width as u32),
            ("attention.value_length", width as u32),
            ("rope.dimension_count", width as u32),
            ("feed_forward_length", INNER as u32),
            ("context_length", 512),
            ("vocab_size", VOCABULARY),
        ] {
            model = model.with(key, Value::U32(number));
        }
        model = model.with("attention.layer_norm_rms_epsilon", Value::F32(1e-5));
        if gemma {
            model = model.with("attention.sliding_window", Value::U32(5));
        }
        let (queries, keys) = (HEADS as usize * width, KEY_HEADS as usize * width);
        let mut add = |name: String, shape: &[usize]| {
            let (count, seed) = (shape.iter().product(), model.tensors.len() as u64);
            // Norms are near one, matrices keep the size of what goes through them.
            let (values, format) = if let [_, width] = *shape {
                (random(count, seed).iter().map(|x| x * (3.0 / width as f32).sqrt()).collect(), format)
            } else {
                (random(count, seed).iter().map(|x| 1.0 + x / 4.0).collect::<Vec<f32>>(), GgmlDType::F32)
            };
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
            model.tensors.push((name, QTensor::quantize(&tensor, format).unwrap()));
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
        model
    }

    /// With a key of the architecture.
    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        let key = format!("{}.{key}", self.architecture.name());
        self.metadata.retain(|(other, _)| *other != key);
        self.metadata.push((key, value));
        self
    }

    /// With a key of any name.
    pub(crate) fn with_key(mut self, key: &str, value: Value) -> Self {
        self.metadata.push((key.into(), value));
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        let key = format!("{}.{key}", self.architecture.name());
        self.metadata.retain(|(other, _)| *other != key);
        self
    }

    /// With one more tensor, in f32.
    pub(crate) fn with_tensor(mut self, name: &str, shape: &[usize], values: Vec<f32>) -> Self {
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
        self.tensors.push((name.into(), QTensor::quantize(&tensor, GgmlDType::F32).unwrap()));
        self
    }

    /// With random biases in every layer.
    fn with_biases(mut self, parts: &[(&str, usize)]) -> Self {
        for layer in 0..LAYERS {
            for (number, &(part, width)) in parts.iter().enumerate() {
                let values = random(width, 1000 + u64::from(layer) * 10 + number as u64);
                self = self.with_tensor(&format!("blk.{layer}.{part}.bias"), &[width], values);
            }
        }
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let metadata: Vec<_> = self.metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors: Vec<_> = self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut file = Cursor::new(Vec::new());
        gguf_file::write(&mut file, &metadata, &tensors).unwrap();
        file.into_inner()
    }
}

/// A GGUF file of either family without a tokenizer, its matrices in `format`.
pub(crate) fn gguf(architecture: Architecture, format: GgmlDType) -> Vec<u8> {
    let width = if architecture == Architecture::Gemma3 { WIDTH } else { HIDDEN / HEADS as usize };
    Model::new(architecture, format, width).bytes()
}

/// Small models in f32 of which each has a key or tensor that changes its logits.
pub(crate) fn variants() -> Vec<(&'static str, Model)> {
    let (f32, u32, text) = (Value::F32, Value::U32, |text: &str| Value::String(text.into()));
    let llama = || Model::new(Architecture::Llama, GgmlDType::F32, HIDDEN / HEADS as usize);
    let gemma = || Model::new(Architecture::Gemma3, GgmlDType::F32, WIDTH);
    let scaled = |model: Model, kind: &str| {
        model.with("rope.scaling.type", text(kind)).with("rope.scaling.factor", f32(4.0))
    };
    let yarn = || scaled(llama(), "yarn").with("rope.scaling.original_context_length", u32(64));
    let (queries, keys) = (HIDDEN, HIDDEN / HEADS as usize * KEY_HEADS as usize);
    let output = random(VOCABULARY as usize * HIDDEN, 77).iter().map(|x| x / 5.0).collect();
    vec![
        ("llama", llama()),
        ("llama-rope-base", llama().with("rope.freq_base", f32(500_000.0))),
        ("llama-linear", scaled(llama(), "linear")),
        ("llama-factor-without-type", llama().with("rope.scaling.factor", f32(4.0))),
        ("llama-scale-linear", llama().with("rope.scale_linear", f32(4.0))),
        ("llama-factor-of-type-none", scaled(llama(), "none")),
        ("llama-yarn", yarn()),
        ("llama-yarn-of-the-context", scaled(llama(), "yarn")),
        ("llama-yarn-attention", yarn().with("rope.scaling.attn_factor", f32(1.25))),
        (
            "llama-rope-freqs",
            llama().with_tensor("rope_freqs.weight", &[8], vec![1.0, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0, 8.0]),
        ),
        ("llama-wide-heads", Model::new(Architecture::Llama, GgmlDType::F32, WIDTH)),
        (
            "llama-attention-biases",
            llama().with_biases(&[
                ("attn_q", queries),
                ("attn_k", keys),
                ("attn_v", keys),
                ("attn_output", HIDDEN),
            ]),
        ),
        (
            "llama-mlp-biases",
            llama().with_biases(&[("ffn_gate", INNER), ("ffn_up", INNER), ("ffn_down", HIDDEN)]),
        ),
        ("llama-output", llama().with_tensor("output.weight", &[VOCABULARY as usize, HIDDEN], output)),
        ("gemma3", gemma()),
        ("gemma3-linear", scaled(gemma(), "linear")),
        ("gemma3-rope-base", gemma().with("rope.freq_base", f32(1_000_000.0))),
        ("gemma3-window", gemma().with("attention.sliding_window", u32(11))),
        ("gemma3-all-global", gemma().without("attention.sliding_window")),
        ("gemma3-logit-cap", gemma().with("final_logit_softcapping", f32(2.0))),
    ]
}

/// The model of such a file.
pub(crate) fn decoder(architecture: Architecture, format: GgmlDType) -> Decoder {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs_err::write(&path, gguf(architecture, format)).unwrap();
    load(&path)
}

fn load(path: &Path) -> Decoder {
    try_load(path).unwrap()
}

/// The weights of a file, of which every key and tensor must be known.
pub(crate) fn try_load(path: &Path) -> Result<Decoder> {
    let file = GgufFile::open(path)?;
    let architecture = Architecture::of(&file)?;
    let decoder = Decoder::load(architecture, &file)?;
    file.number(&format!("{}.context_length", architecture.name()))?;
    file.check_all_used(architecture.name())?;
    Ok(decoder)
}

/// What becomes of a file of these bytes.
pub(crate) fn loaded(bytes: &[u8]) -> Result<Decoder> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs_err::write(&path, bytes).unwrap();
    try_load(&path)
}
