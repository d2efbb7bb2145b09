//! The header of a GGUF file: its metadata, and the position of each tensor.
//!
//! Every count and length is compared with the remaining bytes before anything is allocated.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use candle_core::quantized::GgmlDType;

use super::tensor_type::{readable, tensor_type};
use super::value::{Kind, LIST, Value};
use crate::{Error, Result};

pub(crate) struct Header {
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) tensors: Vec<Tensor>,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    /// Type and value as in the file.
    pub(crate) raw: Range<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// The width of a row comes last.
    pub(crate) shape: Vec<usize>,
    pub(crate) format: GgmlDType,
    pub(crate) bytes: Range<usize>,
}

/// The default alignment of tensors.
const ALIGNMENT: usize = 32;
const LARGEST_ALIGNMENT: usize = 1 << 28;
const DIMENSIONS: u32 = 4;
/// Minimum sizes: an entry has its key's length, its type and a value of one byte; a tensor has its name's length, one
/// dimension, type and offset.
const LEAST_ENTRY: u64 = 8 + 4 + 1;
const LEAST_TENSOR: u64 = 8 + 4 + 8 + 4 + 8;

impl Header {
    pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Self> {
        Reader::begin(path, bytes)?.header()
    }
}

struct Reader<'f> {
    path: &'f Path,
    bytes: &'f [u8],
    at: usize,
}

impl<'f> Reader<'f> {
    /// The part after the magic number and the version, which have been checked.
    fn begin(path: &'f Path, bytes: &'f [u8]) -> Result<Self> {
        let mut reader = Self { path, bytes, at: 0 };
        if bytes.is_empty() {
            return Err(reader.broken("it is empty, expected a model"));
        }
        if bytes.starts_with(b"version https://git-lfs") {
            return Err(Error::Pointer { path: path.into() });
        }
        if !bytes.starts_with(b"GGUF") {
            let begun = bytes[..bytes.len().min(4)].escape_ascii();
            return Err(reader.broken(format!("it begins with `{begun}`, expected `GGUF`")));
        }
        reader.at = 4;
        let version = reader.u32()?;
        let refused = |reason: &str, hint: &str| {
            Err(Error::Unsupported {
                path: path.into(),
                place: "version".into(),
                reason: reason.into(),
                hint: hint.into(),
            })
        };
        match version {
            2 | 3 => Ok(reader),
            1 => refused(
                "GGUF version 1 is not read, expected 2 or 3",
                "convert the model again: llama.cpp has written version 3 since October 2023",
            ),
            _ if matches!(version.swap_bytes(), 1..=3) => refused(
                "the file is big-endian, expected little-endian",
                "turn it with `gguf-convert-endian FILE little`, or convert the model again",
            ),
            _ => refused(
                &format!("GGUF version {version} is not read, expected 2 or 3"),
                "convert the model with a llama.cpp that writes version 3",
            ),
        }
    }

    fn header(mut self) -> Result<Header> {
        let tensors = self.count("tensors", LEAST_TENSOR)?;
        let keys = self.count("keys", LEAST_ENTRY)?;
        let mut entries = BTreeMap::new();
        for _ in 0..keys {
            let key = self.text("a key")?.to_owned();
            let entry = self.entry(&key)?;
            if entries.insert(key.clone(), entry).is_some() {
                return Err(self.broken(format!("the key `{key}` is there twice")));
            }
        }
        let alignment = self.alignment(&entries)?;
        let mut placed = Vec::new();
        let mut names = BTreeSet::new();
        for _ in 0..tensors {
            let (tensor, offset) = self.tensor()?;
            if !names.insert(tensor.name.clone()) {
                return Err(self.broken(format!("the tensor `{}` is there twice", tensor.name)));
            }
            placed.push((tensor, offset));
        }
        let data = self.at.next_multiple_of(alignment);
        let mut next = 0_usize;
        let mut tensors = Vec::with_capacity(placed.len());
        for (mut tensor, offset) in placed {
            let name = &tensor.name;
            if offset != next as u64 {
                return Err(self.broken(format!(
                    "the tensor `{name}` begins at byte {offset} of the weights, expected {next}: tensors lie one \
                     after the other, each aligned to {alignment} bytes"
                )));
            }
            let size = tensor.bytes.len();
            let whole = size.checked_next_multiple_of(alignment).and_then(|size| next.checked_add(size));
            let (Some(after), Some(start)) = (whole, data.checked_add(next)) else {
                return Err(self.broken(format!("the tensor `{name}` is larger than any file")));
            };
            let end = start.saturating_add(size);
            tensor.bytes = start..end;
            next = after;
            tensors.push(tensor);
        }
        let expected = tensors.last().map_or(self.at, |last| last.bytes.end);
        if expected > self.bytes.len() {
            return Err(self.cut(expected as u64));
        }
        Ok(Header { entries, tensors })
    }

    /// A count of items that take at least `least` bytes each.
    fn count(&mut self, what: &str, least: u64) -> Result<u64> {
        let count = self.u64()?;
        let left = (self.bytes.len() - self.at) as u64;
        match count.checked_mul(least) {
            Some(needed) if needed <= left => Ok(count),
            Some(needed) if needed < 1 << 40 => Err(self.cut(self.at as u64 + needed)),
            _ => Err(self.broken(format!("it speaks of {count} {what}, for which it has {left} bytes"))),
        }
    }

