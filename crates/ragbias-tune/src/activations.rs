//! Hidden states shared by all members of a family, computed once per text.

use std::io::{Read, Seek, Write};
use std::path::Path;

use half::f16;
use half::slice::HalfFloatSliceExt;
use ragbias_core::{ContentHasher, ContentId, Embedder, Progress, Role, Unit};
use ragbias_embed::{Boundary, Input, Packed};
use ragbias_files::{MappedFile, folder_of, scratch_file, tidy, write_file_by};

use crate::base::Base;
use crate::{Error, Result};

/// Where the shared part of the encoder ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// At a boundary: `(tokens, hidden)` for each text.
    Boundary(Boundary),
    /// After pooling, and the linear maps that the base has after it: `(1, dim)` for each text.
    Pooled,
}

/// States at a boundary, as f16 in a memory-mapped file: the rows of all texts, one after the other.
pub(crate) struct Activations {
    pub(crate) cut: Cut,
    map: MappedFile,
    /// First row and number of rows, by text.
    rows: Vec<(usize, usize)>,
    hidden: usize,
}

/// `RBACT\0\0` and a version; then the number of texts and the width as u64, the rows of each text as u32, the states.
const MAGIC: [u8; 8] = *b"RBACT\0\0\x02";
const HEADER: usize = 24;

/// Bytes at the end of a file: blake3 of everything before.
const CHECKSUM: usize = 32;

impl Activations {
    /// The states of these texts, from a file in `folder` if they were computed before.
    pub(crate) fn of(
        base: &Base,
        texts: &[(Role, String)],
        cut: Cut,
        folder: &Path,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let mut id =
            ContentHasher::new("activations/2").field(base.id().as_bytes()).field(format!("{cut:?}"));
        for (role, text) in texts {
            id = id.field(format!("{role:?}")).field(text);
        }
        let path = folder.join(format!("{}.f16", id.finish().short()));
        tidy(folder);
        let open = || Self::open(&path, texts.len(), width(base, cut), cut);
        // A damaged or outdated file is computed again, like a missing one.
        if let Ok(kept) = open() {
            return Ok(kept);
        }
        compute(base, texts, cut, &path, progress)?;
        open()
    }

    fn open(path: &Path, texts: usize, hidden: usize, cut: Cut) -> Result<Self> {
        let map = MappedFile::open(path)?;
        let damaged =
            || Error::State { path: path.into(), reason: "not a whole file of hidden states".into() };
        let number = |at: usize| -> Option<usize> {
            Some(u64::from_le_bytes(*map.get(at..at + 8)?.first_chunk()?) as usize)
        };
        if !map.starts_with(&MAGIC) || number(8) != Some(texts) || number(16) != Some(hidden) {
            return Err(damaged());
        }
        let counts = map.get(HEADER..HEADER + 4 * texts).ok_or_else(damaged)?;
        let mut start = 0;
        let rows: Vec<(usize, usize)> = counts
            .chunks_exact(4)
            .map(|b| {
                let count = u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize;
                start += count;
                (start - count, count)
            })
            .collect();
        // Pooled states have one row each; a text has at least one token.
        if rows.iter().any(|&(_, count)| count == 0 || (cut == Cut::Pooled && count != 1)) {
            return Err(damaged());
        }
        if map.len() != HEADER + 4 * texts + start * hidden * 2 + CHECKSUM {
            return Err(damaged());
        }
        let (content, checksum) = map.split_at(map.len() - CHECKSUM);
        if ContentId::of(content).as_bytes() != checksum {
            return Err(damaged());
        }
        Ok(Self { cut, map, rows, hidden })
    }

