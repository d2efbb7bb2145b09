//! x·Wᵀ + b for weights that are used for many rows: stored once in the order in which the product reads them.
//!
//! A general product copies the weights into its own order at every call, which takes longer than the product itself for a
//! short text. Each sum goes over the inputs in order, one multiply-add after the other, whatever the other rows and
//! the width of the registers: a row's result is bit-identical in any batch and on any processor.
#![allow(
    unsafe_code,
    reason = "panels write to columns of the same rows: that none has another's is checked here"
)]

use std::ops::Range;

use ragbias_kernels::Matrix;
use rayon::prelude::*;

use super::lines::Line;
use super::tile::{Kernel, Tile};
use crate::config::Activation;

/// Number of inputs of a panel processed before the next rows: that part of the panel stays in the L2 cache, and its rows in
/// the L1 cache.
const DEPTH: usize = 384;

/// A weight matrix `(outputs, inputs)` and a bias in panels of 32 or 48 outputs, the last padded with zeros: input by
/// input, the weights of a panel's outputs.
pub(super) struct Panels {
    lines: Vec<Line>,
    bias: Vec<Line>,
    /// Lines of a panel per input.
    width: usize,
    inputs: usize,
    outputs: usize,
}

impl Panels {
    /// From a matrix and a bias `(outputs,)`.
    pub(super) fn new(weights: Matrix<'_>, bias: &[f32]) -> Self {
        let mut panels = Self::of(weights);
        assert_eq!(bias.len(), panels.outputs, "a bias that does not fit; this is a bug");
        for (line, values) in panels.bias.iter_mut().zip(bias.chunks(16)) {
            line.0[..values.len()].copy_from_slice(values);
        }
        panels
    }

    /// From a matrix, without a bias.
    pub(super) fn of(weights: Matrix<'_>) -> Self {
        let (outputs, inputs) = weights.shape();
        let (width, number) = shape(outputs);
        let mut lines = vec![Line::ZERO; number * width * inputs];
        for (panel, lines) in lines.chunks_exact_mut(inputs * width).enumerate() {
            for line in 0..width {
                let first = 16 * (panel * width + line);
                let places = lines.iter_mut().skip(line).step_by(width);
                lay_out(weights, first..outputs.min(first + 16), places);
            }
        }
        Self { lines, bias: vec![Line::ZERO; number * width], width, inputs, outputs }
    }

    /// Number of outputs, including the zeros that pad the last panel.
    pub(super) fn room(outputs: usize) -> usize {
        let (width, number) = shape(outputs);
        16 * width * number
    }

    /// The same with the padding counted as outputs.
    pub(super) fn filled_up(self) -> Self {
        Self { outputs: Self::room(self.outputs), ..self }
    }

    /// out ← f(x·Wᵀ + b), with f = `then` or the identity; rows of `out` begin `stride` values after one another, and `x` is
    /// `(rows, inputs)`. If `spread`, over all threads.
    pub(super) fn product(
        &self,
        x: Matrix<'_>,
        then: Option<Activation>,
        out: &mut [f32],
        stride: usize,
        spread: bool,
    ) {
        self.product_by(Kernel::of_this_machine(), x, then, out, stride, spread);
    }

    fn product_by(
        &self,
        kernel: Kernel,
        x: Matrix<'_>,
        then: Option<Activation>,
        out: &mut [f32],
        stride: usize,
        spread: bool,
    ) {
        let (rows, inputs) = x.shape();
        assert_eq!(inputs, self.inputs, "a product that does not fit; this is a bug");
        assert!(
            self.outputs <= stride && rows.saturating_sub(1) * stride + self.outputs <= out.len(),
            "a product beyond its slice; this is a bug"
        );
        let out = Out { start: out.as_mut_ptr(), stride };
        each_panel(self.bias.len() / self.width, spread, |number| self.panel(kernel, number, x, then, out));
    }

    /// The outputs of one panel for all rows.
    fn panel(&self, kernel: Kernel, number: usize, x: Matrix<'_>, then: Option<Activation>, out: Out) {
        let first = number * 16 * self.width;
        let columns = (16 * self.width).min(self.outputs - first);
        let rows = x.shape().0;
        let bias = &self.bias[number * self.width..][..self.width];
        for from in (0..self.inputs).step_by(DEPTH) {
            let depth = DEPTH.min(self.inputs - from);
            // The next weights are prefetched meanwhile, a share with each tile: weights are read once per text, from memory.
            let (lines, ahead) =
                self.lines[(number * self.inputs + from) * self.width..].split_at(depth * self.width);
            let share = lines.len().div_ceil(rows.div_ceil(kernel.rows()));
            for (tile, row) in (0..rows).step_by(kernel.rows()).enumerate() {
                let tile = Tile {
                    x: x.part(row..rows.min(row + kernel.rows()), from),
                    lines,
                    width: self.width,
                    bias: (from == 0).then_some(bias),
                    then: then.filter(|_| from + depth == self.inputs),
                    ahead: &ahead[(tile * share).min(ahead.len())..((tile + 1) * share).min(ahead.len())],
                };
                // SAFETY: the columns of this panel in these rows lie within `out`, whose length was checked; no other panel
                // has them, and this one is worked on by one thread.
                unsafe { tile.add(kernel, out.start.add(row * out.stride + first), out.stride, columns) };
            }
        }
    }
}

