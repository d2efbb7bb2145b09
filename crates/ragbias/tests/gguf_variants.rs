//! The default GGUF files with other keys and tensors: choices compared with llama.cpp in float32
//! (`scripts/reference/gguf_defaults.py`).
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::collections::BTreeMap;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use ragbias::Models;
use ragbias::core::{Choice, ChoicePrompt, GenerateAll, Silent};
use ragbias::generate::{GenerateConfig, Gguf};
use ragbias::models::ModelKind;
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    claims: Vec<Claims>,
    variants: Vec<Variant>,
}

#[derive(Deserialize)]
struct Claims {
    prompt: String,
    negative: String,
    positive: String,
}

#[derive(Deserialize)]
struct Variant {
    model: String,
    name: String,
    keys: BTreeMap<String, serde_json::Value>,
    tensors: BTreeMap<String, Vec<f32>>,
    choices: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    log_odds: f64,
    position_bias: f64,
}

impl Expected {
    fn distance(&self, choice: Choice) -> f64 {
        (choice.log_odds - self.log_odds).abs().max((choice.position_bias - self.position_bias).abs())
    }
}

/// Tolerance of log-odds, in nats: llama.cpp looks Gemma's GELU up in a table of 16-bit floats.
fn tolerance(model: &str) -> f64 {
    if model.starts_with("gemma") { 0.02 } else { 0.002 }
}

/// The model's GGUF file.
fn file(model: &str) -> PathBuf {
    Models::from_env().unwrap().store().resolve(model, ModelKind::Llm, &Silent).unwrap()
}

impl Variant {
    /// The model's file with this variant's keys and tensors.
    fn write(&self, path: &Path) {
        let mut source = fs_err::File::open(file(&self.model)).unwrap();
        let content = gguf_file::Content::read(&mut source).unwrap();
        let mut keys = content.metadata.clone();
        keys.extend(self.keys.iter().map(|(key, value)| (key.clone(), value_of(value))));
        let own = |name: &String| (name.clone(), content.tensor(&mut source, name, &Device::Cpu).unwrap());
        let mut tensors: Vec<(String, QTensor)> = content.tensor_infos.keys().map(own).collect();
        tensors.extend(self.tensors.iter().map(|(name, values)| {
            let tensor = Tensor::new(values.as_slice(), &Device::Cpu).unwrap();
            (name.clone(), QTensor::quantize(&tensor, GgmlDType::F32).unwrap())
        }));
        let keys: Vec<_> = keys.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut out = BufWriter::new(fs_err::File::create(path).unwrap());
        gguf_file::write(&mut out, &keys, &tensors).unwrap();
    }

    /// The choices of the model with this variant's keys and tensors.
    fn choices(&self, claims: &[Claims]) -> Vec<Choice> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        self.write(&path);
        let llm = Gguf::load(&path, &GenerateConfig::default()).unwrap();
        let prompts: Vec<ChoicePrompt<'_>> = claims
            .iter()
            .map(|c| ChoicePrompt {
                prompt: (&c.prompt).into(),
                negative: &c.negative,
                positive: &c.positive,
            })
            .collect();
        llm.choose_all(&prompts).unwrap().iter().map(|chosen| *chosen.choice().unwrap()).collect()
    }
}

fn value_of(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::String(text) => Value::String(text.clone()),
        number if number.is_u64() => Value::U32(number.as_u64().unwrap().try_into().unwrap()),
        number => Value::F32(number.as_f64().unwrap() as f32),
    }
}

#[test]
fn choices_of_the_default_files_with_other_keys_are_those_of_llama_cpp() {
    let reference: Reference = serde_json::from_str(include_str!("fixtures/gguf_defaults.json")).unwrap();
    assert!(reference.variants.len() > 10);
    let plain =
        |model: &str| reference.variants.iter().find(|v| v.model == model && v.name == "as it is").unwrap();
    for variant in &reference.variants {
        let choices = variant.choices(&reference.claims);
        let furthest = |expected: &[Expected]| {
            expected.iter().zip(&choices).map(|(e, &c)| e.distance(c)).fold(0.0, f64::max)
        };
        let distance = furthest(&variant.choices);
        println!("{}, {}: {distance:.1e}", variant.model, variant.name);
        assert!(distance < tolerance(&variant.model), "{}, {}: {distance}", variant.model, variant.name);
        if variant.name != "as it is" {
            let effect = furthest(&plain(&variant.model).choices);
            assert!(effect > 5.0 * tolerance(&variant.model), "{}: {effect}", variant.name);
        }
    }
}
