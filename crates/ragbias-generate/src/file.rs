//! A GGUF model: metadata and weights of all its files, every weight checked once, every key and tensor used or refused.
#![allow(unsafe_code, reason = "mapping a file is unsafe: see the safety comment")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Device;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::ggml_file::qtensor_from_ggml;
use candle_core::quantized::gguf_file::Value;
use memmap2::Mmap;
use ragbias_core::{ContentHasher, ContentId};

use crate::header::{DAMAGED, Fault, Header, TensorInfo};
use crate::keys::is_irrelevant;
use crate::matrix::{Bytes, Encoding, Matrix};
use crate::{Error, Result};

pub(crate) struct GgufFile {
    path: PathBuf,
    maps: Vec<Arc<Mmap>>,
    metadata: BTreeMap<String, Value>,
    /// Each with the number of the file that holds it.
    tensors: BTreeMap<String, (usize, TensorInfo)>,
    /// Keys and tensors that were asked for.
    used: Mutex<BTreeSet<String>>,
}

impl GgufFile {
    /// Opens a file, or all files of a model whose first part it is.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (map, Header { metadata, tensors }) = read(path)?;
        let tensors = tensors.into_iter().map(|(name, info)| (name, (0, info))).collect();
        let file =
            Self { path: path.into(), maps: vec![map], metadata, tensors, used: Mutex::new(BTreeSet::new()) };
        match file.number("split.count")? {
            Some(parts) if parts > 1 => file.with_parts(parts),
            _ => Ok(file),
        }
    }

    fn with_parts(mut self, count: u32) -> Result<Self> {
        let broken =
            |reason: String, hint: String| Err(Error::File { path: self.path.clone(), reason, hint });
        let own = self.number("split.no")?.unwrap_or(0);
        let merge = "or merge the parts: `llama-gguf-split --merge FIRST.gguf MERGED.gguf`";
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(stem) = name.strip_suffix(&format!("-{:05}-of-{count:05}.gguf", own + 1)) else {
            return broken(
                format!("this is part {} of {count}, and its name does not say so", own + 1),
                format!("call it NAME-{:05}-of-{count:05}.gguf, beside the others, {merge}", own + 1),
            );
        };
        let part =
            |number: u32| self.path.with_file_name(format!("{stem}-{:05}-of-{count:05}.gguf", number + 1));
        if own != 0 {
            return broken(
                format!("this is part {} of {count}", own + 1),
                format!("give the first part, {}, {merge}", part(0).display()),
            );
        }
        let missing: Vec<String> = (1..count)
            .map(part)
            .filter(|path| !path.is_file())
            .map(|path| path.display().to_string())
            .collect();
        if !missing.is_empty() {
            return broken(
                format!("this is part 1 of {count}, and {} is missing", missing.join(", ")),
                format!("put all parts beside one another, {merge}"),
            );
        }
        let paths: Vec<PathBuf> = (1..count).map(part).collect();
        for (number, path) in (1..).zip(paths) {
            let (map, header) = read(&path)?;
            let says = |key: &str| header.metadata.get(key).and_then(integer);
            if says("split.no") != Some(number) || says("split.count") != Some(i64::from(count)) {
                let reason = format!("it does not say that it is part {} of {count}", number + 1);
                return Err(Error::File {
                    path,
                    reason,
                    hint: "parts of other models have other names".into(),
                });
            }
            for (name, info) in header.tensors {
                if self.tensors.insert(name.clone(), (self.maps.len(), info)).is_some() {
                    let reason = format!("tensor `{name}` is in another part too");
                    return Err(Error::File { path, reason, hint: DAMAGED.into() });
                }
            }
            self.maps.push(map);
        }
        if let Some(expected) = self.number("split.tensors.count")?
            && expected as usize != self.tensors.len()
        {
            return Err(
                self.broken(format!("its parts have {} tensors, expected {expected}", self.tensors.len()))
            );
        }
        Ok(self)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn content_id(&self) -> ContentId {
        match &*self.maps {
            [map] => ContentId::of(map),
            parts => {
                let add =
                    |hasher: ContentHasher, part: &Arc<Mmap>| hasher.field(ContentId::of(part).as_bytes());
                parts.iter().fold(ContentHasher::new("gguf-parts/1"), add).finish()
            }
        }
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned());
        self.metadata.get(key)
    }

    /// A value that `of` reads, none where there is no such key.
    fn read<'v, T>(
        &'v self,
        key: &str,
        expected: &str,
        of: impl FnOnce(&'v Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        if let Some(read) = of(value) {
            return Ok(Some(read));
        }
        let received = match value {
            Value::Array(values) => format!("a list of {}", values.len()),
            other => format!("{other:?}"),
        };
        Err(self.broken(format!("key `{key}` is {received}, expected {expected}")))
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>> {
        self.read(key, "a text", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.read(key, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    /// A whole number, of whatever width; a list that holds one number alone counts as that number.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u32>> {
        self.read(key, "a whole number, the same in all layers", |value| {
            match value {
                Value::Array(values) => {
                    let first = integer(values.first()?)?;
                    values.iter().all(|value| integer(value) == Some(first)).then_some(first)
                }
                value => integer(value),
            }
            .and_then(|number: i64| u32::try_from(number).ok())
        })
    }

    /// A finite number.
    pub(crate) fn float(&self, key: &str) -> Result<Option<f32>> {
        self.read(key, "a finite number", |value| {
            let number = match *value {
                Value::F32(number) => number,
                Value::F64(number) => number as f32,
                _ => return None,
            };
            number.is_finite().then_some(number)
        })
    }

    pub(crate) fn list(&self, key: &str) -> Result<Option<&[Value]>> {
        self.read(key, "a list", |value| match value {
            Value::Array(values) => Some(values.as_slice()),
            _ => None,
        })
    }

    /// A number that a model cannot do without.
    pub(crate) fn required(&self, key: &str) -> Result<u32> {
        self.number(key)?.ok_or_else(|| self.broken(format!("no number `{key}`")))
    }

    pub(crate) fn has_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The chat templates by name, where there are several.
    pub(crate) fn names_after(&self, prefix: &str) -> Vec<&str> {
        self.metadata.keys().filter_map(|key| key.strip_prefix(prefix)).collect()
    }

    /// Refuses what nothing has asked for: a key or tensor that changes what the model says, and that is not known here.
    ///
    /// # Errors
    /// [`Error::File`] with the name of the first.
    pub(crate) fn check_all_used(&self, architecture: &str) -> Result<()> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let unread = |what: &str, name: &str| Error::File {
            path: self.path.clone(),
            reason: format!(
                "{what} `{name}` is not known here for the architecture {architecture}, and may change what the model says"
            ),
            hint: "run the model behind a server that knows it, as in --llm http://localhost:8080/v1".into(),
        };
        let key = self.metadata.keys().find(|key| !used.contains(*key) && !is_irrelevant(key, architecture));
        if let Some(key) = key {
            return Err(unread("key", key));
        }
        match self.tensors.keys().find(|name| !used.contains(*name)) {
            Some(name) => Err(unread("tensor", name)),
            None => Ok(()),
        }
    }

    /// How many rows a tensor has.
    pub(crate) fn height(&self, name: &str) -> Result<usize> {
        Ok(self.info(name)?.1.shape[0])
    }

    /// A `(height, width)` matrix, every weight finite. It stays in the file, unless its format is one that only candle
    /// reads: then it is turned into f32.
    pub(crate) fn matrix(&self, name: &str, height: usize, width: usize) -> Result<Matrix> {
        let (part, info) = self.info(name)?;
        if info.shape != [height, width] {
            let shape = &info.shape;
            return Err(self.broken(format!("tensor `{name}` is {shape:?}, expected [{height}, {width}]")));
        }
        let matrix = if let Some(encoding) = encoding(info.format) {
            let bytes = Bytes::Mapped(Arc::clone(&self.maps[*part]), info.start..info.start + info.bytes);
            Matrix::new(height, width, encoding, bytes)
        } else {
            let values = self.dense(name)?;
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            Matrix::new(height, width, Encoding::F32, Bytes::Owned(bytes))
        };
        let matrix = matrix
            .ok_or_else(|| self.broken(format!("tensor `{name}`: rows of {width} are no whole blocks")))?;
        if !matrix.is_finite() {
            return Err(Error::NotFinite { path: self.path.clone(), tensor: name.into() });
        }
        Ok(matrix)
    }

    /// A vector of `width` numbers, all finite.
    pub(crate) fn vector(&self, name: &str, width: usize) -> Result<Vec<f32>> {
        let values = self.dense(name)?;
        if values.len() != width {
            return Err(
                self.broken(format!("tensor `{name}` holds {} numbers, expected {width}", values.len()))
            );
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err(Error::NotFinite { path: self.path.clone(), tensor: name.into() });
        }
        Ok(values)
    }

    /// A vector that not every model has.
    pub(crate) fn optional_vector(&self, name: &str, width: usize) -> Result<Option<Vec<f32>>> {
        self.has_tensor(name).then(|| self.vector(name, width)).transpose()
    }

    fn info(&self, name: &str) -> Result<&(usize, TensorInfo)> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        self.tensors.get(name).ok_or_else(|| self.broken(format!("no tensor `{name}`")))
    }

    /// A tensor in f32, as candle reads it.
    fn dense(&self, name: &str) -> Result<Vec<f32>> {
        let (part, info) = self.info(name)?;
        let bytes = &self.maps[*part][info.start..][..info.bytes];
        let tensor = qtensor_from_ggml(info.format, bytes, info.shape.clone(), &Device::Cpu)?;
        Ok(tensor.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()?)
    }

    pub(crate) fn broken(&self, reason: String) -> Error {
        Error::File { path: self.path.clone(), reason, hint: DAMAGED.into() }
    }
}

