//! x·Wᵀ for weights that stay: laid out once in the order that the product reads them.
//!
//! A general product copies the weights into its own order at every call, which for a short text takes longer than the
//! product itself. Each sum goes over the inputs in order, one multiply-add after the other, whatever the rows beside it and
//! the width of the registers: to the bit, a row depends neither on its batch nor on the processor.
#![allow(
    unsafe_code,
    reason = "vector instructions take pointers: the bounds that they need are checked here"
)]

use rayon::prelude::*;

use crate::config::Activation;

/// Outputs of a panel: three registers of 16.
const WIDTH: usize = 48;

/// Inputs that a panel goes through before the next rows: that part of it stays in the second-level cache, and its rows in the
/// first.
const DEPTH: usize = 384;

/// A cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([f32; 16]);

/// Lines of a panel for each input.
const LINES: usize = WIDTH / 16;

/// A weight matrix `(outputs, inputs)` in panels of [`WIDTH`] outputs, the last filled up with zeros: input by input, the
/// weights of a panel's outputs.
pub(super) struct Panels {
    lines: Vec<Line>,
    inputs: usize,
    outputs: usize,
}

impl Panels {
    /// From the rows of a weight matrix.
    pub(super) fn new(weights: &[f32], inputs: usize) -> Self {
        let outputs = weights.len() / inputs;
        let mut lines = vec![Line([0.0; 16]); outputs.div_ceil(WIDTH) * inputs * LINES];
        for (number, rows) in weights.chunks(16 * inputs).enumerate() {
            let (panel, line) = (number / LINES, number % LINES);
            let places = lines[panel * inputs * LINES..].iter_mut().skip(line).step_by(LINES);
            // Lines are written one after the other, from sixteen rows that are read side by side.
            for (input, place) in places.take(inputs).enumerate() {
                for (value, row) in place.0.iter_mut().zip(rows.chunks_exact(inputs)) {
                    *value = row[input];
                }
            }
        }
        Self { lines, inputs, outputs }
    }

    /// out ← f(x·Wᵀ + b), `(rows, outputs)` from `(rows, inputs)`, f being `then` or nothing; where `spread`, over all
    /// threads.
    pub(super) fn product(
        &self,
        x: &[f32],
        bias: &[f32],
        then: Option<Activation>,
        out: &mut [f32],
        spread: bool,
    ) {
        self.product_by(Kernel::of_this_machine(), x, bias, then, out, spread);
    }

    fn product_by(
        &self,
        kernel: Kernel,
        x: &[f32],
        bias: &[f32],
        then: Option<Activation>,
        out: &mut [f32],
        spread: bool,
    ) {
        let rows = x.len() / self.inputs;
        let sizes = (rows * self.inputs, self.outputs, rows * self.outputs);
        assert_eq!(sizes, (x.len(), bias.len(), out.len()), "a product that does not fit; this is a bug");
        let out = Out(out.as_mut_ptr());
        let panel = |number: usize| self.panel(kernel, number, x, bias, then, out);
        let panels = 0..self.outputs.div_ceil(WIDTH);
        if spread {
            panels.into_par_iter().for_each(panel);
        } else {
            panels.for_each(panel);
        }
    }

    /// The outputs of one panel for all rows.
    fn panel(
        &self,
        kernel: Kernel,
        number: usize,
        x: &[f32],
        bias: &[f32],
        then: Option<Activation>,
        out: Out,
    ) {
        let first = number * WIDTH;
        let columns = WIDTH.min(self.outputs - first);
        let rows = x.len() / self.inputs;
        for from in (0..self.inputs).step_by(DEPTH) {
            let depth = DEPTH.min(self.inputs - from);
            // What comes next is fetched meanwhile, a share of it beside each tile: weights are read once a text, from far away.
            let (lines, ahead) = self.lines[(number * self.inputs + from) * LINES..].split_at(depth * LINES);
            let share = lines.len().div_ceil(rows.div_ceil(kernel.rows()));
            for (tile, row) in (0..rows).step_by(kernel.rows()).enumerate() {
                let height = kernel.rows().min(rows - row);
                let ahead = &ahead[(tile * share).min(ahead.len())..((tile + 1) * share).min(ahead.len())];
                let x = &x[row * self.inputs + from..];
                let tile = Tile { rows: height, x, stride: self.inputs, lines, ahead };
                let place = row * self.outputs + first;
                // SAFETY: the columns of this panel in these rows lie within `out`, whose length was checked; no other panel
                // has them, and this one is worked on by one thread.
                unsafe {
                    if from == 0 {
                        for row in 0..height {
                            out.at(place + row * self.outputs, columns)
                                .copy_from_slice(&bias[first..][..columns]);
                        }
                    }
                    tile.add(kernel, out.0.add(place), self.outputs, columns);
                    if let (true, Some(then)) = (from + depth == self.inputs, then) {
                        for row in 0..height {
                            then.apply_to(out.at(place + row * self.outputs, columns));
                        }
                    }
                }
            }
        }
    }
}

