//! AVX2, FMA and F16C instructions, as in `x86-64-v3`.
#![allow(clippy::inline_always, reason = "the inner loops are made of these functions")]
#![allow(clippy::wildcard_imports, reason = "the names of instructions are long and many")]
#![allow(unsafe_code, reason = "vector instructions are unsafe to call, and their loads take pointers")]

use std::arch::x86_64::*;

use super::sums::{Inputs, Integers, PLACES, RUN, SumsOf, Zero, total};

/// 32 f32.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Weights(pub(super) [__m256; 4]);

/// 32 bytes.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Packed(pub(super) __m256i);

// SAFETY, of every block below: the instructions are those of AVX2, FMA and F16C, and this module is compiled only where
// the target has them; each load and store goes through a reference to an array of at least its length.

/// One f32 in all eight lanes.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Scale(pub(super) __m256);

/// Partial sums of products.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Sum([__m256; 2]);

impl Scale {
    /// Two 16-bit floats. (Always both, even if one is unused: otherwise two bytes would be inserted into a register whose
    /// last value, a sum of the loop, would have to be waited for.)
    #[inline(always)]
    pub fn halves(bytes: [u8; 4]) -> [Self; 2] {
        unsafe {
            let both = _mm256_cvtph_ps(_mm_set1_epi32(i32::from_le_bytes(bytes)));
            [Self(_mm256_moveldup_ps(both)), Self(_mm256_movehdup_ps(both))]
        }
    }

    /// A number.
    #[inline(always)]
    pub fn of(number: f32) -> Self {
        Self(unsafe { _mm256_set1_ps(number) })
    }

    /// Times eight signed bytes.
    #[inline(always)]
    pub fn times(self, bytes: [u8; 8]) -> [f32; 8] {
        let mut out = [0.0; 8];
        unsafe {
            let numbers =
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(bytes))));
            _mm256_storeu_ps(out.as_mut_ptr(), _mm256_mul_ps(self.0, numbers));
        }
        out
    }
}

impl Packed {
    /// The bytes as they are.
    #[inline(always)]
    pub fn load(bytes: &[u8; RUN]) -> Self {
        Self(unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) })
    }

    /// 16 bytes, followed by the same bytes shifted by 4: in the lower four bits, the lower halves and then the upper halves.
    #[inline(always)]
    pub fn nibbles(bytes: &[u8; 16]) -> Self {
        unsafe {
            let low = _mm_loadu_si128(bytes.as_ptr().cast());
            Self(_mm256_set_m128i(_mm_srli_epi16::<4>(low), low))
        }
    }

    /// `self >> shift`, in words of 16 bits: the lower `8 - shift` bits of every byte are its upper bits.
    #[inline(always)]
    pub fn shifted(self, shift: usize) -> Self {
        Self(unsafe { _mm256_srl_epi16(self.0, _mm_cvtsi64_si128(shift.cast_signed() as i64)) })
    }

    /// `self | other << 4`, for other up to 15.
    #[inline(always)]
    pub fn with_high(self, other: Self) -> Self {
        Self(unsafe { _mm256_or_si256(self.0, _mm256_slli_epi16::<4>(other.0)) })
    }

    /// Byte i with bit i of `bits` as its fifth bit, which must not be set.
    #[inline(always)]
    pub fn with_fifth_bits(self, bits: [u8; 4]) -> Self {
        unsafe {
            let bits = _mm256_set1_epi32(i32::from_le_bytes(bits));
            let bytes =
                _mm256_set_epi64x(0x0303_0303_0303_0303, 0x0202_0202_0202_0202, 0x0101_0101_0101_0101, 0);
            let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
            let set = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(bits, bytes), bit), bit);
            Self(_mm256_or_si256(self.0, _mm256_and_si256(set, _mm256_set1_epi8(16))))
        }
    }

    /// A number less, of every byte, without regard to overflow.
    #[inline(always)]
    pub fn minus(self, number: i8) -> Self {
        Self(unsafe { _mm256_sub_epi8(self.0, _mm256_set1_epi8(number)) })
    }

    /// The bits of the mask, of every byte.
    #[inline(always)]
    pub fn and(self, mask: u8) -> Self {
        Self(unsafe { _mm256_and_si256(self.0, _mm256_set1_epi8(mask.cast_signed())) })
    }

    /// With the upper bit of every byte inverted: signed numbers become numbers from 0, 128 more.
    #[inline(always)]
    pub fn unsigned(self) -> Self {
        Self(unsafe { _mm256_xor_si256(self.0, _mm256_set1_epi8(i8::MIN)) })
    }

    /// The byte of a place in each 32-bit word, without the bits that are not in the mask, times the value of its unit.
    #[inline(always)]
    fn integer(self, place: usize, mask: u8) -> __m256 {
        unsafe {
            if place == 3 && mask > 127 {
                // The word would be negative.
                let bytes = _mm256_and_si256(_mm256_srli_epi32::<24>(self.0), _mm256_set1_epi32(mask.into()));
                return _mm256_mul_ps(_mm256_cvtepi32_ps(bytes), _mm256_set1_ps(PLACES[3]));
            }
            let mask = _mm256_set1_epi32(i32::from(mask) << (8 * place));
            _mm256_cvtepi32_ps(_mm256_and_si256(self.0, mask))
        }
    }

    /// The bytes as signed numbers.
    #[inline(always)]
    fn widened(self) -> [__m256; 4] {
        unsafe {
            let (low, high) = (_mm256_castsi256_si128(self.0), _mm256_extracti128_si256::<1>(self.0));
            let eights = [low, _mm_srli_si128::<8>(low), high, _mm_srli_si128::<8>(high)];
            let mut out = [_mm256_setzero_ps(); 4];
            for i in 0..4 {
                out[i] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eights[i]));
            }
            out
        }
    }

    /// The bytes as signed numbers, times a scale for each half of them.
    #[inline(always)]
    pub fn scaled(self, scales: [Scale; 2]) -> Weights {
        let mut out = self.widened();
        for i in 0..4 {
            out[i] = unsafe { _mm256_mul_ps(out[i], scales[i / 2].0) };
        }
        Weights(out)
    }
}

