//! x·Wᵀ + b with 8-bit weights and activations, summed as integers.
//!
//! Weights have a scale per output and are symmetric, w ≈ s·q with q in ±127; activations have a scale and a zero point per row,
//! computed from the row, x ≈ t·(a − z) with a in 0 to 255 (dynamic quantisation, Jacob et al., 2018,
//! <https://arxiv.org/abs/1712.05877>). Then
//!
//! Σ x·w ≈ t·s·(Σ a·q − z·Σ q),
//!
//! whose sums are exact: a row's result is bit-identical in any batch and on any processor. AVX2's product of bytes, whose pairs
//! overflow 16 bits at this range, is not used.
#![allow(
    unsafe_code,
    reason = "panels write to columns of the same rows: that none has another's is checked here; vector instructions take pointers"
)]

use std::ops::Range;

use ragbias_kernels::{Matrix, widest};
use rayon::prelude::*;

use crate::config::Activation;

/// Inputs that are multiplied and summed by one instruction, for each of 16 outputs.
const QUAD: usize = 4;

/// The largest weight.
const MOST_WEIGHT: f32 = 127.0;

/// The largest activation.
const MOST_ACTIVATION: f32 = 255.0;

/// Lines of 16 outputs in a panel.
const LINES: usize = 3;

/// Outputs of a panel.
const OUTPUTS: usize = 16 * LINES;

/// Rows of the tallest tile.
const MOST_ROWS: usize = 8;

/// The weights of 16 outputs for four inputs: those of an output beside one another.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Quads([[i8; QUAD]; 16]);

/// What becomes of the sums of a panel's outputs.
#[derive(Clone, Copy)]
struct Scaling {
    scales: [f32; OUTPUTS],
    bias: [f32; OUTPUTS],
    /// Σ q.
    sums: [i32; OUTPUTS],
}

/// A weight matrix `(outputs, inputs)` and a bias in panels of 48 outputs, the last padded with zeros.
pub(super) struct Int8Panels {
    /// Panel by panel, four inputs after four inputs: [`LINES`] lines.
    weights: Vec<Quads>,
    scaling: Vec<Scaling>,
    inputs: usize,
    outputs: usize,
}

impl Int8Panels {
    /// From a matrix and a bias `(outputs,)`.
    pub(super) fn new(weights: Matrix<'_>, bias: &[f32]) -> Self {
        let (outputs, inputs) = weights.shape();
        assert_eq!(bias.len(), outputs, "a bias that does not fit; this is a bug");
        let (panels, quads) = (outputs.div_ceil(OUTPUTS), inputs.div_ceil(QUAD));
        let mut lines = vec![Quads([[0; QUAD]; 16]); panels * quads * LINES];
        let none = Scaling { scales: [0.0; OUTPUTS], bias: [0.0; OUTPUTS], sums: [0; OUTPUTS] };
        let mut scaling = vec![none; panels];
        for (output, &bias) in bias.iter().enumerate() {
            let (panel, column) = (output / OUTPUTS, output % OUTPUTS);
            let (line, place) = (column / 16, column % 16);
            let row = weights.row(output);
            let largest = row.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
            let scale = if largest > 0.0 { largest / MOST_WEIGHT } else { 1.0 };
            let of_panel = &mut lines[panel * quads * LINES..][..quads * LINES];
            let of_output =
                of_panel.iter_mut().skip(line).step_by(LINES).flat_map(|quads| &mut quads.0[place]);
            let scaling = &mut scaling[panel];
            for (quantised, w) in of_output.zip(row) {
                *quantised = (w / scale).round_ties_even() as i8;
                scaling.sums[column] += i32::from(*quantised);
            }
            scaling.scales[column] = scale;
            scaling.bias[column] = bias;
        }
        Self { weights: lines, scaling, inputs, outputs }
    }

    /// out ← f(x·Wᵀ + b), with f = `then` or the identity, `(rows, outputs)`; x is `(rows, inputs)`. If `spread`, over all
    /// threads.
    pub(super) fn product(&self, x: Matrix<'_>, then: Option<Activation>, out: &mut [f32], spread: bool) {
        self.product_by(Kernel::of_this_machine(), x, then, out, spread);
    }

