//! Products and distances of two vectors, each with the same sum on every machine.
//!
//! The dot products of f32 differ in the number of partial sums and in what they do with the values that are left over, and
//! so in their last bits. Each is kept for results that rest on it: [`in_32_lanes`] for search, [`in_16_lanes`] for the backward
//! pass of embedders, [`in_runs`] for the attention of LLMs.
#![allow(clippy::inline_always, reason = "the inner loops are made of these functions")]
#![allow(
    unsafe_code,
    reason = "the registers of AVX2 are reached by functions that are unsafe: see the safety comment"
)]

use crate::row::{self, across};
use crate::run::{RUN, Sum, SumsOf, Weights};

/// Lanes of the sum: four AVX2 registers, enough that no multiply-add waits for the previous one.
const LANES: usize = 32;

/// Σ a·b over the shorter length. Value i is added to lane i mod 32 and the lanes are added in halves, on every machine:
/// the result is bit-identical with and without vector registers.
#[inline]
pub fn in_32_lanes(a: &[f32], b: &[f32]) -> f32 {
    #[cfg(all(target_feature = "avx2", target_feature = "fma"))]
    return in_registers(a, b);
    #[cfg(not(all(target_feature = "avx2", target_feature = "fma")))]
    return in_lanes(a, b);
}

/// Σ (a − b)², over the shorter length, added up as in [`in_32_lanes`].
#[inline]
pub fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len().min(b.len());
    let mut lanes = [0.0_f32; LANES];
    for (a, b) in a[..length].chunks(LANES).zip(b[..length].chunks(LANES)) {
        for (lane, (x, y)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            let difference = x - y;
            *lane = difference.mul_add(difference, *lane);
        }
    }
    across(lanes, |a, b| a + b)
}

/// Σ a·b of vectors of one length: value i is added to lane i mod 16, the lanes are added in halves, and what is left over after
/// whole blocks of lanes is added last.
#[inline(always)]
pub fn in_16_lanes(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; row::LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(row::LANES), b.chunks_exact(row::LANES));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for ((sum, &x), &y) in sums.iter_mut().zip(a).zip(b) {
            *sum = x.mul_add(y, *sum);
        }
    }
    across(sums, |a, b| a + b) + rest
}

/// Σ a·b of vectors of one length, in runs of 32 as [`Sum`] adds them; what is left over is added last, one after the other.
#[inline(always)]
pub fn in_runs(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_left), (b, b_left)) = (a.as_chunks::<RUN>(), b.as_chunks::<RUN>());
    let mut sum = Sum::zero();
    for (a, b) in a.iter().zip(b) {
        sum.add_in_order(Weights::load(a), b);
    }
    a_left.iter().zip(b_left).fold(sum.total(), |sum, (a, b)| a.mul_add(*b, sum))
}

/// The remainder after whole blocks, in lanes.
#[inline]
fn rest(a: &[f32], b: &[f32]) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    for (lane, (x, y)) in lanes.iter_mut().zip(a.iter().zip(b)) {
        *lane = x * y;
    }
    lanes
}

#[cfg_attr(
    all(target_feature = "avx2", target_feature = "fma", not(test)),
    expect(dead_code, reason = "tests compare with it")
)]
fn in_lanes(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len().min(b.len());
    let (a, b) = (a[..length].chunks_exact(LANES), b[..length].chunks_exact(LANES));
    let mut lanes = rest(a.remainder(), b.remainder());
    for (x, y) in a.zip(b) {
        for lane in 0..LANES {
            lanes[lane] = x[lane].mul_add(y[lane], lanes[lane]);
        }
    }
    across(lanes, |a, b| a + b)
}

#[cfg(all(target_feature = "avx2", target_feature = "fma"))]
#[inline]
fn in_registers(a: &[f32], b: &[f32]) -> f32 {
    use std::arch::x86_64::{
        _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehl_ps, _mm_shuffle_ps, _mm256_add_ps,
        _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps,
    };
    let length = a.len().min(b.len());
    let whole = length - length % LANES;
    // SAFETY: this is compiled only where the target has AVX2 and FMA; every load is of 8 values that lie within a slice
    // of at least `whole` values, or within the lanes of the rest.
    unsafe {
        let mut sums = [_mm256_setzero_ps(); 4];
        if whole < length {
            let lanes = rest(&a[whole..length], &b[whole..length]);
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = _mm256_loadu_ps(lanes.as_ptr().add(8 * i));
            }
        }
        let (a, b) = (a.as_ptr(), b.as_ptr());
        for at in (0..whole).step_by(LANES) {
            for (i, sum) in sums.iter_mut().enumerate() {
                let at = at + 8 * i;
                *sum = _mm256_fmadd_ps(_mm256_loadu_ps(a.add(at)), _mm256_loadu_ps(b.add(at)), *sum);
            }
        }
        let eight = _mm256_add_ps(_mm256_add_ps(sums[0], sums[2]), _mm256_add_ps(sums[1], sums[3]));
        let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }
}

