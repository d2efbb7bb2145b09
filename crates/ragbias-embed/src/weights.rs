//! Safetensors files by memory map, every value checked once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use memmap2::Mmap;
use ragbias_core::ContentId;
use safetensors::tensor::TensorView;
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

    fn broken(&self, source: safetensors::SafeTensorError) -> Error {
        Error::Weights { path: self.path.clone(), source }
    }

    pub(crate) fn tensors(&self) -> Result<Tensors<'_>> {
        Ok(Tensors { weights: self, tensors: parse(&self.path, &self.map)? })
    }
}

fn parse<'m>(path: &Path, map: &'m Mmap) -> Result<SafeTensors<'m>> {
    SafeTensors::deserialize(map).map_err(|source| Error::Weights { path: path.into(), source })
}

impl Tensors<'_> {
    /// The bytes of the file with other values in the place of some tensors; `values` knows names without prefix.
    ///
    /// # Errors
    /// A failure to take values off their device.
    pub(crate) fn with(&self, values: &dyn Fn(&str) -> Option<Tensor>) -> Result<Vec<u8>> {
        let mut changed = Vec::new();
        for name in self.tensors.names() {
            let own = name.strip_prefix(self.weights.prefix).unwrap_or(name);
            if let Some(tensor) = values(own) {
                changed.push((name, tensor.shape().dims().to_vec(), little_endian(&tensor)?));
            }
        }
        let views = changed.iter().map(|(name, shape, bytes)| {
            Ok((
                *name,
                TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|e| self.weights.broken(e))?,
            ))
        });
        let changed: BTreeMap<&str, TensorView<'_>> = views.collect::<Result<_>>()?;
        let all = self.tensors.iter().map(|(name, view)| match changed.get(name) {
            Some(other) => (name, other.clone()),
            None => (name, view),
        });
        safetensors::serialize(all, None).map_err(|error| self.weights.broken(error))
    }
}

/// One tensor as a safetensors file.
pub(crate) fn single(name: &str, tensor: &Tensor) -> Result<Vec<u8>> {
    let bytes = little_endian(tensor)?;
    let fail = |source| Error::Weights { path: name.into(), source };
    let view = TensorView::new(Dtype::F32, tensor.dims().to_vec(), &bytes).map_err(fail)?;
    safetensors::serialize([(name, view)], None).map_err(fail)
}

fn little_endian(tensor: &Tensor) -> Result<Vec<u8>> {
    let values = tensor.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect())
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