/// Asks for a line to be fetched into the second-level cache.
#[inline(always)]
fn prefetch(line: *const Line) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(line.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// Where panels write, each its own columns.
#[derive(Clone, Copy)]
struct Out(*mut f32);

// SAFETY: see `Panels::panel`: no two threads write to one place, and none reads what another writes.
unsafe impl Sync for Out {}
// SAFETY: as above.
unsafe impl Send for Out {}

impl Out {
    /// # Safety
    /// So many values lie there, and nobody else holds them.
    unsafe fn at<'o>(self, from: usize, length: usize) -> &'o mut [f32] {
        // SAFETY: as promised by the caller.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(from), length) }
    }
}

/// Some rows of x beside a part of one panel.
struct Tile<'a> {
    rows: usize,
    x: &'a [f32],
    /// From a row of x to the next.
    stride: usize,
    lines: &'a [Line],
    /// Lines of the panel that comes next, to be fetched meanwhile.
    ahead: &'a [Line],
}

impl Tile<'_> {
    /// Adds the products to `columns` values of each row of `out`.
    ///
    /// # Safety
    /// `out` has `self.rows` rows, `stride` apart, of at least `columns` values, and nobody else holds these.
    unsafe fn add(&self, kernel: Kernel, out: *mut f32, stride: usize, columns: usize) {
        if columns == WIDTH {
            // SAFETY: as promised by the caller.
            return unsafe { self.add_whole(kernel, out, stride) };
        }
        let mut whole = [0.0; MOST_ROWS * WIDTH];
        for (row, whole) in whole.chunks_exact_mut(WIDTH).enumerate().take(self.rows) {
            // SAFETY: a row of `columns` values, as promised by the caller; `whole` is elsewhere.
            unsafe { std::ptr::copy_nonoverlapping(out.add(row * stride), whole.as_mut_ptr(), columns) };
        }
        // SAFETY: `whole` has room for as many rows as a tile has.
        unsafe { self.add_whole(kernel, whole.as_mut_ptr(), WIDTH) };
        for (row, whole) in whole.chunks_exact(WIDTH).enumerate().take(self.rows) {
            // SAFETY: as above.
            unsafe { std::ptr::copy_nonoverlapping(whole.as_ptr(), out.add(row * stride), columns) };
        }
    }

    /// # Safety
    /// As [`Tile::add`], with [`WIDTH`] columns.
    unsafe fn add_whole(&self, kernel: Kernel, out: *mut f32, stride: usize) {
        let depth = self.lines.len() / LINES;
        assert!(
            (self.rows - 1) * self.stride + depth <= self.x.len(),
            "a tile beyond its rows; this is a bug"
        );
        // SAFETY: the rows of x lie within their slice, and those of `out` where the caller promises; the machine has the
        // kernel's instructions, as a `Kernel` is only made where it has.
        unsafe {
            match kernel {
                #[cfg(target_arch = "x86_64")]
                Kernel::Avx512 => match self.rows {
                    1 => avx512::<1>(self, out, stride),
                    2 => avx512::<2>(self, out, stride),
                    3 => avx512::<3>(self, out, stride),
                    4 => avx512::<4>(self, out, stride),
                    5 => avx512::<5>(self, out, stride),
                    6 => avx512::<6>(self, out, stride),
                    7 => avx512::<7>(self, out, stride),
                    _ => avx512::<8>(self, out, stride),
                },
                #[cfg(all(target_arch = "x86_64", target_feature = "avx2", target_feature = "fma"))]
                Kernel::Avx2 => match self.rows {
                    1 => avx2::<1>(self, out, stride),
                    2 => avx2::<2>(self, out, stride),
                    3 => avx2::<3>(self, out, stride),
                    4 => avx2::<4>(self, out, stride),
                    5 => avx2::<5>(self, out, stride),
                    _ => avx2::<6>(self, out, stride),
                },
                Kernel::Plain => plain(self, out, stride),
            }
        }
    }
}

/// Rows of the tallest tile.
const MOST_ROWS: usize = 8;

/// What computes a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(all(target_arch = "x86_64", target_feature = "avx2", target_feature = "fma"))]
    Avx2,
    Plain,
}

impl Kernel {
    /// All that this machine can run, the fastest first.
    fn all() -> impl Iterator<Item = Self> {
        [
            #[cfg(target_arch = "x86_64")]
            is_x86_feature_detected!("avx512f").then_some(Self::Avx512),
            #[cfg(all(target_arch = "x86_64", target_feature = "avx2", target_feature = "fma"))]
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
            Self::Avx512 => 8,
            #[cfg(all(target_arch = "x86_64", target_feature = "avx2", target_feature = "fma"))]
            Self::Avx2 => 6,
            Self::Plain => 4,
        }
    }
}