    fn product_by(
        &self,
        kernel: Kernel,
        x: Matrix<'_>,
        then: Option<Activation>,
        out: &mut [f32],
        spread: bool,
    ) {
        let (rows, inputs) = x.shape();
        assert!(
            inputs == self.inputs && out.len() == rows * self.outputs,
            "a product that does not fit; this is a bug"
        );
        let x = Rows::quantised(x);
        let out = Out(out.as_mut_ptr());
        let panel = |number: usize| {
            for row in (0..rows).step_by(kernel.rows()) {
                // SAFETY: each panel writes its own columns, and all rows lie within `out`, whose length was checked.
                unsafe { self.tile(kernel, number, &x, row..rows.min(row + kernel.rows()), then, out) };
            }
        };
        let panels = 0..self.scaling.len();
        if spread {
            panels.into_par_iter().for_each(panel);
        } else {
            panels.for_each(panel);
        }
    }

    /// The outputs of a panel for some rows.
    ///
    /// # Safety
    /// `out` has all rows of all outputs, and nobody else holds those of this panel.
    unsafe fn tile(
        &self,
        kernel: Kernel,
        panel: usize,
        x: &Rows,
        rows: Range<usize>,
        then: Option<Activation>,
        out: Out,
    ) {
        let lines = x.quads * LINES;
        let tile = Tile {
            x,
            weights: &self.weights[panel * lines..][..lines],
            scaling: &self.scaling[panel],
            then,
            columns: OUTPUTS.min(self.outputs - panel * OUTPUTS),
            stride: self.outputs,
        };
        // SAFETY: as promised by the caller; the machine has the kernel's instructions, as a `Kernel` is only made where it has.
        unsafe {
            let out = out.0.add(rows.start * self.outputs + panel * OUTPUTS);
            match kernel {
                #[cfg(target_arch = "x86_64")]
                Kernel::Vnni512 => vnni512_of(rows, &tile, out),
                #[cfg(target_arch = "x86_64")]
                Kernel::Vnni256 => vnni256_of(rows, &tile, out),
                #[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
                Kernel::Avx2 => avx2_of(rows, &tile, out),
                Kernel::Plain => plain(rows, &tile, out),
            }
        }
    }
}

/// Rows of activations, each with a scale and a zero point.
struct Rows {
    /// `(rows, 4·quads)`, padded with anything: the weights there are 0.
    values: Vec<[u8; QUAD]>,
    scales: Vec<f32>,
    zeros: Vec<i32>,
    quads: usize,
}

impl Rows {
    fn quantised(x: Matrix<'_>) -> Self {
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
    fn start(&self, row: usize) -> *const [u8; QUAD] {
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

/// Some rows beside a panel.
struct Tile<'a> {
    x: &'a Rows,
    weights: &'a [Quads],
    scaling: &'a Scaling,
    then: Option<Activation>,
    /// Outputs of the panel that are not padding.
    columns: usize,
    /// Values from a row of the output to the next.
    stride: usize,
}

impl Tile<'_> {
    /// Writes f(t·s·(Σ a·q − z·Σ q) + b) for a row, from the sums Σ a·q.
    ///
    /// # Safety
    /// `out` has room for the columns of this row.
    #[inline(always)]
    unsafe fn finish(&self, row: usize, sums: &[i32; OUTPUTS], out: *mut f32) {
        let (scale, zero) = (self.x.scales[row], self.x.zeros[row]);
        let Scaling { scales, bias, sums: of_weights } = self.scaling;
        let mut values = [0.0; OUTPUTS];
        for (output, value) in values.iter_mut().enumerate() {
            let exact = sums[output] - zero * of_weights[output];
            *value = (exact as f32).mul_add(scale * scales[output], bias[output]);
        }
        if let Some(then) = self.then {
            then.apply_to(&mut values);
        }
        // SAFETY: as promised by the caller.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), out, self.columns) };
    }
}

/// The output of all panels, each of which writes its own columns.
#[derive(Clone, Copy)]
struct Out(*mut f32);

// SAFETY: see `Int8Panels::product_by`: no two threads write to one place, and none reads what another writes.
unsafe impl Sync for Out {}
// SAFETY: as above.
unsafe impl Send for Out {}

/// The instruction set that computes a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    #[cfg(target_arch = "x86_64")]
    Vnni512,
    #[cfg(target_arch = "x86_64")]
    Vnni256,
    #[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
    Avx2,
    Plain,
}

