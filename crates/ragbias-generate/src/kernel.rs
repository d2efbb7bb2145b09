//! The inner loops: products of a few rows with a few columns, dot products, exponentials.
//!
//! They are written as loops over arrays of fixed length, which the compiler turns into AVX2 with FMA (or the
//! target's instructions). The order of every sum is independent of what else is computed: a
//! token's values are bit-identical in any batch.
#![allow(clippy::inline_always, reason = "the inner loops are made of these functions")]
#![allow(
    clippy::needless_range_loop,
    reason = "an index goes through several arrays, and such loops are vectorised"
)]

use crate::format::{Format, Numbers, RUN, run_of};
use crate::simd::{Sum, Weights};

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
pub(crate) fn dots<F: Format, const N: usize>(row: &[u8], vectors: [&[Numbers]; N]) -> [f32; N] {
    let mut sums = [Sum::zero(); N];
    for index in 0..vectors[0].len() {
        let run = run_of::<F>(row, index);
        for n in 0..N {
            run.multiply(&vectors[n][index], &mut sums[n]);
        }
    }
    let mut products = [0.0; N];
    for n in 0..N {
        products[n] = sums[n].total();
    }
    products
}

/// The dot product of two vectors.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_left), (b, b_left)) = (a.as_chunks::<RUN>(), b.as_chunks::<RUN>());
    let mut sum = Sum::zero();
    for (a, b) in a.iter().zip(b) {
        sum.add(Weights::load(a), b);
    }
    a_left.iter().zip(b_left).fold(sum.total(), |sum, (a, b)| a.mul_add(*b, sum))
}

/// eˣ to within 2 units in the last place; 0 below −87.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // x = n·ln 2 + r with |r| ≤ ln 2 / 2; adding 1.5·2²³ rounds to a whole number, which is then in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = clamped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-0.693_359_4, clamped);
    let r = n.mul_add(2.121_944_4e-4, r);
    let mut series = 1.987_569_1e-4_f32;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        series = series.mul_add(r, coefficient);
    }
    let fraction = series.mul_add(r * r, r) + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    if x < -87.0 { 0.0 } else { fraction * power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_right_to_two_units_in_the_last_place() {
        for x in (-87_000..88_000).map(|x| x as f32 / 1000.0) {
            let (expected, error) = (f64::from(x).exp(), f64::from(exp(x)) - f64::from(x).exp());
            assert!(error.abs() < 2.4e-7 * expected, "{x}");
        }
        assert_eq!((exp(0.0), exp(-1000.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
    }
}
