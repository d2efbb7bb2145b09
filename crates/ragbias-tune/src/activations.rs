//! Hidden states that every member of a family shares, computed once a text.
#![allow(unsafe_code, reason = "mapping a file is unsafe: see the safety comment")]

use std::io::Write;
use std::path::Path;

use candle_core::{Device, Tensor};
use half::f16;
use memmap2::Mmap;
use ragbias_core::{ContentHasher, Progress, Role, Unit};
use ragbias_embed::{Bert, Packed};

use crate::base::Base;
use crate::{Error, Result};

/// Below what the shared part of the encoder ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Under this layer, from 0: `(tokens, hidden)` of each text.
    Layer(usize),
    /// After pooling: `(1, hidden)` of each text.
    Pooled,
}

/// States at a cut, as f16 in a mapped file: the rows of all texts, one after the other.
pub(crate) struct Activations {
    pub(crate) cut: Cut,
    map: Mmap,
    /// First row and number of rows, by text.
    rows: Vec<(usize, usize)>,
    hidden: usize,
}

/// `RBACT\0\0` and a version; then the number of texts and the width as u64, the rows of each text as u32, the states.
const MAGIC: [u8; 8] = *b"RBACT\0\0\x01";
const HEADER: usize = 24;

impl Activations {
    /// The states of these texts, from a file in `folder` where they were computed before.
    pub(crate) fn of(
        base: &Base,
        texts: &[(Role, String)],
        cut: Cut,
        folder: &Path,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let mut id =
            ContentHasher::new("activations/1").field(base.id().as_bytes()).field(format!("{cut:?}"));
        for (role, text) in texts {
            id = id.field(format!("{role:?}")).field(text);
        }
        let path = folder.join(format!("{}.f16", id.finish().short()));
        if !path.is_file() {
            compute(base, texts, cut, &path, progress)?;
        }
        Self::open(&path, texts.len(), base.shape().hidden_size, cut)
    }

    fn open(path: &Path, texts: usize, hidden: usize, cut: Cut) -> Result<Self> {
        let file = fs_err::File::open(path)?;
        // SAFETY: the file is written whole and renamed into place, and read as bytes within the bounds checked below.
        let map = unsafe { Mmap::map(file.file()) }?;
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
        if map.len() != HEADER + 4 * texts + start * hidden * 2 {
            return Err(damaged());
        }
        Ok(Self { cut, map, rows, hidden })
    }

    /// States of some texts, `(rows, hidden)`, and the rows of each.
    pub(crate) fn gather(&self, texts: &[usize], device: &Device) -> Result<(Tensor, Vec<usize>)> {
        let data = HEADER + 4 * self.rows.len();
        let mut values: Vec<f32> = Vec::new();
        let mut lengths = Vec::with_capacity(texts.len());
        for &text in texts {
            let (start, count) = self.rows[text];
            let from = data + start * self.hidden * 2;
            let bytes = &self.map[from..from + count * self.hidden * 2];
            values.extend(bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()));
            lengths.push(count);
        }
        let rows = values.len() / self.hidden;
        Ok((Tensor::from_vec(values, (rows, self.hidden), device)?, lengths))
    }
}

/// Texts of one pass.
const BATCH: usize = 32;

fn compute(
    base: &Base,
    texts: &[(Role, String)],
    cut: Cut,
    path: &Path,
    progress: &dyn Progress,
) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)?;
    let bert = Bert::new(base.shape(), &base.parameters)?;
    let step = progress.begin("computing hidden states", texts.len() as u64, Unit::Items);
    let mut counts = Vec::new();
    let mut states = tempfile::NamedTempFile::new_in(folder)?;
    for batch in texts.chunks(BATCH) {
        let mut sequences = Vec::with_capacity(batch.len());
        for (role, text) in batch {
            sequences.extend(base.embedder.tokenise(&[text], *role)?);
        }
        let packed = Packed::new(&sequences);
        let until = if let Cut::Layer(layer) = cut { layer } else { bert.layers() };
        let mut rows = bert.run_layers(&bert.embed_tokens(&packed)?, &packed.lengths, 0..until)?;
        if cut == Cut::Pooled {
            rows = Bert::pool(&rows, &packed.lengths, base.embedder.config().pooling)?;
            counts.extend(batch.iter().map(|_| 1));
        } else {
            counts.extend(packed.lengths.iter().map(|&length| length as u32));
        }
        let values = rows.flatten_all()?.to_vec1::<f32>()?;
        let bytes: Vec<u8> = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
        states.write_all(&bytes)?;
        step.advance(batch.len() as u64);
    }
    let mut whole = tempfile::NamedTempFile::new_in(folder)?;
    whole.write_all(&MAGIC)?;
    whole.write_all(&(texts.len() as u64).to_le_bytes())?;
    whole.write_all(&(base.shape().hidden_size as u64).to_le_bytes())?;
    whole.write_all(&counts.iter().flat_map(|count: &u32| count.to_le_bytes()).collect::<Vec<_>>())?;
    let mut written = states.reopen()?;
    std::io::copy(&mut written, &mut whole)?;
    whole.flush()?;
    whole.persist(path).map_err(|error| error.error)?;
    Ok(())
}
