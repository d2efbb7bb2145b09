//! A GGUF file, or the parts of one: metadata, tokenizer and weights. Every key and every tensor is used, known to change
//! no number, or refused; every weight is checked once.

mod header;
mod keys;
mod parts;
mod tensor_type;
mod value;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::ggml_file::qtensor_from_ggml;
use ragbias_core::{ContentHasher, ContentId};
use ragbias_files::MappedFile;

use crate::matrix::{Bytes, Encoding, Matrix};
use crate::{Error, Result};
use header::{Entry, Header, Tensor};
use parts::Place;
use value::{Kind, Value};

pub(crate) struct GgufFile {
    path: PathBuf,
    maps: Vec<Arc<MappedFile>>,
    keys: BTreeMap<String, Asked<Entry>>,
    tensors: BTreeMap<String, Asked<Placed>>,
}

/// An entry of the file, and whether it was requested.
struct Asked<T> {
    item: T,
    asked: AtomicBool,
}

impl<T> Asked<T> {
    fn new(item: T) -> Self {
        Self { item, asked: AtomicBool::new(false) }
    }

    fn ask(&self) -> &T {
        self.asked.store(true, Ordering::Relaxed);
        &self.item
    }

    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

/// A tensor of one of the parts.
struct Placed {
    tensor: Tensor,
    part: usize,
}

/// The version of the quantised formats, which changed twice in the past.
const QUANTIZATION: u32 = 2;

impl GgufFile {
    /// Opens a model; given the first of several parts, opens all of them.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let map = MappedFile::open(path)?;
        let header = Header::read(path, &map)?;
        let place = Place::of(path, &header)?;
        let mut files = vec![(path.to_owned(), map, header)];
        if place.count > 1 {
            for (number, path) in parts::siblings(path, &place)?.into_iter().enumerate().skip(1) {
                let map = MappedFile::open(&path)?;
                let header = Header::read(&path, &map)?;
                let (_, first, begun) = &files[0];
                let expected = Place { number, count: place.count };
                parts::check_part((begun, &first[..]), (&path, &header, &map[..]), &expected)?;
                files.push((path, map, header));
            }
        }
        let received = files.iter().map(|(_, _, header)| header.tensors.len()).sum();
        parts::check_count(path, &files[0].2, received)?;
        let mut file =
            Self { path: path.into(), maps: Vec::new(), keys: BTreeMap::new(), tensors: BTreeMap::new() };
        for (part, (path, map, header)) in files.into_iter().enumerate() {
            for tensor in header.tensors {
                let name = tensor.name.clone();
                if file.tensors.insert(name.clone(), Asked::new(Placed { tensor, part })).is_some() {
                    let reason = format!("the tensor `{name}` is in an earlier part too");
                    return Err(Error::File { path, reason });
                }
            }
            file.maps.push(Arc::new(map));
            if part == 0 {
                file.keys = header.entries.into_iter().map(|(key, entry)| (key, Asked::new(entry))).collect();
            }
        }
        file.check_version()?;
        Ok(file)
    }

