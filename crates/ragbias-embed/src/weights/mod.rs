//! Weights by name, from one or several safetensors or PyTorch files; every value is checked once.

mod file;
mod names;
mod pickle;
mod place;
mod torch;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use candle_core::{Device, Tensor};
use ragbias_core::{ContentHasher, ContentId};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::Deserialize;

use self::file::WeightsFile;
use self::place::Place;
use crate::config::Rounding;
use crate::files::read_json;
use crate::{Error, Result};

pub(crate) use self::names::Owner;

/// All weights of a folder, from which tensors are taken by name.
pub(crate) struct Weights {
    files: Vec<WeightsFile>,
    /// File and name in the file, by the family's name.
    tensors: BTreeMap<String, (usize, String)>,
    owner: Owner,
}

/// The files that may contain a model's weights, in the order in which transformers looks for them.
const SAFETENSORS: &str = "model.safetensors";
const CANDIDATES: [(&str, bool); 4] = [
    (SAFETENSORS, false),
    ("model.safetensors.index.json", true),
    ("pytorch_model.bin", false),
    ("pytorch_model.bin.index.json", true),
];

/// `…index.json`: maps tensors to files.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Weights {
    /// The weights of a folder.
    ///
    /// # Errors
    /// No weights, truncated or damaged ones, and unused tensors.
    pub(crate) fn open(folder: &Path, owner: Owner) -> Result<Self> {
        // Only a transformer's weights may be sharded.
        let candidates = CANDIDATES.into_iter().filter(|(_, is_index)| !is_index || owner.is_encoder());
        let mut found = candidates.map(|(name, is_index)| (folder.join(name), is_index));
        let Some((path, is_index)) = found.find(|(path, _)| path.is_file()) else {
            return Err(Error::MissingFile { folder: folder.into(), file: SAFETENSORS });
        };
        let paths = if is_index { parts(folder, &path)? } else { vec![path] };
        let files = paths.iter().map(|path| WeightsFile::open(path)).collect::<Result<Vec<_>>>()?;
        let mut tensors = BTreeMap::new();
        let all = || {
            files.iter().enumerate().flat_map(|(at, file)| file.tensors.keys().map(move |name| (at, name)))
        };
        let has_prefix = all().any(|(_, name)| owner.has_prefix(name));
        for (at, name) in all() {
            let known = owner.name(name, has_prefix);
            if tensors.insert(known.clone(), (at, name.clone())).is_some() {
                let expected = "every tensor once";
                return Err(Error::unsupported(
                    &files[at].path,
                    "a tensor",
                    expected,
                    format!("{known} twice"),
                ));
            }
        }
        Ok(Self { files, tensors, owner })
    }

    /// The hash of the file; for several, of all of them in order.
    pub(crate) fn content_id(&self) -> ContentId {
        let id = if let [file] = &self.files[..] {
            ContentId::of(file.bytes())
        } else {
            let all = self.files.iter();
            all.fold(ContentHasher::new("weights/1"), |id, file| id.field(file.bytes())).finish()
        };
        self.files.iter().for_each(WeightsFile::release);
        id
    }

    /// Refuses any other tensors that are not deliberately ignored.
    pub(crate) fn refuse_others(&self, is_wanted: impl Fn(&str) -> bool, layers: usize) -> Result<()> {
        let is_other = |name: &str| !is_wanted(name) && !self.owner.leaves_out(name, layers);
        match self.tensors.iter().find(|(name, _)| is_other(name)) {
            Some((_, (at, name))) => Err(Error::UnknownTensor {
                path: self.files[*at].path.clone(),
                name: name.clone(),
                of: self.owner.describe(),
            }),
            None => Ok(()),
        }
    }

    /// The tensor of this name as f32, with this shape and finite.
    pub(crate) fn get(
        &self,
        name: &str,
        expected: &[usize],
        rounding: Option<Rounding>,
        device: &Device,
    ) -> Result<Tensor> {
        let Some((at, own)) = self.tensors.get(name) else {
            let path = self.files[0].path.clone();
            return Err(Error::MissingTensor { path, name: name.into(), of: self.owner.describe() });
        };
        let file = &self.files[*at];
        let place = &file.tensors[own];
        let (path, name) = (file.path.clone(), own.clone());
        if place.shape != expected {
            let (expected, received) = (expected.to_vec(), place.shape.clone());
            return Err(Error::Shape { path, name, expected, received });
        }
        let mut values = floats(file, place)?;
        // A model's memory is that of its tensors; the file's pages are not kept beside them.
        file.release();
        if let Some(rounding) = rounding {
            for x in &mut values {
                *x = rounding.round(*x);
            }
        }
        if let Some(position) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::NotFinite { path, name, position, value: values[position] });
        }
        Ok(Tensor::from_vec(values, expected, device)?)
    }

    /// All weights as one safetensors file, with some values replaced: `values` uses the family's names.
    /// If any are replaced, all numbers are f32, because transformers computes in one type.
    ///
    /// # Errors
    /// Values cannot be copied from their device.
    pub(crate) fn with(&self, values: &dyn Fn(&str) -> Option<Tensor>) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        for (name, (at, own)) in &self.tensors {
            let (file, place) = (&self.files[*at], &self.files[*at].tensors[own]);
            let changed = values(name);
            let (dtype, bytes) = match &changed {
                Some(tensor) => (Dtype::F32, little_endian(tensor)?),
                None if is_float(place.dtype) => {
                    (Dtype::F32, floats(file, place)?.iter().flat_map(|value| value.to_le_bytes()).collect())
                }
                None => (place.dtype, file.values(place).into_owned()),
            };
            all.push((self.owner.saved_name(own), dtype, place.shape.clone(), bytes));
        }
        serialize(&self.files[0].path, &all)
    }
}

