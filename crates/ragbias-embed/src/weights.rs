//! Safetensors files by memory map, every value checked once.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use memmap2::Mmap;
use ragbias_core::ContentId;
use safetensors::{Dtype, SafeTensors};

use crate::{Error, Result};

/// A safetensors file, mapped; tensors are taken out by name.
pub(crate) struct Weights {
    path: PathBuf,
    map: Mmap,
    /// Some checkpoints call their tensors `bert.embeddings…`, some `embeddings…`.
    prefix: &'static str,
}

impl Weights {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let map = crate::mmap::map(path)?;
        let names_have_prefix = parse(path, &map)?.names().iter().any(|name| name.starts_with("bert."));
        Ok(Self { path: path.into(), map, prefix: if names_have_prefix { "bert." } else { "" } })
    }

    /// The hash of the file.
    pub(crate) fn content_id(&self) -> ContentId {
        ContentId::of(&self.map)
    }

    pub(crate) fn tensors(&self) -> Result<Tensors<'_>> {
        Ok(Tensors { weights: self, tensors: parse(&self.path, &self.map)? })
    }
}

fn parse<'m>(path: &Path, map: &'m Mmap) -> Result<SafeTensors<'m>> {
    SafeTensors::deserialize(map).map_err(|source| Error::Weights { path: path.into(), source })
}

/// The tensors of a mapped file.
pub(crate) struct Tensors<'m> {
    weights: &'m Weights,
    tensors: SafeTensors<'m>,
}

impl Tensors<'_> {
    /// The tensor of this name as f32, of this shape and finite.
    pub(crate) fn get(&self, name: &str, expected: &[usize], device: &Device) -> Result<Tensor> {
        let path = &self.weights.path;
        let name = format!("{}{name}", self.weights.prefix);
        let Ok(view) = self.tensors.tensor(&name) else {
            return Err(Error::MissingTensor { path: path.clone(), name });
        };
        if view.shape() != expected {
            let (expected, received) = (expected.to_vec(), view.shape().to_vec());
            return Err(Error::Shape { path: path.clone(), name, expected, received });
        }
        let bytes = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => {
                bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
            Dtype::F16 => {
                bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
            Dtype::BF16 => {
                bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
            other => {
                return Err(Error::Unsupported {
                    path: path.clone(),
                    what: "the type of a tensor",
                    expected: "F32, F16 or BF16".into(),
                    received: format!("{other:?}"),
                });
            }
        };
        if let Some(position) = values.iter().position(|value| !value.is_finite()) {
            let value = values[position];
            return Err(Error::NotFinite { path: path.clone(), name, position, value });
        }
        Ok(Tensor::from_vec(values, expected, device)?)
    }
}
