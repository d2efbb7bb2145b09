//! What all layers need for the texts of one pass.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};

use super::buckets::View;
use crate::Result;
use crate::config::{Reach, Rotary};
use crate::relative::buckets;

/// What depends on the lengths of the texts of a pass alone.
pub(super) struct Pass {
    views: Vec<View>,
    /// Empty without relative attention.
    biases: Biases,
    rotations: Vec<(Rotary, Rotation)>,
}

/// The biases of the scores of texts by their length with padding, `(heads, length, length)`, f32.
type Biases = BTreeMap<usize, Tensor>;

/// The biases of a text's scores, `(heads, length, length)`, f32, from their table.
fn biases(table: &Tensor, length: usize) -> Result<Tensor> {
    let by_distance: Vec<u32> = buckets(length).map(|bucket| bucket as u32).collect();
    let at: Vec<u32> = (0..length)
        .flat_map(|query| &by_distance[length - 1 - query..2 * length - 1 - query])
        .copied()
        .collect();
    let rows = table.index_select(&Tensor::from_vec(at, length * length, table.device())?, 0)?;
    let biases = rows.reshape((length, length, table.dim(1)?))?.permute((2, 0, 1))?;
    Ok(biases.contiguous()?.to_dtype(DType::F32)?)
}

/// The angles by which the queries and keys of all tokens are turned.
pub(super) struct Rotation {
    /// `(tokens, 1, width/2)`.
    cosines: Tensor,
    /// The same.
    sines: Tensor,
}

impl Rotation {
    fn new(rotary: Rotary, width: usize, lengths: &[usize], dtype: DType, device: &Device) -> Result<Self> {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let positions: Vec<u32> = lengths.iter().flat_map(|&length| 0..length as u32).collect();
        let positions = Tensor::from_vec(positions, lengths.iter().sum::<usize>(), device)?;
        let (cosines, sines) = rotary.angles(width, longest);
        let of_tokens = |values: Vec<f32>| -> Result<Tensor> {
            let table = Tensor::from_vec(values, (longest, width / 2), device)?.to_dtype(dtype)?;
            Ok(table.index_select(&positions, 0)?.unsqueeze(1)?)
        };
        Ok(Self { cosines: of_tokens(cosines)?, sines: of_tokens(sines)? })
    }

    /// Turns the first half of each head's dimensions with the second, `(tokens, heads, width)`.
    pub(super) fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let half = self.cosines.dim(2)?;
        let (a, b) = (x.narrow(2, 0, half)?, x.narrow(2, half, half)?);
        let first = (a.broadcast_mul(&self.cosines)? - b.broadcast_mul(&self.sines)?)?;
        let second = (b.broadcast_mul(&self.cosines)? + a.broadcast_mul(&self.sines)?)?;
        Ok(Tensor::cat(&[first, second], 2)?)
    }
}

impl Pass {
    /// For layers with these reaches and rotary positions, and `heads` of `width` each.
    pub(super) fn new(
        lengths: &[usize],
        relative: Option<&Tensor>,
        layers: impl Iterator<Item = (Reach, Option<Rotary>)>,
        (heads, width): (usize, usize),
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let mut rotations: Vec<(Rotary, Rotation)> = Vec::new();
        let mut views: Vec<View> = Vec::new();
        for (reach, rotary) in layers {
            if views.iter().all(|view| view.reach != reach) {
                views.push(View::new(reach, lengths, heads, device)?);
            }
            if let Some(rotary) = rotary
                && rotations.iter().all(|(known, _)| *known != rotary)
            {
                rotations.push((rotary, Rotation::new(rotary, width, lengths, dtype, device)?));
            }
        }
        let mut all = Biases::new();
        if let Some(table) = relative {
            let padded: BTreeSet<usize> =
                views.iter().flat_map(|view| &view.buckets).map(|bucket| bucket.queries).collect();
            for length in padded {
                all.insert(length, biases(table, length)?);
            }
        }
        Ok(Self { views, biases: all, rotations })
    }

    /// The queries in layers of this reach.
    pub(super) fn view(&self, reach: Reach) -> &View {
        let view = self.views.iter().find(|view| view.reach == reach);
        view.expect("a view for each layer's reach: this is a bug")
    }

    /// The biases of the scores of a text of this length.
    pub(super) fn biases(&self, length: usize) -> Option<&Tensor> {
        self.biases.get(&length)
    }

    /// The angles of these rotary positions.
    pub(super) fn rotation(&self, rotary: Rotary) -> Option<&Rotation> {
        self.rotations.iter().find(|(known, _)| *known == rotary).map(|(_, rotation)| rotation)
    }
}