    /// States of some texts, `(rows, hidden)`, row-major, and the number of rows of each.
    pub(crate) fn gather(&self, texts: &[usize]) -> (Vec<f32>, Vec<usize>) {
        let data = HEADER + 4 * self.rows.len();
        let lengths: Vec<usize> = texts.iter().map(|&text| self.rows[text].1).collect();
        let mut values = vec![0.0; lengths.iter().sum::<usize>() * self.hidden];
        let mut rest = values.as_mut_slice();
        for &text in texts {
            let (start, count) = self.rows[text];
            let from = data + start * self.hidden * 2;
            let (rows, after) = rest.split_at_mut(count * self.hidden);
            let bytes = &self.map[from..from + rows.len() * 2];
            // Through a buffer of one or two vector registers, as the file's f16 values need not be aligned.
            for (values, bytes) in rows.chunks_mut(32).zip(bytes.chunks(64)) {
                let mut halves = [f16::ZERO; 32];
                for (half, b) in halves.iter_mut().zip(bytes.chunks_exact(2)) {
                    *half = f16::from_le_bytes([b[0], b[1]]);
                }
                halves[..values.len()].convert_to_f32_slice(values);
            }
            rest = after;
        }
        (values, lengths)
    }
}

/// Width of a row at a cut.
fn width(base: &Base, cut: Cut) -> usize {
    match cut {
        Cut::Boundary(_) => base.shape().hidden_size,
        Cut::Pooled => base.embedder.dim(),
    }
}

/// Number of texts in one pass.
const BATCH: usize = 128;

fn compute(
    base: &Base,
    texts: &[(Role, String)],
    cut: Cut,
    path: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    let encoder = base.embedder.encoder();
    let step = progress.begin("computing hidden states", texts.len() as u64, Unit::Items);
    let mut counts = Vec::new();
    let mut states = scratch_file(folder_of(path))?;
    for batch in texts.chunks(BATCH) {
        let mut sequences = Vec::with_capacity(batch.len());
        for (role, text) in batch {
            sequences.extend(base.embedder.tokenise(&[text], *role)?);
        }
        let packed = Packed::new(&sequences);
        let values = match cut {
            Cut::Boundary(place) => {
                counts.extend(packed.lengths.iter().map(|&length| length as u32));
                encoder.states(Input::Tokens(&packed), place)?
            }
            Cut::Pooled => {
                counts.extend(batch.iter().map(|_| 1));
                let vectors = base.embedder.map(encoder.vectors(Input::Tokens(&packed))?)?;
                vectors.flatten_all()?.to_vec1::<f32>()?
            }
        };
        if let Some(value) = values.iter().find(|value| value.abs() > f16::MAX.to_f32()) {
            return Err(Error::Setting {
                setting: "scope",
                expected:
                    "full: hidden states of this base are beyond half precision, in which they are kept"
                        .into(),
                received: format!("one with a hidden state of {value}"),
            });
        }
        let bytes: Vec<u8> = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
        states.write_all(&bytes)?;
        step.advance(batch.len() as u64);
    }
    let mut head = MAGIC.to_vec();
    head.extend((texts.len() as u64).to_le_bytes());
    head.extend((width(base, cut) as u64).to_le_bytes());
    head.extend(counts.iter().flat_map(|count: &u32| count.to_le_bytes()));
    states.rewind()?;
    let checksum = ContentId::read(head.as_slice().chain(&states))?;
    states.rewind()?;
    write_file_by(path, |out| {
        out.write_all(&head)?;
        std::io::copy(&mut states, out)?;
        Ok(out.write_all(checksum.as_bytes())?)
    })
}

#[cfg(test)]
mod tests {
    use ragbias_core::Silent;
    use ragbias_embed::TextEmbedderConfig;
    use ragbias_models::{ModelKind, ModelStore};

    use super::*;

    #[test]
    fn hidden_states_that_are_damaged_on_disk_are_computed_again() {
        let minilm = ModelStore::from_env().unwrap().resolve("minilm", ModelKind::Embedder, &Silent).unwrap();
        let base = Base::load(&minilm, &TextEmbedderConfig::default()).unwrap();
        let texts = ["a bridge", "a longer bridge"].map(|text| (Role::Document, text.to_owned()));
        let folder = tempfile::tempdir().unwrap();
        let states = || {
            let kept = Activations::of(&base, &texts, Cut::Pooled, folder.path(), &Silent).unwrap();
            kept.gather(&[0, 1])
        };
        let first = states();
        let file = fs_err::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let whole = fs_err::read(&file).unwrap();
        for at in [0, 9, HEADER, HEADER + 8, whole.len() / 2, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 16;
            fs_err::write(&file, bytes).unwrap();
            assert_eq!(states(), first, "byte {at}");
            assert_eq!(fs_err::read(&file).unwrap(), whole, "byte {at}");
        }
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }
}