    fn check_version(&self) -> Result<()> {
        let key = "general.quantization_version";
        match self.number(key)? {
            None | Some(QUANTIZATION) => Ok(()),
            Some(other) => Err(self.refused(
                format!("`{key}`"),
                format!("the weights are written in version {other}, expected {QUANTIZATION}"),
                "quantise the model again with a llama.cpp of 2024 or later",
            )),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The hash of the file's bytes; for several parts, of their hashes.
    pub(crate) fn content_id(&self) -> ContentId {
        match &self.maps[..] {
            [map] => ContentId::of(map),
            maps => {
                let parts = maps.iter().map(|map| ContentId::of(map));
                parts
                    .fold(ContentHasher::new("gguf-parts/1"), |hash, part| hash.field(part.as_bytes()))
                    .finish()
            }
        }
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>> {
        self.of_kind(key, "a text", |value| match value {
            Value::Text(range) => std::str::from_utf8(&self.maps[0][range.clone()]).ok(),
            _ => None,
        })
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.of_kind(key, "true or false", |value| match value {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        })
    }

    /// A whole number; a per-layer list of equal numbers counts as that number.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u32>> {
        self.of_kind(key, "a whole number, or one number for all layers", |value| match value {
            Value::Integer(number) => u32::try_from(*number).ok(),
            Value::List { kind, bytes, .. } => {
                let mut numbers = self.values(*kind, bytes);
                let first = numbers.next()?;
                match (numbers.all(|number| number == first), first) {
                    (true, Value::Integer(number)) => u32::try_from(number).ok(),
                    _ => None,
                }
            }
            _ => None,
        })
    }

    /// A required number.
    pub(crate) fn required(&self, key: &str) -> Result<u32> {
        self.number(key)?.ok_or_else(|| self.missing(key))
    }

    /// A finite number.
    pub(crate) fn float(&self, key: &str) -> Result<Option<f32>> {
        self.of_kind(key, "a finite number", |value| match value {
            Value::Float(number) => Some(*number as f32).filter(|number| number.is_finite()),
            Value::Integer(number) => Some(*number as f32),
            _ => None,
        })
    }

    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<String>>> {
        self.of_kind(key, "a list of texts in UTF-8", |value| {
            let Value::List { kind: Kind::Text, count, bytes } = value else { return None };
            let mut rest = &self.maps[0][bytes.clone()];
            let texts = (0..*count).map(|_| {
                let (length, after) = rest.split_first_chunk()?;
                let (text, after) = after.split_at_checked(u64::from_le_bytes(*length) as usize)?;
                rest = after;
                String::from_utf8(text.to_vec()).ok()
            });
            texts.collect()
        })
    }

    pub(crate) fn integers(&self, key: &str) -> Result<Option<Vec<i64>>> {
        self.list(key, "a list of whole numbers", |value| match value {
            Value::Integer(number) => i64::try_from(number).ok(),
            _ => None,
        })
    }

    pub(crate) fn floats(&self, key: &str) -> Result<Option<Vec<f32>>> {
        self.list(key, "a list of numbers", |value| match value {
            Value::Float(number) => Some(number as f32),
            _ => None,
        })
    }

    pub(crate) fn flags(&self, key: &str) -> Result<Option<Vec<bool>>> {
        self.list(key, "a list of true and false", |value| match value {
            Value::Flag(flag) => Some(flag),
            Value::Integer(number @ 0..=1) => Some(number == 1),
            _ => None,
        })
    }

    /// Whether a key is present and holds a list.
    pub(crate) fn is_list(&self, key: &str) -> bool {
        self.keys.get(key).is_some_and(|key| matches!(key.item.value, Value::List { .. }))
    }

    /// Marks a key as having no effect because of other keys.
    pub(crate) fn pass_over(&self, key: &str) {
        self.keys.get(key).map(Asked::ask);
    }

    /// The keys with this prefix.
    pub(crate) fn keys_from(&self, prefix: &str) -> impl Iterator<Item = &str> {
        self.keys
            .range(prefix.to_owned()..)
            .map(|(key, _)| key.as_str())
            .take_while(move |key| key.starts_with(prefix))
    }

    fn list<T>(&self, key: &str, expected: &str, get: impl Fn(Value) -> Option<T>) -> Result<Option<Vec<T>>> {
        self.of_kind(key, expected, |value| match value {
            Value::List { kind, bytes, .. } if *kind != Kind::Text => {
                self.values(*kind, bytes).map(&get).collect::<Option<Vec<_>>>()
            }
            _ => None,
        })
    }

    /// The values of a list of numbers or Booleans.
    fn values(&self, kind: Kind, bytes: &Range<usize>) -> impl Iterator<Item = Value> {
        let bytes = if kind == Kind::Text { &[] } else { &self.maps[0][bytes.clone()] };
        bytes.chunks_exact(kind.width()).filter_map(move |value| kind.decode(value))
    }

    fn of_kind<'f, T>(
        &'f self,
        key: &str,
        expected: &str,
        get: impl FnOnce(&'f Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(found) = self.keys.get(key) else { return Ok(None) };
        let value = &found.ask().value;
        match get(value) {
            Some(value) => Ok(Some(value)),
            None => {
                Err(self.broken(format!("`{key}` is {}, expected {expected}", value.describe(&self.maps[0]))))
            }
        }
    }

    pub(crate) fn has_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Number of rows of a tensor.
    pub(crate) fn height(&self, name: &str) -> Result<usize> {
        Ok(self.tensor(name)?.tensor.shape[0])
    }

    /// A `(height, width)` matrix, every weight finite. It stays in the file, unless only candle supports its format:
    /// then it is converted to f32.
    pub(crate) fn matrix(&self, name: &str, height: usize, width: usize) -> Result<Matrix> {
        let [matrix] = self.matrices(name, [height], width)?;
        Ok(matrix)
    }

    /// Matrices stacked in one tensor.
    pub(crate) fn matrices<const N: usize>(
        &self,
        name: &str,
        heights: [usize; N],
        width: usize,
    ) -> Result<[Matrix; N]> {
        let Placed { tensor, part } = self.tensor(name)?;
        let height: usize = heights.iter().sum();
        if tensor.shape != [height, width] {
            let shape = &tensor.shape;
            return Err(self.broken(format!("tensor `{name}` is {shape:?}, expected [{height}, {width}]")));
        }
        let (encoding, bytes) = if let Some(encoding) = encoding(tensor.format) {
            (encoding, Bytes::Mapped(Arc::clone(&self.maps[*part]), tensor.bytes.clone()))
        } else {
            let values = self.dense(name)?;
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (Encoding::F32, Bytes::Owned(bytes))
        };
        let all = Matrix::new(height, width, encoding, bytes)
            .ok_or_else(|| self.broken(format!("tensor `{name}`: rows of {width} are no whole blocks")))?;
        if !all.is_finite() {
            return Err(Error::NotFinite { path: self.path.clone(), tensor: name.into() });
        }
        let mut from = 0;
        Ok(heights.map(|height| {
            from += height;
            all.rows_from(from - height, height)
        }))
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

    /// An optional vector.
    pub(crate) fn optional_vector(&self, name: &str, width: usize) -> Result<Option<Vec<f32>>> {
        self.has_tensor(name).then(|| self.vector(name, width)).transpose()
    }

    fn tensor(&self, name: &str) -> Result<&Placed> {
        self.tensors.get(name).map(Asked::ask).ok_or_else(|| self.broken(format!("no tensor `{name}`")))
    }

    /// A tensor in f32, read by candle.
    fn dense(&self, name: &str) -> Result<Vec<f32>> {
        let Placed { tensor, part } = self.tensor(name)?;
        let bytes = &self.maps[*part][tensor.bytes.clone()];
        let tensor = qtensor_from_ggml(tensor.format, bytes, tensor.shape.clone(), &Device::Cpu)
            .map_err(|error| self.broken(first_line(&error)))?;
        Ok(tensor.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()?)
    }

    /// Refuses the first unrequested key with this prefix that may change a number.
    pub(crate) fn refuse_keys(&self, prefix: &str, architecture: &str) -> Result<()> {
        let rest = self.keys.iter().filter(|(key, entry)| key.starts_with(prefix) && !entry.is_asked());
        for (key, entry) in rest {
            let value = &entry.item.value;
            let Err(neutral) = keys::passed_over(key, architecture, value) else { continue };
            let received = value.describe(&self.maps[0]);
            let reason = match neutral {
                Some(expected) => format!("it is {received}; of {architecture} only {expected} is computed"),
                None => format!("it is {received}, and what it means for {architecture} is not known here"),
            };
            let hint = format!(
                "take another model, or a server that runs this one; if you know that the key changes nothing, write the \
                 file without it: `gguf-new-metadata --remove-metadata {key} OLD.gguf NEW.gguf`"
            );
            return Err(self.refused(format!("`{key}`"), reason, &hint));
        }
        Ok(())
    }

    /// Refuses the first unrequested tensor.
    pub(crate) fn refuse_tensors(&self, architecture: &str) -> Result<()> {
        let mut rest = self.tensors.iter().filter(|(_, tensor)| !tensor.is_asked()).map(|(name, _)| name);
        let Some(name) = rest.next() else { return Ok(()) };
        let more = match rest.count() {
            0 => String::new(),
            more => format!("; nor have {more} others"),
        };
        Err(self.refused(
            format!("tensor `{name}`"),
            format!("it has no place in a model of architecture {architecture} as it is computed here{more}"),
            "take another model, or a server that runs this one",
        ))
    }

    pub(crate) fn missing(&self, key: &str) -> Error {
        self.broken(format!("no key `{key}`"))
    }

    pub(crate) fn broken(&self, reason: String) -> Error {
        Error::File { path: self.path.clone(), reason }
    }

    pub(crate) fn refused(&self, place: String, reason: String, hint: &str) -> Error {
        Error::Unsupported { path: self.path.clone(), place, reason, hint: hint.into() }
    }
}

/// candle appends a backtrace to its messages.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The format of a matrix that is multiplied without conversion.
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

#[cfg(test)]
mod tests;
