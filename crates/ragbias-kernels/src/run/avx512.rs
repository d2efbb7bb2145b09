//! Sums in registers of AVX-512, to the bit those of the registers of half the width.
#![allow(clippy::inline_always, reason = "the inner loops are made of these functions")]
#![allow(clippy::wildcard_imports, reason = "the names of instructions are long and many")]
#![allow(unsafe_code, reason = "vector instructions are unsafe to call, and their loads take pointers")]

use std::arch::x86_64::*;

use super::avx2::{Packed, Scale, Weights};
use super::sums::{Inputs, Integers, SumsOf, Zero, total};

/// Partial sums of products: the two registers of `Sum` side by side.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct WideSum(__m512);

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

/// Numbers `16i` to `16i + 15`.
#[inline(always)]
fn sixteen<const N: usize>(numbers: &[f32; N], i: usize) -> __m512 {
    let sixteen: &[f32; 16] = &numbers.as_chunks().0[i];
    unsafe { _mm512_loadu_ps(sixteen.as_ptr()) }
}

impl SumsOf<Packed, Scale, Weights> for WideSum {
    #[inline(always)]
    fn zero() -> Self {
        Self(unsafe { _mm512_setzero_ps() })
    }

    #[inline(always)]
    fn add(&mut self, weights: [Weights; 2], inputs: &Inputs) {
        for (run, weights) in weights.into_iter().enumerate() {
            for i in 0..2 {
                let weights = beside(weights.0[2 * i], weights.0[2 * i + 1]);
                let numbers = sixteen(&inputs.in_order, 2 * run + i);
                self.0 = unsafe { _mm512_fmadd_ps(weights, numbers, self.0) };
            }
        }
    }

    #[inline(always)]
    fn add_packed(
        &mut self,
        packed: [Packed; 2],
        integers: Integers,
        scales: [[Scale; 2]; 2],
        offsets: [Scale; 2],
        inputs: &Inputs,
    ) {
        let quarters = sixteen(&inputs.quarters, 0);
        let numbers = |place: usize| sixteen(&inputs.numbers, place);
        unsafe {
            let words = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(packed[0].0), packed[1].0);
            let integer = |place: usize| {
                let mask = _mm512_set1_epi32((u32::from(integers.mask) << (8 * place)).cast_signed());
                _mm512_cvtepu32_ps(_mm512_and_si512(words, mask))
            };
            let mut products = match integers.zero {
                Zero::At(zero) => {
                    let least = _mm512_mul_ps(_mm512_set1_ps(-f32::from(zero)), quarters);
                    _mm512_fmadd_ps(integer(0), numbers(0), least)
                }
                Zero::AtOffset => _mm512_mul_ps(integer(0), numbers(0)),
            };
            for place in 1..4 {
                products = _mm512_fmadd_ps(integer(place), numbers(place), products);
            }
            let [first, second] = scales.map(|[lower, upper]| _mm256_blend_ps::<0xF0>(lower.0, upper.0));
            let scale = beside(first, second);
            self.0 = match integers.zero {
                Zero::At(_) => _mm512_fmadd_ps(scale, products, self.0),
                Zero::AtOffset => {
                    let offset = beside(offsets[0].0, offsets[1].0);
                    let scaled = _mm512_mul_ps(scale, products);
                    _mm512_add_ps(self.0, _mm512_fmadd_ps(offset, quarters, scaled))
                }
            };
        }
    }

    #[inline(always)]
    fn total(self) -> f32 {
        let mut parts = [0.0; 16];
        unsafe { _mm512_storeu_ps(parts.as_mut_ptr(), self.0) };
        total(&parts)
    }
}