impl Sum {
    /// `self += weights · numbers`, for numbers in order.
    #[inline(always)]
    pub fn add_in_order(&mut self, weights: Weights, numbers: &[f32; RUN]) {
        let numbers = Weights::load(numbers);
        for i in 0..4 {
            self.0[i / 2] = unsafe { _mm256_fmadd_ps(weights.0[i], numbers.0[i], self.0[i / 2]) };
        }
    }
}

impl SumsOf<Packed, Scale, Weights> for Sum {
    #[inline(always)]
    fn zero() -> Self {
        Self(unsafe { [_mm256_setzero_ps(); 2] })
    }

    #[inline(always)]
    fn add(&mut self, weights: [Weights; 2], inputs: &Inputs) {
        for (run, weights) in weights.into_iter().enumerate() {
            for i in 0..4 {
                let numbers = eight(&inputs.in_order, 4 * run + i);
                self.0[i % 2] = unsafe { _mm256_fmadd_ps(weights.0[i], numbers, self.0[i % 2]) };
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
        for run in 0..2 {
            let quarters = eight(&inputs.quarters, run);
            let numbers = |place: usize| eight(&inputs.numbers, 2 * place + run);
            let integer = |place: usize| packed[run].integer(place, integers.mask);
            unsafe {
                let mut products = match integers.zero {
                    Zero::At(zero) => {
                        let least = _mm256_mul_ps(_mm256_set1_ps(-f32::from(zero)), quarters);
                        _mm256_fmadd_ps(integer(0), numbers(0), least)
                    }
                    Zero::AtOffset => _mm256_mul_ps(integer(0), numbers(0)),
                };
                for place in 1..4 {
                    products = _mm256_fmadd_ps(integer(place), numbers(place), products);
                }
                let scale = _mm256_blend_ps::<0xF0>(scales[run][0].0, scales[run][1].0);
                self.0[run] = match integers.zero {
                    Zero::At(_) => _mm256_fmadd_ps(scale, products, self.0[run]),
                    Zero::AtOffset => {
                        let scaled = _mm256_mul_ps(scale, products);
                        _mm256_add_ps(self.0[run], _mm256_fmadd_ps(offsets[run].0, quarters, scaled))
                    }
                };
            }
        }
    }

    #[inline(always)]
    fn total(self) -> f32 {
        let mut parts = [0.0; 16];
        for (half, eight) in parts.chunks_exact_mut(8).zip(self.0) {
            unsafe { _mm256_storeu_ps(half.as_mut_ptr(), eight) };
        }
        total(&parts)
    }
}

/// Numbers `8i` to `8i + 7`.
#[inline(always)]
fn eight<const N: usize>(numbers: &[f32; N], i: usize) -> __m256 {
    let eight: &[f32; 8] = &numbers.as_chunks().0[i];
    unsafe { _mm256_loadu_ps(eight.as_ptr()) }
}

impl Weights {
    /// These numbers.
    #[inline(always)]
    pub fn load(numbers: &[f32; RUN]) -> Self {
        Self(unsafe { std::array::from_fn(|i| _mm256_loadu_ps(numbers.as_ptr().add(8 * i))) })
    }

    /// 16-bit floats.
    #[inline(always)]
    pub fn halves(bytes: &[u8; 2 * RUN]) -> Self {
        let (eights, _) = bytes.as_chunks::<16>();
        Self(unsafe { std::array::from_fn(|i| _mm256_cvtph_ps(_mm_loadu_si128(eights[i].as_ptr().cast()))) })
    }

    /// Writes the numbers down.
    #[inline(always)]
    pub fn store(self, numbers: &mut [f32; RUN]) {
        for (i, eight) in self.0.into_iter().enumerate() {
            unsafe { _mm256_storeu_ps(numbers.as_mut_ptr().add(8 * i), eight) }
        }
    }

    /// An offset more, of every number.
    #[inline(always)]
    pub fn plus(mut self, offset: Scale) -> Self {
        for eight in &mut self.0 {
            *eight = unsafe { _mm256_add_ps(*eight, offset.0) };
        }
        self
    }
}