/// Σ a·b of small integers over the shorter length. 133,000 of them fit.
#[inline]
pub fn of_codes(a: &[i8], b: &[i8]) -> i32 {
    #[cfg(target_feature = "avx2")]
    return codes_in_registers(a, b);
    #[cfg(not(target_feature = "avx2"))]
    return codes_one_by_one(a, b);
}

#[inline]
fn codes_one_by_one(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(x, y)| i32::from(*x) * i32::from(*y)).sum()
}

/// 32 at a time: |a| times b with the sign of a, two products per 16-bit number, which can hold 2·127².
#[cfg(target_feature = "avx2")]
#[inline]
#[expect(clippy::cast_ptr_alignment, reason = "the loads are of the kind that needs none")]
fn codes_in_registers(a: &[i8], b: &[i8]) -> i32 {
    use std::arch::x86_64::{
        __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_shuffle_epi32, _mm256_abs_epi8, _mm256_add_epi32,
        _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16,
        _mm256_maddubs_epi16, _mm256_set1_epi16, _mm256_setzero_si256, _mm256_sign_epi8,
    };
    let (a_blocks, b_blocks) = (a.chunks_exact(32), b.chunks_exact(32));
    let length = a.len().min(b.len());
    let whole = length - length % 32;
    let rest = codes_one_by_one(&a[whole..length], &b[whole..length]);
    // SAFETY: this is compiled only where the target has AVX2; every load is of a block of 32 bytes.
    unsafe {
        let ones = _mm256_set1_epi16(1);
        let mut sum = _mm256_setzero_si256();
        for (a, b) in a_blocks.zip(b_blocks) {
            let a = _mm256_loadu_si256(a.as_ptr().cast::<__m256i>());
            let b = _mm256_loadu_si256(b.as_ptr().cast::<__m256i>());
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
        }
        let four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
        let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b00_00_11_10>(four));
        rest + _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<1>(two)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dot_products_take_every_value_whatever_the_length() {
        for length in [0, 1, 15, 16, 17, 32, 33, 129] {
            let row: Vec<f32> = (0..length).map(|i| (i * 29 % 31) as f32 - 15.0).collect();
            let expected = row.iter().map(|x| x * x).sum::<f32>();
            for dot in [in_32_lanes, in_16_lanes, in_runs] {
                assert_eq!(dot(&row, &row), expected);
            }
            let longer = [&row[..], &[7.0; 40]].concat();
            assert_eq!((in_32_lanes(&row, &longer), in_32_lanes(&longer, &row)), (expected, expected));
        }
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_the_products_and_the_same_in_registers_and_in_lanes(
            pairs in prop::collection::vec((-1.0..1.0_f32, -1.0..1.0_f32), 0..200),
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let slow: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            prop_assert!((f64::from(in_32_lanes(&a, &b)) - slow).abs() < 1e-4);
            prop_assert_eq!(in_32_lanes(&a, &b).to_bits(), in_lanes(&a, &b).to_bits());
            let slow: f64 = a.iter().zip(&b).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
            prop_assert!((f64::from(squared_distance(&a, &b)) - slow).abs() < 1e-3);
        }
    }

    proptest! {
        #[test]
        fn products_of_codes_in_registers_are_those_one_by_one(
            pairs in prop::collection::vec((-127..=127_i8, -127..=127_i8), 0..300),
        ) {
            let (a, b): (Vec<i8>, Vec<i8>) = pairs.into_iter().unzip();
            prop_assert_eq!(of_codes(&a, &b), codes_one_by_one(&a, &b));
        }
    }

    #[test]
    fn the_largest_codes_do_not_overflow() {
        for (a, b) in [(127, 127), (-127, 127), (-127, -127)] {
            let expected = 1000 * i32::from(a) * i32::from(b);
            assert_eq!(of_codes(&[a; 1000], &[b; 1000]), expected);
        }
    }
}
