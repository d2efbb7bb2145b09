//! The header of a GGUF file (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>): metadata, and what tensors there
//! are. Every count and length is checked against the file before anything is allocated for it.

use std::collections::BTreeMap;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;

/// What is wrong with a header, and what to do.
pub(crate) struct Fault {
    pub(crate) reason: String,
    pub(crate) hint: String,
}

type Result<T> = std::result::Result<T, Fault>;

pub(crate) const TRUNCATED: &str =
    "a download that broke off looks like this; delete the file and download it again";
pub(crate) const DAMAGED: &str = "the file is damaged; download it again, or convert the model anew";

fn fault<T>(reason: impl Into<String>, hint: impl Into<String>) -> Result<T> {
    Err(Fault { reason: reason.into(), hint: hint.into() })
}

/// A tensor as the header describes it; its bytes lie within the file.
#[derive(Debug, Clone)]
pub(crate) struct TensorInfo {
    /// Rows first: `(height, width)` of a matrix.
    pub(crate) shape: Vec<usize>,
    pub(crate) format: GgmlDType,
    /// From the file's beginning.
    pub(crate) start: usize,
    pub(crate) bytes: usize,
}

pub(crate) struct Header {
    pub(crate) metadata: BTreeMap<String, Value>,
    pub(crate) tensors: BTreeMap<String, TensorInfo>,
}

/// All values of all lists of a file together; the largest vocabularies have a quarter of a million tokens.
const MOST_VALUES: u64 = 8_000_000;
const MOST_DIMENSIONS: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;

impl Header {
    pub(crate) fn read(file: &[u8]) -> Result<Self> {
        if file.is_empty() {
            return fault("the file is empty", TRUNCATED);
        }
        if file.starts_with(b"version https://git-lfs.github.com/spec/") {
            return fault(
                "this is a git-lfs pointer, not the model",
                "run `git lfs pull` in the repository that it comes from",
            );
        }
        if !file.starts_with(b"GGUF") {
            return fault("not a GGUF file: it does not begin with the letters GGUF", DAMAGED);
        }
        let mut bytes = Bytes { file, at: 4, values: 0 };
        match bytes.u32()? {
            2 | 3 => {}
            1 => return fault("version 1 of GGUF, expected 2 or 3", "convert the model again"),
            version if matches!(version.swap_bytes(), 1..=3) => {
                return fault("the file is big-endian, expected little-endian", "convert the model again");
            }
            version => return fault(format!("version {version} of GGUF, expected 2 or 3"), DAMAGED),
        }
        let (tensors, entries) = (bytes.u64()?, bytes.u64()?);
        let mut metadata = BTreeMap::new();
        for _ in 0..entries {
            let key = bytes.string()?;
            let kind = bytes.u32()?;
            let value = bytes.value(&key, kind)?;
            if metadata.insert(key.clone(), value).is_some() {
                return fault(format!("key `{key}` is there twice"), DAMAGED);
            }
        }
        let mut described = Vec::new();
        for _ in 0..tensors {
            described.push(bytes.tensor()?);
        }
        let alignment = match metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(Value::U32(alignment)) if alignment.is_power_of_two() && *alignment >= 8 => {
                u64::from(*alignment)
            }
            Some(other) => {
                let reason = format!("general.alignment is {other:?}, expected a power of two from 8 on");
                return fault(reason, DAMAGED);
            }
        };
        let data = (bytes.at as u64).next_multiple_of(alignment);
        let tensors = placed(described, data, alignment, file.len())?;
        Ok(Self { metadata, tensors })
    }
}

/// A tensor's name, shape, format and offset from where the data begin.
struct Described {
    name: String,
    shape: Vec<usize>,
    format: GgmlDType,
    offset: u64,
}

fn placed(
    described: Vec<Described>,
    data: u64,
    alignment: u64,
    length: usize,
) -> Result<BTreeMap<String, TensorInfo>> {
    let mut tensors = BTreeMap::new();
    let mut spans = Vec::with_capacity(described.len());
    for Described { name, shape, format, offset } in described {
        let width = shape.last().copied().unwrap_or(1);
        let count = shape.iter().try_fold(1_usize, |all, &side| all.checked_mul(side));
        let bytes = count
            .filter(|_| width.is_multiple_of(format.block_size()))
            .and_then(|count| (count / format.block_size()).checked_mul(format.type_size()))
            .filter(|&bytes| bytes > 0);
        let Some(bytes) = bytes else {
            return fault(
                format!("tensor `{name}` of shape {shape:?} holds no whole blocks of {format:?}"),
                DAMAGED,
            );
        };
        if !offset.is_multiple_of(alignment) {
            return fault(
                format!("tensor `{name}` begins at {offset}, expected a multiple of {alignment}"),
                DAMAGED,
            );
        }
        let start = data.checked_add(offset);
        let end = start.and_then(|start| start.checked_add(bytes as u64));
        let (Some(start), Some(end)) = (start, end) else {
            return fault(format!("tensor `{name}` begins at {offset}, beyond every file's end"), DAMAGED);
        };
        if end > length as u64 {
            return fault(
                format!("the file is truncated: tensor `{name}` ends at byte {end}, the file has {length}"),
                TRUNCATED,
            );
        }
        spans.push((start, end, name.clone()));
        let info = TensorInfo { shape, format, start: start as usize, bytes };
        if tensors.insert(name.clone(), info).is_some() {
            return fault(format!("tensor `{name}` is there twice"), DAMAGED);
        }
    }
    spans.sort_unstable();
    if let Some([(_, _, first), (_, _, second)]) =
        spans.array_windows().find(|[(_, end, _), (start, _, _)]| start < end)
    {
        return fault(format!("tensors `{first}` and `{second}` overlap"), DAMAGED);
    }
    Ok(tensors)
}