/// The same address, of which the compiler does not know what it is: it would compute the rows' addresses one from the other
/// in the innermost loop, on the ports that the multiply-adds need.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn opaque(mut address: *const f32) -> *const f32 {
    // SAFETY: there is no instruction.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) address, options(pure, readonly, nostack, preserves_flags));
    }
    address
}

/// # Safety
/// As [`Tile::add_whole`], with `ROWS` rows, on a machine with AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const ROWS: usize>(tile: &Tile<'_>, out: *mut f32, stride: usize) {
    use std::arch::x86_64::{
        _mm512_fmadd_ps, _mm512_load_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps,
    };
    // SAFETY: as promised by the caller; lines are aligned.
    unsafe {
        let x: [_; ROWS] = std::array::from_fn(|row| opaque(tile.x.as_ptr().add(row * tile.stride)));
        let mut sums: [[_; LINES]; ROWS] = std::array::from_fn(|row| {
            std::array::from_fn(|line| _mm512_loadu_ps(out.add(row * stride + 16 * line)))
        });
        let step = (tile.ahead.len() << 16) / (tile.lines.len() / LINES);
        for (input, lines) in tile.lines.chunks_exact(LINES).enumerate() {
            prefetch(tile.ahead.as_ptr().wrapping_add((input * step) >> 16));
            let weights: [_; LINES] = std::array::from_fn(|line| _mm512_load_ps(lines[line].0.as_ptr()));
            for (sums, x) in sums.iter_mut().zip(x) {
                let x = _mm512_set1_ps(*x.add(input));
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_fmadd_ps(x, weight, *sum);
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (line, &sum) in sums.iter().enumerate() {
                _mm512_storeu_ps(out.add(row * stride + 16 * line), sum);
            }
        }
    }
}

/// One line of the panel after the other: twelve sums and what they are made of fill sixteen registers.
///
/// # Safety
/// As [`Tile::add_whole`], with `ROWS` rows.
#[cfg(all(target_arch = "x86_64", target_feature = "avx2", target_feature = "fma"))]
unsafe fn avx2<const ROWS: usize>(tile: &Tile<'_>, out: *mut f32, stride: usize) {
    use std::arch::x86_64::{
        _mm256_fmadd_ps, _mm256_load_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_storeu_ps,
    };
    let x = tile.x.as_ptr();
    for line in 0..LINES {
        // SAFETY: as promised by the caller; this is compiled only where the target has the instructions; lines are aligned.
        unsafe {
            let out = out.add(16 * line);
            let mut sums: [[_; 2]; ROWS] =
                std::array::from_fn(|row| [0, 8].map(|half| _mm256_loadu_ps(out.add(row * stride + half))));
            for (input, lines) in tile.lines.chunks_exact(LINES).enumerate() {
                let weights = [0, 8].map(|half| _mm256_load_ps(lines[line].0.as_ptr().add(half)));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let x = _mm256_set1_ps(*x.add(row * tile.stride + input));
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = _mm256_fmadd_ps(x, weight, *sum);
                    }
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                for (half, &sum) in sums.iter().enumerate() {
                    _mm256_storeu_ps(out.add(row * stride + 8 * half), sum);
                }
            }
        }
    }
}

/// The same, one after the other.
///
/// # Safety
/// As [`Tile::add_whole`].
unsafe fn plain(tile: &Tile<'_>, out: *mut f32, stride: usize) {
    for row in 0..tile.rows {
        // SAFETY: as promised by the caller.
        let out = unsafe { std::slice::from_raw_parts_mut(out.add(row * stride), WIDTH) };
        for (lines, &x) in tile.lines.chunks_exact(LINES).zip(&tile.x[row * tile.stride..]) {
            let weights = lines.iter().flat_map(|line| &line.0);
            for (sum, weight) in out.iter_mut().zip(weights) {
                *sum = x.mul_add(*weight, *sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(length: usize, seed: usize) -> Vec<f32> {
        (0..length).map(|i| (((i + seed) * 7919 % 2003) as f32 - 1001.0) / 1001.0).collect()
    }

    #[test]
    fn every_kernel_gives_the_sums_of_products_to_the_bit() {
        for (rows, inputs, outputs) in [(1, 1, 1), (5, 7, 48), (17, 500, 100), (13, 384, 96), (3, 1536, 47)] {
            let (x, weights) = (values(rows * inputs, 1), values(outputs * inputs, 2));
            let bias = values(outputs, 3);
            let panels = Panels::new(&weights, inputs);
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
            for (kernel, spread) in Kernel::all().flat_map(|kernel| [(kernel, false), (kernel, true)]) {
                for (then, expected) in [(None, &expected), (Some(Activation::Gelu), &activated)] {
                    let mut out = vec![9.0; rows * outputs];
                    panels.product_by(kernel, &x, &bias, then, &mut out, spread);
                    assert!(out == *expected, "{kernel:?}, {then:?}: {rows} × {inputs} × {outputs}");
                }
            }
        }
    }
}