    fn entry(&mut self, key: &str) -> Result<Entry> {
        let begun = self.at;
        let number = self.u32()?;
        let value = if number == LIST {
            let number = self.u32()?;
            if number == LIST {
                return Err(self.broken(format!("`{key}` is a list of lists")));
            }
            let kind = self.kind(key, number)?;
            let count = self.count("values", kind.width() as u64)? as usize;
            let from = self.at;
            if kind == Kind::Text {
                for _ in 0..count {
                    let length = self.u64()?;
                    self.take(length)?;
                }
            } else {
                self.take((count * kind.width()) as u64)?;
            }
            Value::List { kind, count, bytes: from..self.at }
        } else {
            match self.kind(key, number)? {
                Kind::Text => {
                    let length = self.text(key)?.len();
                    Value::Text(self.at - length..self.at)
                }
                kind => {
                    let bytes = self.take(kind.width() as u64)?;
                    kind.decode(bytes)
                        .ok_or_else(|| self.broken(format!("`{key}` is a flag of {}", bytes[0])))?
                }
            }
        };
        Ok(Entry { value, raw: begun..self.at })
    }

    fn kind(&self, key: &str, number: u32) -> Result<Kind> {
        Kind::of(number)
            .ok_or_else(|| self.broken(format!("`{key}` has a value of the unknown type {number}")))
    }

    fn alignment(&self, entries: &BTreeMap<String, Entry>) -> Result<usize> {
        let Some(value) = entries.get("general.alignment").map(|entry| &entry.value) else {
            return Ok(ALIGNMENT);
        };
        let number = if let Value::Integer(number) = *value { usize::try_from(number).ok() } else { None };
        number.filter(|number| number.is_power_of_two() && *number <= LARGEST_ALIGNMENT).ok_or_else(|| {
            let received = value.describe(self.bytes);
            self.broken(format!("`general.alignment` is {received}, expected a power of two up to 2^28"))
        })
    }

    /// A tensor with its offset; only the size of its data is known at this point.
    fn tensor(&mut self) -> Result<(Tensor, u64)> {
        let name = self.text("a tensor's name")?.to_owned();
        let dimensions = self.u32()?;
        if !(1..=DIMENSIONS).contains(&dimensions) {
            return Err(
                self.broken(format!("the tensor `{name}` has {dimensions} dimensions, expected 1 to 4"))
            );
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            shape.insert(0, self.u64()?);
        }
        let number = self.u32()?;
        let offset = self.u64()?;
        let format = tensor_type(number).map_err(|received| Error::Unsupported {
            path: self.path.into(),
            place: format!("tensor `{name}`"),
            reason: format!("its type is {received}, expected one of {}", readable()),
            hint:
                "take the model in one of these types, or quantise it again from its F16, BF16 or F32 file: \
                   `llama-quantize MODEL-F16.gguf MODEL-Q4_K_M.gguf Q4_K_M`"
                    .into(),
        })?;
        let width = *shape.last().unwrap_or(&0);
        let block = format.block_size() as u64;
        if !width.is_multiple_of(block) {
            return Err(self.broken(format!(
                "the rows of tensor `{name}` are {width} weights, no whole blocks of {block}"
            )));
        }
        let weights = shape.iter().try_fold(1_u64, |all, &n| all.checked_mul(n)).filter(|&all| all > 0);
        let size = weights.and_then(|all| (all / block).checked_mul(format.type_size() as u64));
        let Some(size) = size.and_then(|size| usize::try_from(size).ok()) else {
            return Err(self.broken(format!("the tensor `{name}` has the impossible shape {shape:?}")));
        };
        let shape = shape.into_iter().map(|n| n as usize).collect();
        Ok((Tensor { name, shape, format, bytes: 0..size }, offset))
    }

    fn text(&mut self, what: &str) -> Result<&'f str> {
        let length = self.u64()?;
        let at = self.at;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes)
            .map_err(|_| self.broken(format!("at byte {at}: the text of {what} is not UTF-8")))
    }

    fn u32(&mut self) -> Result<u32> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes(*bytes.first_chunk().expect("four bytes were taken: this is a bug")))
    }

    fn u64(&mut self) -> Result<u64> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(*bytes.first_chunk().expect("eight bytes were taken: this is a bug")))
    }

    fn take(&mut self, count: u64) -> Result<&'f [u8]> {
        let end = (self.at as u64).saturating_add(count);
        if end > self.bytes.len() as u64 {
            return Err(self.cut(end));
        }
        let taken = &self.bytes[self.at..end as usize];
        self.at = end as usize;
        Ok(taken)
    }

    fn cut(&self, expected: u64) -> Error {
        Error::Truncated { path: self.path.into(), expected, received: self.bytes.len() as u64 }
    }

    fn broken(&self, reason: impl Into<String>) -> Error {
        Error::File { path: self.path.into(), reason: reason.into() }
    }
}
