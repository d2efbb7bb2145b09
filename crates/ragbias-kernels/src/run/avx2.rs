//! AVX2, FMA and F16C instructions, as in `x86-64-v3`.
#![allow(clippy::inline_always, reason = "the inner loops are made of these functions")]
#![allow(clippy::wildcard_imports, reason = "the names of instructions are long and many")]
#![allow(unsafe_code, reason = "vector instructions are unsafe to call, and their loads take pointers")]

use std::arch::x86_64::*;

use super::sums::{Numbers, RUN, SumsOf, total};

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

    /// The lower halves of 16 bytes, followed by their upper halves.
    #[inline(always)]
    pub fn nibbles(bytes: &[u8; 16]) -> Self {
        unsafe {
            let low = _mm_loadu_si128(bytes.as_ptr().cast());
            let both = _mm256_set_m128i(_mm_srli_epi16::<4>(low), low);
            Self(_mm256_and_si256(both, _mm256_set1_epi8(15)))
        }
    }

    /// `(self >> shift) & mask` for every byte; bits of the adjacent byte must not reach the mask.
    #[inline(always)]
    pub fn bits(self, shift: usize, mask: u8) -> Self {
        unsafe {
            let shifted = _mm256_srl_epi16(self.0, _mm_cvtsi64_si128(shift.cast_signed() as i64));
            Self(_mm256_and_si256(shifted, _mm256_set1_epi8(mask.cast_signed())))
        }
    }

    /// `self | other << 4`, for other up to 15.
    #[inline(always)]
    pub fn with_high(self, other: Self) -> Self {
        Self(unsafe { _mm256_or_si256(self.0, _mm256_slli_epi16::<4>(other.0)) })
    }

    /// 16 less if bit i of `bits` is not set.
    #[inline(always)]
    pub fn less_16_unless(self, bits: [u8; 4]) -> Self {
        unsafe {
            let bits = _mm256_set1_epi32(i32::from_le_bytes(bits));
            let bytes =
                _mm256_set_epi64x(0x0303_0303_0303_0303, 0x0202_0202_0202_0202, 0x0101_0101_0101_0101, 0);
            let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64.cast_signed());
            let set = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(bits, bytes), bit), bit);
            Self(_mm256_or_si256(self.0, _mm256_andnot_si256(set, _mm256_set1_epi8(-16))))
        }
    }

    /// A number less, of every byte, without regard to overflow.
    #[inline(always)]
    pub fn minus(self, number: i8) -> Self {
        Self(unsafe { _mm256_sub_epi8(self.0, _mm256_set1_epi8(number)) })
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
    fn add(&mut self, weights: Weights, numbers: &Numbers) {
        for i in 0..4 {
            self.0[i / 2] = unsafe { _mm256_fmadd_ps(weights.0[i], eight(numbers, i), self.0[i / 2]) };
        }
    }

    #[inline(always)]
    fn add_packed(&mut self, packed: Packed, scales: [Scale; 2], numbers: &Numbers) {
        let weights = packed.widened();
        for i in 0..2 {
            unsafe {
                let first = _mm256_mul_ps(weights[2 * i], eight(numbers, 2 * i));
                let both = _mm256_fmadd_ps(weights[2 * i + 1], eight(numbers, 2 * i + 1), first);
                self.0[i] = _mm256_fmadd_ps(scales[i].0, both, self.0[i]);
            }
        }
    }

    #[inline(always)]
    fn add_offset(&mut self, offset: Scale, eighths: &[f32; 8]) {
        unsafe {
            let eighths = _mm256_loadu_ps(eighths.as_ptr());
            self.0[1] = _mm256_fmadd_ps(offset.0, eighths, self.0[1]);
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

/// Eight numbers, by their place in the run.
#[inline(always)]
fn eight(numbers: &Numbers, place: usize) -> __m256 {
    // The first and third eight of a run are followed by the second and fourth.
    unsafe { _mm256_load_ps(numbers.0.as_ptr().add(8 * [0, 2, 1, 3][place])) }
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
