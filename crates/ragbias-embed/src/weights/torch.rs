//! PyTorch files (`torch.save`): a pickle with the positions of tensors, and their values, in a zip archive; before PyTorch
//! 1.6, in sequence.
//!
//! No code in a pickle is run: see [`pickle`](super::pickle).

use std::collections::{BTreeMap, HashMap};
use std::io::Cursor;

use zip::{CompressionMethod, ZipArchive};

use super::pickle::Machine;
use super::place::Place;
use super::value::{TensorRef, Value};

type Result<T> = std::result::Result<T, String>;

/// A reader with a known length, so that nothing beyond the file is accepted.
#[derive(Clone, Copy)]
struct Storage {
    start: usize,
    /// Bytes.
    length: usize,
}

pub(super) fn places(bytes: &[u8]) -> Result<BTreeMap<String, Place>> {
    if bytes.starts_with(b"PK\x03\x04") { of_archive(bytes) } else { of_sequence(bytes) }
}

/// `NAME/data.pkl` and `NAME/data/KEY`, not compressed.
fn of_archive(bytes: &[u8]) -> Result<BTreeMap<String, Place>> {
    let cut = |error: zip::result::ZipError| format!("not a whole archive of PyTorch: {error}");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(cut)?;
    let mut members = HashMap::new();
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(cut)?;
        let (name, size) = (member.name().to_owned(), member.size());
        let start = member.data_start().ok_or("an archive whose members have no place")?;
        let end = start.checked_add(size).filter(|&end| end <= bytes.len() as u64);
        if end.is_none() || member.compression() != CompressionMethod::Stored || member.encrypted() {
            return Err(format!("member `{name}` is cut, compressed or encrypted"));
        }
        members.insert(name, Storage { start: start as usize, length: size as usize });
    }
    let mut pickles =
        members.iter().filter_map(|(name, place)| Some((name.strip_suffix("/data.pkl")?, *place)));
    let (Some((root, pickle)), None) = (pickles.next(), pickles.next()) else {
        return Err("not an archive of PyTorch: expected one member `NAME/data.pkl`".into());
    };
    if let Some(order) = members.get(&format!("{root}/byteorder")) {
        let order = &bytes[order.start..order.start + order.length];
        if order != b"little" {
            return Err(format!("byte order `{}`, expected little", String::from_utf8_lossy(order)));
        }
    }
    let mut machine = Machine::new(&bytes[pickle.start..pickle.start + pickle.length]);
    let value = machine.run()?;
    let storage = |key: &str| members.get(&format!("{root}/data/{key}")).copied();
    named(&machine, &value, storage)
}

/// Five pickles (a magic number, a version, the machine, the weights, the keys of the storages), then each storage's length as
/// i64 and its values.
fn of_sequence(bytes: &[u8]) -> Result<BTreeMap<String, Place>> {
    let mut machine = Machine::new(bytes);
    let Ok(Value::Magic) = machine.run() else {
        return Err("not a file of PyTorch: neither an archive nor its older layout".into());
    };
    machine.run()?;
    machine.run()?;
    let value = machine.run()?;
    let keys = machine.run()?;
    let keys = machine.texts(&keys).ok_or("no list of storages after the weights")?;
    let sizes = machine.storage_sizes();
    let mut at = bytes.len() - machine.rest().len();
    let mut storages = HashMap::new();
    for key in keys {
        let size = *sizes.get(&key).ok_or_else(|| format!("storage `{key}` belongs to no tensor"))?;
        let count = bytes.get(at..at + 8).map(|b| i64::from_le_bytes(b.try_into().unwrap_or_default()));
        let length = count.and_then(|count| usize::try_from(count).ok()?.checked_mul(size));
        let length = length.filter(|length| length.checked_add(at + 8).is_some_and(|end| end <= bytes.len()));
        let length = length.ok_or("the file is cut within its values")?;
        storages.insert(key, Storage { start: at + 8, length });
        at += 8 + length;
    }
    named(&machine, &value, |key| storages.get(key).copied())
}

/// The tensors in a dictionary by name.
fn named(
    machine: &Machine<'_>,
    value: &Value,
    storage: impl Fn(&str) -> Option<Storage>,
) -> Result<BTreeMap<String, Place>> {
    let entries = machine.entries(value).ok_or("no dictionary of tensors")?;
    let mut places = BTreeMap::new();
    for (key, value) in entries {
        let Value::Text(name) = key else { return Err("a tensor whose name is no text".into()) };
        let Value::Tensor(tensor) = value else {
            return Err(format!("`{name}` is no tensor: weights alone are read, no state of a training"));
        };
        let place = place(tensor, storage(&tensor.storage.key))
            .map_err(|reason| format!("tensor `{name}`: {reason}"))?;
        places.insert(name.to_string(), place);
    }
    Ok(places)
}

/// The position of a tensor, checked: every value within its storage, no value twice.
fn place(tensor: &TensorRef, storage: Option<Storage>) -> Result<Place> {
    let storage = storage.ok_or_else(|| format!("no values `{}`", tensor.storage.key))?;
    let size = tensor.storage.dtype.bitsize() / 8;
    let available = storage.length / size;
    let beyond = || format!("values beyond the {available} of its storage");
    let count = tensor
        .shape
        .iter()
        .try_fold(1_usize, |count, &length| count.checked_mul(length))
        .ok_or_else(beyond)?;
    let mut last = tensor.offset;
    let mut row_major = 1_usize;
    let mut is_row_major = true;
    for (&length, &stride) in tensor.shape.iter().zip(&tensor.strides).rev() {
        let reach = length.saturating_sub(1).checked_mul(stride).ok_or_else(beyond)?;
        last = last.checked_add(reach).ok_or_else(beyond)?;
        is_row_major &= length <= 1 || stride == row_major;
        row_major = row_major.saturating_mul(length);
    }
    if count > 0 && (last >= available || count > available) {
        return Err(beyond());
    }
    let offset = tensor.offset.checked_mul(size).ok_or_else(beyond)?;
    let start = storage.start.checked_add(offset).ok_or_else(beyond)?;
    let strides = (!is_row_major).then(|| tensor.strides.clone());
    let start = if count == 0 { storage.start } else { start };
    Ok(Place { dtype: tensor.storage.dtype, shape: tensor.shape.clone(), start, strides })
}