/// The file, read from its beginning.
struct Bytes<'f> {
    file: &'f [u8],
    at: usize,
    /// How many values of lists were read.
    values: u64,
}

impl<'f> Bytes<'f> {
    fn take(&mut self, count: u64) -> Result<&'f [u8]> {
        let left = (self.file.len() - self.at) as u64;
        if count > left {
            return fault(
                format!(
                    "the file is truncated: {count} bytes expected at byte {}, {left} are there",
                    self.at
                ),
                TRUNCATED,
            );
        }
        let taken = &self.file[self.at..][..count as usize];
        self.at += count as usize;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N as u64)?.try_into().expect("as many bytes as were taken; this is a bug"))
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn string(&mut self) -> Result<String> {
        let (length, at) = (self.u64()?, self.at);
        let bytes = self.take(length)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.into()),
            Err(_) => fault(format!("the text at byte {at} is not UTF-8"), DAMAGED),
        }
    }

    fn value(&mut self, key: &str, kind: u32) -> Result<Value> {
        Ok(match kind {
            0 => Value::U8(self.array::<1>()?[0]),
            1 => Value::I8(i8::from_le_bytes(self.array()?)),
            2 => Value::U16(u16::from_le_bytes(self.array()?)),
            3 => Value::I16(i16::from_le_bytes(self.array()?)),
            4 => Value::U32(self.u32()?),
            5 => Value::I32(i32::from_le_bytes(self.array()?)),
            6 => Value::F32(f32::from_le_bytes(self.array()?)),
            7 => match self.array::<1>()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [other] => {
                    return fault(
                        format!("key `{key}` is the truth value {other}, expected 0 or 1"),
                        DAMAGED,
                    );
                }
            },
            8 => Value::String(self.string()?),
            9 => {
                let (kind, count) = (self.u32()?, self.u64()?);
                if kind == 9 {
                    return fault(format!("key `{key}` is a list of lists, which no model needs"), DAMAGED);
                }
                self.values = self.values.saturating_add(count);
                // Every value takes at least a byte.
                if self.values > MOST_VALUES || count > (self.file.len() - self.at) as u64 {
                    return fault(
                        format!("the file is truncated or damaged: key `{key}` is a list of {count} values"),
                        TRUNCATED,
                    );
                }
                let values = (0..count).map(|_| self.value(key, kind)).collect::<Result<Vec<_>>>()?;
                Value::Array(values)
            }
            10 => Value::U64(self.u64()?),
            11 => Value::I64(i64::from_le_bytes(self.array()?)),
            12 => Value::F64(f64::from_le_bytes(self.array()?)),
            other => {
                return fault(format!("key `{key}` has the type {other}, which GGUF does not have"), DAMAGED);
            }
        })
    }

    fn tensor(&mut self) -> Result<Described> {
        let name = self.string()?;
        let dimensions = self.u32()?;
        if !(1..=MOST_DIMENSIONS).contains(&dimensions) {
            return fault(format!("tensor `{name}` has {dimensions} dimensions, expected 1 to 4"), DAMAGED);
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let Ok(side) = usize::try_from(self.u64()?) else {
                return fault(format!("tensor `{name}` is too large"), DAMAGED);
            };
            shape.push(side);
        }
        shape.reverse();
        let format = format(&name, self.u32()?)?;
        Ok(Described { name, shape, format, offset: self.u64()? })
    }
}

/// The format of a tensor by its number in `ggml_type`.
fn format(tensor: &str, number: u32) -> Result<GgmlDType> {
    let name = match number {
        0 => return Ok(GgmlDType::F32),
        1 => return Ok(GgmlDType::F16),
        2 => return Ok(GgmlDType::Q4_0),
        3 => return Ok(GgmlDType::Q4_1),
        6 => return Ok(GgmlDType::Q5_0),
        7 => return Ok(GgmlDType::Q5_1),
        8 => return Ok(GgmlDType::Q8_0),
        10 => return Ok(GgmlDType::Q2K),
        11 => return Ok(GgmlDType::Q3K),
        12 => return Ok(GgmlDType::Q4K),
        13 => return Ok(GgmlDType::Q5K),
        14 => return Ok(GgmlDType::Q6K),
        30 => return Ok(GgmlDType::BF16),
        4 => "Q4_2",
        5 => "Q4_3",
        9 => "Q8_1",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        31 => "Q4_0_4_4",
        32 => "Q4_0_4_8",
        33 => "Q4_0_8_8",
        34 => "TQ1_0",
        35 => "TQ2_0",
        36 => "IQ4_NL_4_4",
        37 => "IQ4_NL_4_8",
        38 => "IQ4_NL_8_8",
        39 => "MXFP4",
        40 => "NVFP4",
        other => {
            return fault(
                format!("tensor `{tensor}` has the type {other}, which GGUF does not have"),
                DAMAGED,
            );
        }
    };
    fault(
        format!(
            "tensor `{tensor}` is {name}; read are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q6_K"
        ),
        "take the model in one of these, or requantise it: `llama-quantize --allow-requantize IN.gguf OUT.gguf Q8_0`",
    )
}
