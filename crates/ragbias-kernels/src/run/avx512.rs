//! Sums in registers of AVX-512, to the bit those of the registers of half the width.
#![allow(clippy::inline_always, reason = "the inner loops are made of these functions")]
#![allow(clippy::wildcard_imports, reason = "the names of instructions are long and many")]
#![allow(unsafe_code, reason = "vector instructions are unsafe to call, and their loads take pointers")]

use std::arch::x86_64::*;

use super::avx2::{Packed, Scale, Weights};
use super::sums::{Numbers, SumsOf, total};

/// Partial sums of products: the two registers of `Sum` side by side.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct WideSum(__m512);

/// The upper half of a register.
const UPPER: __mmask16 = 0xFF00;

// SAFETY, of every block below: a `WideSum` is used in `Work::run::<true>` alone, which is called where the machine has the
// instructions, and into which all of this is inlined; each load goes through a reference to an array of at least its length.

/// Two registers side by side.
#[inline(always)]
fn beside(lower: __m256, upper: __m256) -> __m512 {
    unsafe {
        let (lower, upper) = (_mm512_castps256_ps512(lower), _mm256_castps_pd(upper));
        _mm512_castpd_ps(_mm512_insertf64x4::<1>(_mm512_castps_pd(lower), upper))
    }
}

/// The first and third eight of a run, or the second and fourth.
#[inline(always)]
fn sixteen(numbers: &Numbers, half: usize) -> __m512 {
    unsafe { _mm512_load_ps(numbers.0.as_ptr().add(16 * half)) }
}

impl SumsOf<Packed, Scale, Weights> for WideSum {
    #[inline(always)]
    fn zero() -> Self {
        Self(unsafe { _mm512_setzero_ps() })
    }

    #[inline(always)]
    fn add(&mut self, weights: Weights, numbers: &Numbers) {
        for half in 0..2 {
            let weights = beside(weights.0[half], weights.0[half + 2]);
            self.0 = unsafe { _mm512_fmadd_ps(weights, sixteen(numbers, half), self.0) };
        }
    }

    #[inline(always)]
    fn add_packed(&mut self, packed: Packed, scales: [Scale; 2], numbers: &Numbers) {
        unsafe {
            let eights = _mm256_permute4x64_epi64::<0b11_01_10_00>(packed.0);
            let halves = [_mm256_castsi256_si128(eights), _mm256_extracti128_si256::<1>(eights)];
            let [first, second] = halves.map(|half| _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(half)));
            let first = _mm512_mul_ps(first, sixteen(numbers, 0));
            let both = _mm512_fmadd_ps(second, sixteen(numbers, 1), first);
            self.0 = _mm512_fmadd_ps(beside(scales[0].0, scales[1].0), both, self.0);
        }
    }

    #[inline(always)]
    fn add_offset(&mut self, offset: Scale, eighths: &[f32; 8]) {
        unsafe {
            let eighths = _mm256_loadu_ps(eighths.as_ptr());
            self.0 =
                _mm512_mask3_fmadd_ps(beside(offset.0, offset.0), beside(eighths, eighths), self.0, UPPER);
        }
    }

    #[inline(always)]
    fn total(self) -> f32 {
        let mut parts = [0.0; 16];
        unsafe { _mm512_storeu_ps(parts.as_mut_ptr(), self.0) };
        total(&parts)
    }
}