/// Lines per panel, and number of panels, for this many outputs: twos or threes, to minimise the padding that is computed.
fn shape(outputs: usize) -> (usize, usize) {
    let panels = |width: usize| outputs.div_ceil(16 * width);
    let width = if 2 * panels(2) < 3 * panels(3) { 2 } else { 3 };
    (width, panels(width))
}

/// Writes the weights of up to 16 outputs into a line for each input.
fn lay_out<'l>(weights: Matrix<'_>, outputs: Range<usize>, lines: impl Iterator<Item = &'l mut Line>) {
    if outputs.is_empty() {
        return;
    }
    if weights.is_by_columns() {
        let columns = weights.t();
        for (input, line) in lines.enumerate() {
            line.0[..outputs.len()].copy_from_slice(&columns.row(input)[outputs.clone()]);
        }
        return;
    }
    // Lines are written in sequence, from sixteen rows that are read in parallel.
    let mut rows: [&[f32]; 16] = [&[]; 16];
    let count = outputs.len();
    rows.iter_mut().zip(outputs).for_each(|(row, output)| *row = weights.row(output));
    for (input, line) in lines.enumerate() {
        for (value, row) in line.0.iter_mut().zip(&rows[..count]) {
            *value = row[input];
        }
    }
}

/// Works on each of some panels by its number; if `spread`, over all threads.
pub(super) fn each_panel(panels: usize, spread: bool, work: impl Fn(usize) + Sync + Send) {
    if spread {
        (0..panels).into_par_iter().for_each(work);
    } else {
        (0..panels).for_each(work);
    }
}

/// The output of all panels, each of which writes its own columns.
#[derive(Clone, Copy)]
pub(super) struct Out {
    pub(super) start: *mut f32,
    /// Values from a row to the next.
    pub(super) stride: usize,
}

// SAFETY: whoever writes through it promises that no two threads write to one place, and none reads what another writes: each
// panel is worked on by one thread, and has columns of its own.
unsafe impl Sync for Out {}
// SAFETY: as above.
unsafe impl Send for Out {}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(length: usize, seed: usize) -> Vec<f32> {
        (0..length).map(|i| (((i + seed) * 7919 % 2003) as f32 - 1001.0) / 1001.0).collect()
    }

    #[test]
    fn every_kernel_gives_the_sums_of_products_to_the_bit() {
        for (rows, inputs, outputs) in
            [(1, 1, 1), (5, 7, 48), (17, 500, 100), (13, 384, 96), (3, 1536, 47), (9, 129, 32), (4, 40, 64)]
        {
            let (x, weights) = (values(rows * inputs, 1), values(outputs * inputs, 2));
            let bias = values(outputs, 3);
            let of_row = |x: &[f32]| -> Vec<f32> {
                let outputs = weights.chunks_exact(inputs).zip(&bias);
                let sum = |(weights, &bias): (&[f32], &f32)| {
                    x.iter().zip(weights).fold(bias, |sum, (x, weight)| x.mul_add(*weight, sum))
                };
                outputs.map(sum).collect()
            };
            let expected: Vec<f32> = x.chunks_exact(inputs).flat_map(of_row).collect();
            let mut activated = expected.clone();
            Activation::Gelu.apply_to(&mut activated);
            // The same weights by rows and by columns, and rows of x and of the result with gaps between them.
            let by_columns: Vec<f32> =
                (0..inputs * outputs).map(|i| weights[i % outputs * inputs + i / outputs]).collect();
            let mut apart = vec![9.0; rows * (inputs + 3)];
            for (row, values) in apart.chunks_exact_mut(inputs + 3).zip(x.chunks_exact(inputs)) {
                row[..inputs].copy_from_slice(values);
            }
            let x = Matrix::strided(&apart, rows, inputs, inputs + 3);
            let stride = outputs + 5;
            for weights in
                [Matrix::new(&weights, outputs, inputs), Matrix::new(&by_columns, inputs, outputs).t()]
            {
                let panels = Panels::new(weights, &bias);
                for (kernel, spread) in Kernel::all().flat_map(|kernel| [(kernel, false), (kernel, true)]) {
                    for (then, expected) in [(None, &expected), (Some(Activation::Gelu), &activated)] {
                        let mut out = vec![9.0; rows * stride];
                        panels.product_by(kernel, x, then, &mut out, stride, spread);
                        for (row, expected) in out.chunks_exact(stride).zip(expected.chunks_exact(outputs)) {
                            let case = format!("{kernel:?}, {then:?}: {rows} × {inputs} × {outputs}");
                            assert!(row[..outputs] == *expected, "{case}");
                            assert_eq!(
                                row[outputs..],
                                [9.0; 5],
                                "{case}: what lies between rows is left alone"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_fills_up_the_last_panel_is_zero() {
        let (x, weights) = (values(3 * 7, 1), values(5 * 7, 2));
        let panels = Panels::of(Matrix::new(&weights, 5, 7)).filled_up();
        assert_eq!(Panels::room(5), 32);
        let mut out = vec![9.0; 3 * 32];
        panels.product(Matrix::new(&x, 3, 7), None, &mut out, 32, false);
        for row in out.chunks_exact(32) {
            assert!(row[..5].iter().all(|&value| value != 0.0 && value != 9.0));
            assert_eq!(row[5..], [0.0; 27]);
        }
    }
}