impl Kernel {
    /// All that this machine can run, the fastest first.
    fn all() -> impl Iterator<Item = Self> {
        [
            #[cfg(target_arch = "x86_64")]
            (ragbias_kernels::has_avx512() && is_x86_feature_detected!("avx512vnni"))
                .then_some(Self::Vnni512),
            #[cfg(target_arch = "x86_64")]
            is_x86_feature_detected!("avxvnni").then_some(Self::Vnni256),
            #[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
            Some(Self::Avx2),
            Some(Self::Plain),
        ]
        .into_iter()
        .flatten()
    }

    fn of_this_machine() -> Self {
        Self::all().next().unwrap_or(Self::Plain)
    }

    /// Rows of a tile, whose sums fill the registers.
    fn rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni512 => MOST_ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Vnni256 => 6,
            #[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
            Self::Avx2 => 4,
            Self::Plain => 4,
        }
    }
}

/// A function for each number of rows.
#[cfg(target_arch = "x86_64")]
macro_rules! by_rows {
    ($name:ident, $kernel:ident: $($rows:literal)*) => {
        /// # Safety
        /// As [`Int8Panels::tile`], on a machine with the instructions.
        unsafe fn $name(rows: Range<usize>, tile: &Tile<'_>, out: *mut f32) {
            // SAFETY: as promised by the caller.
            unsafe {
                match rows.len() {
                    $($rows => $kernel::<$rows>(rows.start, tile, out),)*
                    _ => unreachable!("a tile of more rows than the registers hold"),
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
by_rows!(vnni512_of, vnni512: 1 2 3 4 5 6 7 8);
#[cfg(target_arch = "x86_64")]
by_rows!(vnni256_of, vnni256: 1 2 3 4 5 6);
#[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
by_rows!(avx2_of, avx2: 1 2 3 4);

/// # Safety
/// As [`Int8Panels::tile`], with `ROWS` rows, on a machine with AVX-512 and its VNNI.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512vnni")]
unsafe fn vnni512<const ROWS: usize>(first: usize, tile: &Tile<'_>, out: *mut f32) {
    use std::arch::x86_64::{
        _mm512_dpbusd_epi32, _mm512_load_si512, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_storeu_si512,
    };
    let x: [_; ROWS] = std::array::from_fn(|row| tile.x.start(first + row));
    let mut sums = [[_mm512_setzero_si512(); LINES]; ROWS];
    for (quad, lines) in tile.weights.as_chunks::<LINES>().0.iter().enumerate() {
        // SAFETY: rows have as many quads as the panel; lines are aligned.
        unsafe {
            let weights: [_; LINES] =
                std::array::from_fn(|line| _mm512_load_si512((&raw const lines[line]).cast()));
            for (sums, x) in sums.iter_mut().zip(x) {
                let x = _mm512_set1_epi32(i32::from_le_bytes(x.add(quad).read()));
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_dpbusd_epi32(*sum, x, weight);
                }
            }
        }
    }
    for (row, of_row) in sums.iter().enumerate() {
        let mut sums = [0; OUTPUTS];
        // SAFETY: sixteen sums per line, and as promised by the caller.
        unsafe {
            for (line, &sum) in of_row.iter().enumerate() {
                _mm512_storeu_si512(sums[16 * line..][..16].as_mut_ptr().cast(), sum);
            }
            tile.finish(first + row, &sums, out.add(row * tile.stride));
        }
    }
}

/// The two kernels of 256 bits, which differ in how they multiply: one line of the panel after the other.
#[cfg(target_arch = "x86_64")]
macro_rules! of_256_bits {
    ($name:ident, $features:literal, $add:expr) => {
        /// # Safety
        /// As [`Int8Panels::tile`], with `ROWS` rows, on a machine with the instructions.
        #[target_feature(enable = $features)]
        unsafe fn $name<const ROWS: usize>(first: usize, tile: &Tile<'_>, out: *mut f32) {
            use std::arch::x86_64::{
                __m256i, _mm256_load_si256, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256,
            };
            let x: [_; ROWS] = std::array::from_fn(|row| tile.x.start(first + row));
            let mut all = [[0; OUTPUTS]; ROWS];
            for line in 0..LINES {
                let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
                for (quad, lines) in tile.weights.as_chunks::<LINES>().0.iter().enumerate() {
                    // SAFETY: rows have as many quads as the panel; lines are aligned, and have two registers of 256 bits.
                    unsafe {
                        let start = (&raw const lines[line]).cast::<__m256i>();
                        let weights = [_mm256_load_si256(start), _mm256_load_si256(start.add(1))];
                        for (sums, x) in sums.iter_mut().zip(x) {
                            let x = _mm256_set1_epi32(i32::from_le_bytes(x.add(quad).read()));
                            for (sum, weight) in sums.iter_mut().zip(weights) {
                                *sum = $add(*sum, x, weight);
                            }
                        }
                    }
                }
                for (all, sums) in all.iter_mut().zip(sums) {
                    let [low, high] = sums;
                    let places = &mut all[16 * line..][..16];
                    // SAFETY: sixteen sums in two registers.
                    unsafe {
                        _mm256_storeu_si256(places.as_mut_ptr().cast(), low);
                        _mm256_storeu_si256(places[8..].as_mut_ptr().cast(), high);
                    }
                }
            }
            for (row, sums) in all.iter().enumerate() {
                // SAFETY: as promised by the caller.
                unsafe { tile.finish(first + row, sums, out.add(row * tile.stride)) };
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
of_256_bits!(vnni256, "avx2,fma,avxvnni", std::arch::x86_64::_mm256_dpbusd_avx_epi32);

#[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
of_256_bits!(avx2, "avx2,fma", |sum, x, weight| {
    use std::arch::x86_64::{
        _mm256_add_epi32, _mm256_and_si256, _mm256_madd_epi16, _mm256_set1_epi16, _mm256_slli_epi16,
        _mm256_srai_epi16, _mm256_srli_epi16,
    };
    // The first and third of four bytes, and the second and fourth, as numbers of 16 bits.
    let first = _mm256_and_si256(x, _mm256_set1_epi16(0xFF));
    let second = _mm256_srli_epi16::<8>(x);
    let first = _mm256_madd_epi16(first, _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(weight)));
    let second = _mm256_madd_epi16(second, _mm256_srai_epi16::<8>(weight));
    _mm256_add_epi32(sum, _mm256_add_epi32(first, second))
});

/// The same, one after the other.
///
/// # Safety
/// As [`Int8Panels::tile`].
unsafe fn plain(rows: Range<usize>, tile: &Tile<'_>, out: *mut f32) {
    for (place, row) in rows.enumerate() {
        let mut sums = [0; OUTPUTS];
        let x = &tile.x.values[row * tile.x.quads..][..tile.x.quads];
        for (lines, x) in tile.weights.as_chunks::<LINES>().0.iter().zip(x) {
            for (sum, weights) in sums.iter_mut().zip(lines.iter().flat_map(|line| &line.0)) {
                let products = x.iter().zip(weights).map(|(&x, &weight)| i32::from(x) * i32::from(weight));
                *sum += products.sum::<i32>();
            }
        }
        // SAFETY: as promised by the caller.
        unsafe { tile.finish(row, &sums, out.add(place * tile.stride)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(length: usize, seed: usize) -> Vec<f32> {
        (0..length).map(|i| (((i + seed) * 7919 % 2003) as f32 - 1001.0) / 1001.0).collect()
    }

    /// t·s·(Σ a·q − z·Σ q) + b in f64, from the definition.
    fn defined(x: &[f32], weights: &[f32], bias: f32) -> f64 {
        let largest = weights.iter().fold(0.0_f64, |most, &w| most.max(f64::from(w).abs()));
        let s = if largest > 0.0 { largest / 127.0 } else { 1.0 };
        let least = x.iter().fold(0.0_f64, |least, &x| least.min(f64::from(x)));
        let most = x.iter().fold(0.0_f64, |most, &x| most.max(f64::from(x)));
        let t = (most - least) / 255.0;
        let zero = (-least / t).round();
        let products = x.iter().zip(weights).map(|(&x, &w)| {
            ((f64::from(x) / t).round() + zero - zero).clamp(-zero, 255.0 - zero) * (f64::from(w) / s).round()
        });
        t * s * products.sum::<f64>() + f64::from(bias)
    }

    #[test]
    fn every_kernel_gives_the_same_sums_to_the_bit_and_they_are_those_of_the_definition() {
        for (rows, inputs, outputs) in
            [(1, 1, 1), (5, 7, 48), (17, 500, 100), (13, 384, 96), (3, 1536, 47), (9, 129, 32)]
        {
            let (x, weights, bias) =
                (values(rows * inputs, 1), values(outputs * inputs, 2), values(outputs, 3));
            let panels = Int8Panels::new(Matrix::new(&weights, outputs, inputs), &bias);
            let matrix = Matrix::new(&x, rows, inputs);
            for then in [None, Some(Activation::Gelu)] {
                let product = |kernel, spread| {
                    let mut out = vec![9.0; rows * outputs];
                    panels.product_by(kernel, matrix, then, &mut out, spread);
                    out
                };
                let expected = product(Kernel::Plain, false);
                for kernel in Kernel::all() {
                    for spread in [false, true] {
                        assert_eq!(
                            product(kernel, spread),
                            expected,
                            "{kernel:?}: {rows} × {inputs} × {outputs}"
                        );
                    }
                }
                if then.is_some() {
                    continue;
                }
                for (row, sums) in x.chunks_exact(inputs).zip(expected.chunks_exact(outputs)) {
                    for ((weights, &bias), &sum) in weights.chunks_exact(inputs).zip(&bias).zip(sums) {
                        // A value in the middle between two steps may be rounded to either.
                        let step = 2.0 / 255.0 * (inputs as f64).sqrt().max(2.0);
                        let defined = defined(row, weights, bias);
                        assert!((f64::from(sum) - defined).abs() < 0.3 * step, "{sum} {defined}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_at_the_ends_of_the_range_do_not_saturate() {
        let inputs = 1024;
        let (weights, x) = (vec![1.0; inputs], vec![3.0; inputs]);
        let panels = Int8Panels::new(Matrix::new(&weights, 1, inputs), &[0.5]);
        for kernel in Kernel::all() {
            let mut out = [0.0];
            panels.product_by(kernel, Matrix::new(&x, 1, inputs), None, &mut out, false);
            assert!((out[0] - 3072.5).abs() < 1e-2, "{kernel:?}: {}", out[0]);
        }
    }

    #[test]
    fn a_row_with_a_value_that_is_not_finite_gives_nan_and_no_number() {
        let panels = Int8Panels::new(Matrix::new(&[0.5; 40], 2, 20), &[0.25, -1.0]);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, 15, 19] {
                let mut x = [1.0; 40];
                x[place] = bad;
                let mut out = [9.0; 4];
                panels.product(Matrix::new(&x, 2, 20), None, &mut out, false);
                assert!(
                    out[..2].iter().all(|out| out.is_nan()) && out[2..].iter().all(|out| out.is_finite())
                );
            }
        }
    }

    #[test]
    fn rows_and_outputs_of_zeros_give_the_bias() {
        let panels = Int8Panels::new(Matrix::new(&[0.0; 8], 2, 4), &[0.25, -1.0]);
        let mut out = [9.0; 4];
        panels.product(Matrix::new(&[0.0, 0.0, 0.0, 0.0, 1.0, -2.0, 3.0, 4.0], 2, 4), None, &mut out, false);
        assert_eq!(out, [0.25, -1.0, 0.25, -1.0]);
    }
}
