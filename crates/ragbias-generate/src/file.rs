//! A GGUF file: metadata, tokenizer and weights, every weight checked once.
#![allow(unsafe_code, reason = "mapping a file is unsafe: see the safety comment")]

use std::collections::HashMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{Content, TensorInfo, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use memmap2::Mmap;
use ragbias_core::ContentId;

use crate::{Error, Result};

pub(crate) struct GgufFile {
    path: PathBuf,
    map: Mmap,
    content: Content,
}

impl GgufFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = fs_err::File::open(path)?;
        // SAFETY: the map is read as bytes while the model is loaded, and every tensor is checked to lie within it.
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
        Ok(Self { path: path.into(), map, content })
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

    /// A tensor as the file has it.
    pub(crate) fn quantised_tensor(&self, name: &str) -> Result<QTensor> {
        let mut reader = Cursor::new(&self.map[..]);
        let tensor = self.content.tensor(&mut reader, name, &Device::Cpu);
        tensor.map_err(|error| self.broken(first_line(&error)))
    }

    /// A tensor in f32, every value finite.
    pub(crate) fn dense_tensor(&self, name: &str) -> Result<Tensor> {
        let tensor = self.quantised_tensor(name)?.dequantize(&Device::Cpu)?;
        // A sum is finite only where all its terms are.
        if !tensor.sum_all()?.to_scalar::<f32>()?.is_finite() {
            return Err(Error::NotFinite { path: self.path.clone(), tensor: name.into() });
        }
        Ok(tensor)
    }

    fn broken(&self, reason: String) -> Error {
        Error::File { path: self.path.clone(), reason }
    }

    /// The weights in f32, as a GGUF in memory, without the tokenizer.
    ///
    /// Prompts are matrix products: through candle's f32 kernels they run several times faster than through its
    /// quantised ones, for four bytes a weight. And they are exact: the quantised kernels round activations to 8 bits,
    /// which moves log-probabilities by up to 0.05 nats and with them the choice between two claims.
    pub(crate) fn dense(&self) -> Result<(Content, Cursor<Vec<u8>>)> {
        let mut data = Vec::new();
        let mut tensor_infos = HashMap::with_capacity(self.content.tensor_infos.len());
        for (name, info) in &self.content.tensor_infos {
            let values = self.dense_tensor(name)?.flatten_all()?.to_vec1::<f32>()?;
            let offset = data.len() as u64;
            data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            let shape = info.shape.clone();
            tensor_infos.insert(name.clone(), TensorInfo { ggml_dtype: GgmlDType::F32, shape, offset });
        }
        let metadata = self.content.metadata.iter();
        let metadata = metadata
            .filter(|(key, _)| !key.starts_with("tokenizer."))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let content = Content { magic: self.content.magic, metadata, tensor_infos, tensor_data_offset: 0 };
        Ok((content, Cursor::new(data)))
    }
}

fn bytes_of(info: &TensorInfo) -> usize {
    info.shape.elem_count() / info.ggml_dtype.block_size() * info.ggml_dtype.type_size()
}

/// candle appends a backtrace to its messages.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
