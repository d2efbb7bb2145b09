//! The inner loops: products of a few rows with a few columns, and of rows of weights.
//!
//! They are written as loops over arrays of fixed length, which the compiler turns into AVX2 with FMA (or the
//! target's instructions). The order of every sum is independent of what else is computed: a
//! token's values are bit-identical in any batch.
#![allow(clippy::inline_always, reason = "the inner loops are made of these functions")]
#![allow(
    clippy::needless_range_loop,
    reason = "an index goes through several arrays, and such loops are vectorised"
)]

use std::marker::PhantomData;

use ragbias_kernels::run::{Inputs, Sums};

use crate::format::{Each, Format, Run, each_pair, multiply};

/// `out[r] += Σ_k rows[r][k] · columns[k]`, in the order of k: `R` rows of weights, `L` tokens side by side.
///
/// Row r begins at `rows[r * stride]`.
#[inline(always)]
pub(crate) fn rows_times<const R: usize, const L: usize>(
    rows: &[f32],
    stride: usize,
    columns: &[[f32; L]],
    out: &mut [[f32; L]],
) {
    let rows: [&[f32]; R] = std::array::from_fn(|r| &rows[r * stride..][..columns.len()]);
    let out: &mut [[f32; L]; R] =
        out.first_chunk_mut().expect("a row of output for each of weights: this is a bug");
    let mut sums = *out;
    for (k, column) in columns.iter().enumerate() {
        for r in 0..R {
            let weight = rows[r][k];
            for l in 0..L {
                sums[r][l] = weight.mul_add(column[l], sums[r][l]);
            }
        }
    }
    *out = sums;
}

/// `out[r] = Σ_k rows[k][r] · columns[k]`, in the order of k, for the `R` entries of each row from `at` on.
#[inline(always)]
pub(crate) fn columns_times<const R: usize, const L: usize>(
    rows: &[f32],
    stride: usize,
    at: usize,
    columns: &[[f32; L]],
) -> [[f32; L]; R] {
    let mut sums = [[0.0; L]; R];
    for (row, column) in rows.chunks_exact(stride).zip(columns) {
        let row: &[f32; R] = row[at..].first_chunk().expect("rows are wide enough: this is a bug");
        for r in 0..R {
            for l in 0..L {
                sums[r][l] = row[r].mul_add(column[l], sums[r][l]);
            }
        }
    }
    sums
}

/// The dot products of a row of weights with `N` vectors of the same length.
#[inline(always)]
pub(crate) fn dots<F: Format, S: Sums, const N: usize>(row: &[u8], vectors: &[Vec<Inputs>; N]) -> [f32; N] {
    let mut dots = Dots::<F, S, N> { vectors, sums: [S::zero(); N], format: PhantomData };
    each_pair::<F>(row, &mut dots);
    let mut products = [0.0; N];
    for n in 0..N {
        products[n] = dots.sums[n].total();
    }
    products
}

struct Dots<'a, F, S, const N: usize> {
    vectors: &'a [Vec<Inputs>; N],
    sums: [S; N],
    format: PhantomData<F>,
}

impl<F: Format, S: Sums, const N: usize> Each for Dots<'_, F, S, N> {
    #[inline(always)]
    fn pair(&mut self, number: usize, runs: [Run; 2]) {
        for n in 0..N {
            multiply::<F>(runs, &self.vectors[n][number], &mut self.sums[n]);
        }
    }
}
