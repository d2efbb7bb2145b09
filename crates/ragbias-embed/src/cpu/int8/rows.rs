//! Rows of activations in 8 bits.
#![allow(clippy::inline_always, reason = "the loops are compiled for the registers of the caller")]

use ragbias_kernels::{Matrix, widest};

use super::layout::QUAD;

/// The largest activation.
const MOST_ACTIVATION: f32 = 255.0;

/// Rows of activations, each with a scale and a zero point.
pub(super) struct Rows {
    /// `(rows, 4·quads)`, padded with anything: the weights there are 0.
    pub(super) values: Vec<[u8; QUAD]>,
    pub(super) scales: Vec<f32>,
    pub(super) zeros: Vec<i32>,
    pub(super) quads: usize,
}

impl Rows {
    pub(super) fn quantised(x: Matrix<'_>) -> Self {
        let (rows, inputs) = x.shape();
        let quads = inputs.div_ceil(QUAD);
        let mut values = vec![[0; QUAD]; rows * quads];
        let (mut scales, mut zeros) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        widest(|| {
            for (row, values) in values.chunks_exact_mut(quads.max(1)).enumerate() {
                let (scale, zero) = quantise(x.row(row), values.as_flattened_mut());
                scales.push(scale);
                zeros.push(zero);
            }
        });
        Self { values, scales, zeros, quads }
    }

    /// The first values of a row.
    pub(super) fn start(&self, row: usize) -> *const [u8; QUAD] {
        self.values[row * self.quads..][..self.quads].as_ptr()
    }
}

/// a = x/t + z, rounded, and t and z; 0 is represented exactly.
#[inline(always)]
fn quantise(x: &[f32], values: &mut [u8]) -> (f32, i32) {
    /// Added to a small number, it leaves its nearest integer in the lowest bits; ties go to the even one.
    const ROUNDER: f32 = 12_582_912.0;
    // Sixteen at a time, so that the loop becomes vector code.
    let (mut least, mut most, mut zeros) = ([0.0_f32; 16], [0.0_f32; 16], [0.0_f32; 16]);
    let (sixteens, rest) = x.as_chunks::<16>();
    let mut include = |place: usize, x: f32| {
        least[place] = if x < least[place] { x } else { least[place] };
        most[place] = if x > most[place] { x } else { most[place] };
        zeros[place] += 0.0 * x;
    };
    for sixteen in sixteens {
        (0..16).for_each(|place| include(place, sixteen[place]));
    }
    rest.iter().enumerate().for_each(|(place, &x)| include(place, x));
    let least = least.into_iter().fold(0.0, f32::min);
    let most = most.into_iter().fold(0.0, f32::max);
    let scale = ((most - least) / MOST_ACTIVATION).max(f32::MIN_POSITIVE);
    let inverse = 1.0 / scale;
    let zero = (-least * inverse).round_ties_even().min(MOST_ACTIVATION);
    for (value, &x) in values.iter_mut().zip(x) {
        *value = (x.mul_add(inverse, zero).clamp(0.0, MOST_ACTIVATION) + ROUNDER).to_bits() as u8;
    }
    // A row with a non-finite value has a scale of NaN, and so has its result.
    (scale + zeros.into_iter().sum::<f32>(), zero as i32)
}