/// The unique files of an index, which must be within its folder.
fn parts(folder: &Path, path: &Path) -> Result<Vec<PathBuf>> {
    let index: Index = read_json(path)?;
    let names: BTreeSet<&String> = index.weight_map.values().collect();
    let mut paths = Vec::new();
    for name in names {
        let part = folder.join(name);
        if !Path::new(name).components().all(|component| matches!(component, Component::Normal(_))) {
            return Err(Error::unsupported(path, "a file", "one beside this file", name));
        }
        if !part.is_file() {
            return Err(Error::unsupported(path, "a file", "one that is there", name));
        }
        paths.push(part);
    }
    if paths.is_empty() {
        return Err(Error::unsupported(path, "weight_map", "files by tensor", "empty"));
    }
    Ok(paths)
}

fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

/// A tensor's values as f32.
fn floats(file: &WeightsFile, place: &Place) -> Result<Vec<f32>> {
    let bytes = file.values(place);
    Ok(match place.dtype {
        Dtype::F64 => {
            let value =
                |b: &[u8]| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32;
            bytes.chunks_exact(8).map(value).collect()
        }
        Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::F16 => {
            bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
        Dtype::BF16 => {
            bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
        other => {
            let expected = "F64, F32, F16 or BF16";
            return Err(Error::unsupported(
                &file.path,
                "the type of a tensor",
                expected,
                format!("{other:?}"),
            ));
        }
    })
}

/// One tensor as a safetensors file.
pub(crate) fn single(name: &str, tensor: &Tensor) -> Result<Vec<u8>> {
    let one = (name.to_owned(), Dtype::F32, tensor.dims().to_vec(), little_endian(tensor)?);
    serialize(Path::new(name), &[one])
}

fn serialize(path: &Path, tensors: &[(String, Dtype, Vec<usize>, Vec<u8>)]) -> Result<Vec<u8>> {
    let fail = |reason| Error::Weights { path: path.into(), reason };
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).map_err(fail)?))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    // Older releases of transformers refuse a file without this entry.
    let format = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(format)).map_err(fail)
}

fn little_endian(tensor: &Tensor) -> Result<Vec<u8>> {
    let values = tensor.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect())
}
