//! The same with portable loops: for other targets, and for tests.
#![cfg_attr(test, allow(unreachable_pub, reason = "where there is AVX2, it is there to test by alone"))]
#![allow(clippy::needless_range_loop, reason = "an index goes through several arrays")]

use super::sums::{Numbers, RUN, SumsOf, total};

/// 32 f32.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Weights([f32; RUN]);

/// 32 bytes.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Packed([u8; RUN]);

/// One f32.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Scale(f32);

/// Partial sums of products.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Sum([[f32; 8]; 2]);

impl Scale {
    /// Two numbers of 16 bits.
    #[inline]
    pub fn halves(bytes: [u8; 4]) -> [Self; 2] {
        [0, 2].map(|at| Self(half::f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()))
    }

    /// A number.
    #[inline]
    pub fn of(number: f32) -> Self {
        Self(number)
    }

    /// Times eight signed bytes.
    #[inline]
    pub fn times(self, bytes: [u8; 8]) -> [f32; 8] {
        bytes.map(|byte| self.0 * f32::from(byte.cast_signed()))
    }
}

impl Packed {
    /// The bytes as they are.
    #[inline]
    pub fn load(bytes: &[u8; RUN]) -> Self {
        Self(*bytes)
    }

    /// The lower halves of 16 bytes, followed by their upper halves.
    #[inline]
    pub fn nibbles(bytes: &[u8; 16]) -> Self {
        Self(std::array::from_fn(|i| bytes[i % 16] >> (i / 16 * 4) & 15))
    }

    /// `(self >> shift) & mask` for every byte; bits of the adjacent byte must not reach the mask.
    #[inline]
    pub fn bits(self, shift: usize, mask: u8) -> Self {
        Self(self.0.map(|byte| byte >> shift & mask))
    }

    /// `self | other << 4`, for other up to 15.
    #[inline]
    pub fn with_high(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] | other.0[i] << 4))
    }

    /// 16 less if bit i of `bits` is not set.
    #[inline]
    pub fn less_16_unless(self, bits: [u8; 4]) -> Self {
        let bits = u32::from_le_bytes(bits);
        Self(std::array::from_fn(|i| if bits >> i & 1 == 1 { self.0[i] } else { self.0[i] | 0xF0 }))
    }

    /// A number less, of every byte, without regard to overflow.
    #[inline]
    pub fn minus(self, number: i8) -> Self {
        Self(self.0.map(|byte| byte.wrapping_sub(number.cast_unsigned())))
    }

    /// The bytes as signed numbers, times a scale for each half of them.
    #[inline]
    pub fn scaled(self, scales: [Scale; 2]) -> Weights {
        Weights(std::array::from_fn(|i| f32::from(self.0[i].cast_signed()) * scales[i / 16].0))
    }
}

impl Weights {
    /// These numbers.
    #[inline]
    pub fn load(numbers: &[f32; RUN]) -> Self {
        Self(*numbers)
    }

    /// Numbers of 16 bits.
    #[inline]
    pub fn halves(bytes: &[u8; 2 * RUN]) -> Self {
        let (halves, _) = bytes.as_chunks::<2>();
        Self(std::array::from_fn(|i| half::f16::from_le_bytes(halves[i]).to_f32()))
    }

    /// Writes the numbers down.
    #[inline]
    pub fn store(self, numbers: &mut [f32; RUN]) {
        *numbers = self.0;
    }

    /// An offset more, of every number.
    #[inline]
    pub fn plus(self, offset: Scale) -> Self {
        Self(self.0.map(|weight| weight + offset.0))
    }
}

impl Sum {
    /// `self += weights · numbers`, for numbers in order.
    #[inline]
    pub fn add_in_order(&mut self, weights: Weights, numbers: &[f32; RUN]) {
        for i in 0..RUN {
            let sum = &mut self.0[i / 16][i % 8];
            *sum = weights.0[i].mul_add(numbers[i], *sum);
        }
    }
}

impl SumsOf<Packed, Scale, Weights> for Sum {
    #[inline]
    fn zero() -> Self {
        Self([[0.0; 8]; 2])
    }

    #[inline]
    fn add(&mut self, weights: Weights, numbers: &Numbers) {
        self.add_in_order(weights, &numbers.in_order());
    }

    #[inline]
    fn add_packed(&mut self, packed: Packed, scales: [Scale; 2], numbers: &Numbers) {
        let numbers = numbers.in_order();
        for i in 0..16 {
            let (at, sum) = (i / 8 * 16 + i % 8, &mut self.0[i / 8][i % 8]);
            let number = |at: usize| f32::from(packed.0[at].cast_signed());
            let both = number(at + 8).mul_add(numbers[at + 8], number(at) * numbers[at]);
            *sum = scales[i / 8].0.mul_add(both, *sum);
        }
    }

    #[inline]
    fn add_offset(&mut self, offset: Scale, eighths: &[f32; 8]) {
        for (sum, eighth) in self.0[1].iter_mut().zip(eighths) {
            *sum = offset.0.mul_add(*eighth, *sum);
        }
    }

    #[inline]
    fn total(self) -> f32 {
        let mut parts = [0.0; 16];
        parts.copy_from_slice(self.0.as_flattened());
        total(&parts)
    }
}
