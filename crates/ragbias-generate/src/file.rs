//! A GGUF file: metadata, tokenizer and weights, every weight checked once.
#![allow(unsafe_code, reason = "mapping a file is unsafe: see the safety comment")]

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::{Content, TensorInfo, Value};
use memmap2::Mmap;
use ragbias_core::ContentId;

use crate::matrix::{Bytes, Encoding, Matrix};
use crate::{Error, Result};

pub(crate) struct GgufFile {
    path: PathBuf,
    map: Arc<Mmap>,
    content: Content,
}

impl GgufFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = fs_err::File::open(path)?;
        // SAFETY: the map is only ever read as bytes, for which any value is valid, and every tensor is checked to lie within
        // it. A file that is cut short under a running model ends the program, as it would any other that maps it.
        let map = unsafe { Mmap::map(file.file()) }?;
        let broken = |reason: String| Error::File { path: path.into(), reason };
        if !map.starts_with(b"GGUF") {
            return Err(broken("it does not begin with the letters GGUF".into()));
        }
        let content =
            Content::read(&mut Cursor::new(&map[..])).map_err(|error| broken(first_line(&error)))?;
        for (name, info) in &content.tensor_infos {
            let end = content.tensor_data_offset + info.offset + bytes_of(info) as u64;
            if end > map.len() as u64 {
                let (needed, there) = (end, map.len());
                return Err(broken(format!("tensor `{name}` ends at byte {needed}, the file has {there}")));
            }
        }
        Ok(Self { path: path.into(), map: Arc::new(map), content })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn content_id(&self) -> ContentId {
        ContentId::of(&self.map)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.content.metadata.get(key).and_then(|value| value.to_string().ok()).map(String::as_str)
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        self.content.metadata.get(key).and_then(|value| value.to_bool().ok())
    }

    pub(crate) fn number(&self, key: &str) -> Option<u32> {
        match self.content.metadata.get(key)? {
            Value::U32(number) => Some(*number),
            Value::I32(number) => u32::try_from(*number).ok(),
            Value::U64(number) => u32::try_from(*number).ok(),
            _ => None,
        }
    }

    pub(crate) fn list(&self, key: &str) -> Option<&[Value]> {
        self.content.metadata.get(key).and_then(|value| value.to_vec().ok()).map(Vec::as_slice)
    }

    /// A number that a model cannot do without.
    pub(crate) fn required(&self, key: &str) -> Result<u32> {
        self.number(key).ok_or_else(|| self.broken(format!("no number `{key}`")))
    }

    pub(crate) fn float(&self, key: &str) -> Option<f32> {
        self.content.metadata.get(key).and_then(|value| value.to_f32().ok())
    }

    pub(crate) fn has_tensor(&self, name: &str) -> bool {
        self.content.tensor_infos.contains_key(name)
    }

    /// How many rows a tensor has.
    pub(crate) fn height(&self, name: &str) -> Result<usize> {
        self.info(name)?
            .shape
            .dims()
            .first()
            .copied()
            .ok_or_else(|| self.broken(format!("tensor `{name}` is empty")))
    }

    /// A `(height, width)` matrix, every weight finite. It stays in the file, unless its format is one that only candle
    /// reads: then it is turned into f32.
    pub(crate) fn matrix(&self, name: &str, height: usize, width: usize) -> Result<Matrix> {
        let info = self.info(name)?;
        if info.shape.dims() != [height, width] {
            let shape = &info.shape;
            return Err(self.broken(format!("tensor `{name}` is {shape:?}, expected ({height}, {width})")));
        }
        let matrix = if let Some(encoding) = encoding(info.ggml_dtype) {
            let start = (self.content.tensor_data_offset + info.offset) as usize;
            let bytes = Bytes::Mapped(Arc::clone(&self.map), start..start + bytes_of(info));
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

    fn info(&self, name: &str) -> Result<&TensorInfo> {
        self.content.tensor_infos.get(name).ok_or_else(|| self.broken(format!("no tensor `{name}`")))
    }

    /// A tensor in f32, as candle reads it.
    fn dense(&self, name: &str) -> Result<Vec<f32>> {
        let mut reader = Cursor::new(&self.map[..]);
        let tensor = self.content.tensor(&mut reader, name, &Device::Cpu);
        let tensor = tensor.map_err(|error| self.broken(first_line(&error)))?;
        Ok(tensor.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()?)
    }

    pub(crate) fn broken(&self, reason: String) -> Error {
        Error::File { path: self.path.clone(), reason }
    }
}

fn bytes_of(info: &TensorInfo) -> usize {
    info.shape.elem_count() / info.ggml_dtype.block_size() * info.ggml_dtype.type_size()
}

/// candle appends a backtrace to its messages.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
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
