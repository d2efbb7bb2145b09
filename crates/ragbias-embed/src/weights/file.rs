//! One file of weights, with the position of each tensor.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ragbias_files::MappedFile;
use safetensors::SafeTensors;

use super::place::Place;
use super::torch;
use crate::{Error, Result, files};

/// A memory-mapped safetensors or PyTorch file.
pub(super) struct WeightsFile {
    pub(super) path: PathBuf,
    map: MappedFile,
    pub(super) tensors: BTreeMap<String, Place>,
}

impl WeightsFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let map = files::map(path)?;
        let is_safetensors = path.extension().is_some_and(|extension| extension == "safetensors");
        let tensors = if is_safetensors {
            safetensors_places(&map).map_err(|reason| Error::Weights { path: path.into(), reason })?
        } else {
            torch::places(&map).map_err(|reason| Error::Pickle { path: path.into(), reason })?
        };
        Ok(Self { path: path.into(), map, tensors })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Gives back the memory of what has been read.
    pub(super) fn release(&self) {
        self.map.release();
    }

    /// The values of a tensor as in the file, in row-major order.
    pub(super) fn values(&self, place: &Place) -> Cow<'_, [u8]> {
        let size = place.dtype.bitsize() / 8;
        let Some(strides) = &place.strides else {
            return Cow::Borrowed(&self.map[place.start..place.start + place.count() * size]);
        };
        let mut values = Vec::with_capacity(place.count() * size);
        let mut index = vec![0; strides.len()];
        for _ in 0..place.count() {
            let at = index.iter().zip(strides).map(|(index, stride)| index * stride).sum::<usize>();
            values.extend_from_slice(&self.map[place.start + at * size..][..size]);
            // The last dimension varies fastest.
            for (index, &length) in index.iter_mut().zip(&place.shape).rev() {
                *index += 1;
                if *index < length {
                    break;
                }
                *index = 0;
            }
        }
        Cow::Owned(values)
    }
}

fn safetensors_places(
    bytes: &[u8],
) -> std::result::Result<BTreeMap<String, Place>, safetensors::SafeTensorError> {
    /// Size of the length field before the header, in bytes.
    const LENGTH: usize = 8;
    let (header, metadata) = SafeTensors::read_metadata(bytes)?;
    let places = metadata.tensors().into_iter().map(|(name, tensor)| {
        let start = LENGTH + header + tensor.data_offsets.0;
        (name, Place { dtype: tensor.dtype, shape: tensor.shape.clone(), start, strides: None })
    });
    Ok(places.collect())
}
