//! Vectors in whole numbers of 8 bits: a quarter of the memory, and sums that are the same in every order.
#![allow(
    unsafe_code,
    reason = "the registers of AVX2 are reached by functions that are unsafe: see the safety comment"
)]

use rayon::prelude::*;

/// The largest number of a code.
const MOST: f32 = 127.0;

/// `(n, dim)` codes of vectors: every value divided by the largest of all of them, in 127ths, rounded.
///
/// A walk through a graph compares these. What it comes to is compared again by the vectors themselves.
pub(crate) struct Codes {
    values: Vec<i8>,
    dim: usize,
    /// Of a product of codes, to that of the vectors.
    scale: f32,
    /// Of a value to its code.
    to_code: f32,
}

impl Codes {
    /// `values` are rows of `dim`.
    pub(crate) fn new(values: &[f32], dim: usize) -> Self {
        let most =
            values.par_chunks(1 << 16).map(|part| part.iter().fold(0.0, |most: f32, x| most.max(x.abs())));
        let to_code = MOST / most.reduce(|| 0.0, f32::max);
        let codes = values.par_iter().map(|x| code(*x, to_code)).collect();
        Self { values: codes, dim, scale: 1.0 / (to_code * to_code), to_code }
    }

    /// The code of another vector; values beyond all of these become the largest.
    pub(crate) fn encode(&self, vector: &[f32], code_of: &mut Vec<i8>) {
        code_of.clear();
        code_of.extend(vector.iter().map(|x| code(*x, self.to_code)));
    }

    #[inline]
    pub(crate) fn row(&self, row: u32) -> &[i8] {
        &self.values[row as usize * self.dim..][..self.dim]
    }

    /// What turns a product of codes into one of vectors.
    pub(crate) fn scale(&self) -> f32 {
        self.scale
    }
}

fn code(value: f32, to_code: f32) -> i8 {
    (value * to_code).round_ties_even().clamp(-MOST, MOST) as i8
}

/// Σ a·b over the shorter length. 133,000 dimensions fit.
#[inline]
pub(crate) fn product(a: &[i8], b: &[i8]) -> i32 {
    #[cfg(target_feature = "avx2")]
    return in_registers(a, b);
    #[cfg(not(target_feature = "avx2"))]
    return one_by_one(a, b);
}

#[inline]
fn one_by_one(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(x, y)| i32::from(*x) * i32::from(*y)).sum()
}

/// 32 at a time: |a| times b with the sign of a, two products to a number of 16 bits, which holds 2·127².
#[cfg(target_feature = "avx2")]
#[inline]
#[expect(clippy::cast_ptr_alignment, reason = "the loads are of the kind that needs none")]
fn in_registers(a: &[i8], b: &[i8]) -> i32 {
    use std::arch::x86_64::{
        __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_shuffle_epi32, _mm256_abs_epi8, _mm256_add_epi32,
        _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16,
        _mm256_maddubs_epi16, _mm256_set1_epi16, _mm256_setzero_si256, _mm256_sign_epi8,
    };
    let (a_blocks, b_blocks) = (a.chunks_exact(32), b.chunks_exact(32));
    let length = a.len().min(b.len());
    let whole = length - length % 32;
    let rest = one_by_one(&a[whole..length], &b[whole..length]);
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
    use crate::exact::tests::unit;

    proptest! {
        #[test]
        fn products_in_registers_are_those_one_by_one(
            pairs in prop::collection::vec((-127..=127_i8, -127..=127_i8), 0..300),
        ) {
            let (a, b): (Vec<i8>, Vec<i8>) = pairs.into_iter().unzip();
            prop_assert_eq!(product(&a, &b), one_by_one(&a, &b));
        }
    }

    #[test]
    fn the_largest_codes_do_not_overflow() {
        for (a, b) in [(127, 127), (-127, 127), (-127, -127)] {
            let expected = 1000 * i32::from(a) * i32::from(b);
            assert_eq!(product(&[a; 1000], &[b; 1000]), expected);
        }
    }

    #[test]
    fn products_of_codes_are_near_those_of_the_vectors() {
        let (rows, others) = (unit(50, 384, 1), unit(50, 384, 2));
        let codes = Codes::new(rows.as_slice(), 384);
        let mut code_of = Vec::new();
        for row in 0..50 {
            codes.encode(others.row(row).to_slice().unwrap(), &mut code_of);
            let near = product(codes.row(row as u32), &code_of) as f32 * codes.scale();
            let score = rows.row(row).dot(&others.row(row));
            assert!((near - score).abs() < 2e-3, "{near} of {score}");
        }
    }
}
