//! Builds small checkpoint folders from `variants.json` and `families.json`, like scripts/reference/checkpoints.py.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ragbias_core::Role;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::Deserialize;

use crate::files::{Files, write, write_files};

/// `variants.json`, or a family of `families.json` or `families-next.json`.
#[derive(Deserialize)]
pub(crate) struct Variants {
    pub(crate) texts: Vec<String>,
    base: Variant,
    #[serde(rename = "variants")]
    by_name: BTreeMap<String, Variant>,
}

/// Files of a folder, or changes to those of the base; null removes one.
#[derive(Deserialize)]
pub(crate) struct Variant {
    files: Files,
    weights: BTreeMap<String, Option<Weights>>,
    /// PyTorch files, which are stored beside `variants.json`.
    #[serde(default)]
    torch: BTreeMap<String, String>,
    pub(crate) similarity: Option<String>,
    pub(crate) documents: Option<Vec<Vec<f64>>>,
    /// The questions' vectors, if they differ from the documents'.
    pub(crate) questions: Option<Vec<Vec<f64>>>,
    /// The token ids of the documents, if they are not those of the variant `base`.
    document_ids: Option<Vec<Vec<u32>>>,
    /// Those of the questions, if they differ from the documents'.
    question_ids: Option<Vec<Vec<u32>>>,
    pub(crate) refused: Option<String>,
}

/// The families of `families.json` and `families-next.json`, by `model_type`.
pub(crate) fn families() -> BTreeMap<String, Variants> {
    #[derive(Deserialize)]
    struct File {
        families: BTreeMap<String, Variants>,
    }
    let read = |name| -> File { serde_json::from_slice(&fs_err::read(fixture(name)).unwrap()).unwrap() };
    ["families.json", "families-next.json"].into_iter().flat_map(|name| read(name).families).collect()
}

#[derive(Deserialize)]
struct Weights {
    #[serde(rename = "type")]
    kind: String,
    tensors: BTreeMap<String, Vec<usize>>,
}

/// Also from the tests of another crate.
fn fixture(name: &str) -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    crates.join("ragbias-embed/tests/fixtures/checkpoints").join(name)
}

impl Variants {
    pub(crate) fn read() -> Self {
        serde_json::from_slice(&fs_err::read(fixture("variants.json")).unwrap()).unwrap()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Variant)> {
        self.by_name.iter().map(|(name, variant)| (name.as_str(), variant))
    }

    pub(crate) fn texts(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).collect()
    }

    /// The folder of a variant.
    pub(crate) fn make(&self, name: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let variant = &self.by_name[name];
        write_files(folder.path(), &self.base.files, &variant.files);
        let mut weights: BTreeMap<&str, &Option<Weights>> = BTreeMap::new();
        weights.extend(self.base.weights.iter().chain(&variant.weights).map(|(file, w)| (file.as_str(), w)));
        for (file, weights) in weights {
            if let Some(weights) = weights {
                write(folder.path(), file, &weights.serialise());
            }
        }
        for (file, source) in &variant.torch {
            write(folder.path(), file, &fs_err::read(fixture(source)).unwrap());
        }
        folder
    }

    /// The token ids of the texts of a variant.
    pub(crate) fn ids(&self, name: &str, role: Role) -> &[Vec<u32>] {
        let own = &self.by_name[name];
        let own = if own.document_ids.is_some() { own } else { &self.by_name["base"] };
        let ids = own.question_ids.as_ref().filter(|_| role == Role::Question).or(own.document_ids.as_ref());
        ids.expect("the variant `base` has token ids")
    }
}

impl Weights {
    fn serialise(&self) -> Vec<u8> {
        let (dtype, convert): (Dtype, fn(f32) -> Vec<u8>) = match self.kind.as_str() {
            "F64" => (Dtype::F64, |x| f64::from(x).to_le_bytes().to_vec()),
            "F32" => (Dtype::F32, |x| x.to_le_bytes().to_vec()),
            "F16" => (Dtype::F16, |x| half::f16::from_f32(x).to_le_bytes().to_vec()),
            "BF16" => (Dtype::BF16, |x| half::bf16::from_f32(x).to_le_bytes().to_vec()),
            other => panic!("no type of numbers: {other}"),
        };
        let tensor = |(name, shape): (&String, &Vec<usize>)| {
            (name.clone(), shape.clone(), values(name, shape).into_iter().flat_map(convert).collect())
        };
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = self.tensors.iter().map(tensor).collect();
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| (name, TensorView::new(dtype, shape.clone(), bytes).unwrap()));
        safetensors::serialize(views, None).unwrap()
    }
}

/// The ends of names of normalisation weights, which are around 1.
const NORMS: [&str; 6] =
    ["LayerNorm.weight", "LayerNorm.gamma", "norm.weight", "norm1.weight", "norm2.weight", "_ln.weight"];

/// A tensor's values, computed from its name and shape.
fn values(name: &str, shape: &[usize]) -> Vec<f32> {
    let seed = name.bytes().fold(0_u32, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let is_norm = NORMS.iter().any(|end| name.ends_with(end));
    let spread = if shape.len() == 2 { 0.6 } else { 0.3 };
    let value = |i: u32| {
        let state = i.wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(40503)).wrapping_add(12345);
        let state = (state ^ (state >> 15)).wrapping_mul(2_246_822_519);
        let unit = f64::from(state >> 8) / f64::from(1 << 23) - 1.0;
        (unit * spread + if is_norm { 1.0 } else { 0.0 }) as f32
    };
    (0..shape.iter().product::<usize>() as u32).map(value).collect()
}