fn read(path: &Path) -> Result<(Arc<Mmap>, Header)> {
    let file = fs_err::File::open(path)?;
    if file.metadata()?.len() == 0 {
        // An empty file cannot be mapped.
        let Err(Fault { reason, hint }) = Header::read(&[]) else { unreachable!("an empty header") };
        return Err(Error::File { path: path.into(), reason, hint });
    }
    // SAFETY: the map is only ever read as bytes, for which any value is valid, and every tensor is checked to lie within
    // it. A file that is cut short under a running model ends the program, as it would any other that maps it.
    let map = unsafe { Mmap::map(file.file()) }?;
    let header = Header::read(&map);
    let header = header.map_err(|Fault { reason, hint }| Error::File { path: path.into(), reason, hint })?;
    Ok((Arc::new(map), header))
}

pub(crate) fn integer(value: &Value) -> Option<i64> {
    Some(match *value {
        Value::U8(n) => n.into(),
        Value::I8(n) => n.into(),
        Value::U16(n) => n.into(),
        Value::I16(n) => n.into(),
        Value::U32(n) => n.into(),
        Value::I32(n) => n.into(),
        Value::U64(n) => i64::try_from(n).ok()?,
        Value::I64(n) => n,
        _ => return None,
    })
}

/// The format of a matrix that is multiplied as it is.
fn encoding(format: GgmlDType) -> Option<Encoding> {
    Some(match format {
        GgmlDType::F32 => Encoding::F32,
        GgmlDType::F16 => Encoding::F16,
        GgmlDType::BF16 => Encoding::BF16,
        GgmlDType::Q4_0 => Encoding::Q4_0,
        GgmlDType::Q4_1 => Encoding::Q4_1,
        GgmlDType::Q5_0 => Encoding::Q5_0,
        GgmlDType::Q8_0 => Encoding::Q8_0,
        GgmlDType::Q4K => Encoding::Q4K,
        GgmlDType::Q5K => Encoding::Q5K,
        GgmlDType::Q6K => Encoding::Q6K,
        _ => return None,
    })
}
