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
    reason = "panels write to columns of the same rows: that none has another's is checked here"
)]

mod kernels;
mod layout;
mod rows;

use std::ops::Range;

use self::kernels::{Kernel, Tile};
use self::layout::{LINES, OUTPUTS, QUAD, Quads, Scaling};
use self::rows::Rows;
use super::panels::{Out, each_panel};
use crate::config::Activation;
use ragbias_kernels::Matrix;

/// The largest weight.
const MOST_WEIGHT: f32 = 127.0;

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
        let out = Out { start: out.as_mut_ptr(), stride: self.outputs };
        each_panel(self.scaling.len(), spread, |number| {
            for row in (0..rows).step_by(kernel.rows()) {
                // SAFETY: each panel writes its own columns, and all rows lie within `out`, whose length was checked.
                unsafe { self.tile(kernel, number, &x, row..rows.min(row + kernel.rows()), then, out) };
            }
        });
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
            stride: out.stride,
        };
        // SAFETY: as promised by the caller.
        unsafe { tile.write(kernel, rows.clone(), out.start.add(rows.start * out.stride + panel * OUTPUTS)) };
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
