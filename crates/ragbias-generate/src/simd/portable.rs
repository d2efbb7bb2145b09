//! The same with portable loops: for other targets, and for tests.
#![allow(clippy::needless_range_loop, reason = "an index goes through several arrays")]

use crate::format::RUN;

/// 32 f32.
#[derive(Clone, Copy)]
pub(crate) struct Weights([f32; RUN]);

/// 32 bytes.
#[derive(Clone, Copy)]
pub(crate) struct Packed([u8; RUN]);

#[cfg_attr(test, allow(dead_code, reason = "nothing to compare"))]
pub(crate) fn prefetch(_: &[u8], _: usize) {}

/// One f32.
#[derive(Clone, Copy)]
pub(crate) struct Scale(f32);

/// Partial sums of products.
#[derive(Clone, Copy)]
pub(crate) struct Sum([[f32; 8]; 2]);

impl Scale {
    pub(crate) fn halves(bytes: [u8; 4]) -> [Self; 2] {
        [0, 2].map(|at| Self(half::f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()))
    }

    pub(crate) fn times(self, number: f32) -> Self {
        Self(self.0 * number)
    }
}

impl Packed {
    pub(crate) fn load(bytes: &[u8; RUN]) -> Self {
        Self(*bytes)
    }

    pub(crate) fn nibbles(bytes: &[u8; 16]) -> Self {
        Self(std::array::from_fn(|i| bytes[i % 16] >> (i / 16 * 4) & 15))
    }

    pub(crate) fn bits(self, shift: usize, mask: u8) -> Self {
        Self(self.0.map(|byte| byte >> shift & mask))
    }

    pub(crate) fn with_high(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] | other.0[i] << 4))
    }

    pub(crate) fn less_16_unless(self, bits: [u8; 4]) -> Self {
        let bits = u32::from_le_bytes(bits);
        Self(std::array::from_fn(|i| if bits >> i & 1 == 1 { self.0[i] } else { self.0[i] | 0xF0 }))
    }

    pub(crate) fn minus(self, number: i8) -> Self {
        Self(self.0.map(|byte| byte.wrapping_sub(number.cast_unsigned())))
    }

    pub(crate) fn scaled(self, scales: [Scale; 2]) -> Weights {
        Weights(std::array::from_fn(|i| f32::from(self.0[i].cast_signed()) * scales[i / 16].0))
    }
}

impl Weights {
    pub(crate) fn load(numbers: &[f32; RUN]) -> Self {
        Self(*numbers)
    }

    pub(crate) fn halves(bytes: &[u8; 2 * RUN]) -> Self {
        let (halves, _) = bytes.as_chunks::<2>();
        Self(std::array::from_fn(|i| half::f16::from_le_bytes(halves[i]).to_f32()))
    }

    pub(crate) fn store(self, numbers: &mut [f32; RUN]) {
        *numbers = self.0;
    }

    pub(crate) fn plus(self, offset: Scale) -> Self {
        Self(self.0.map(|weight| weight + offset.0))
    }
}

impl Sum {
    pub(crate) fn zero() -> Self {
        Self([[0.0; 8]; 2])
    }

    pub(crate) fn add(&mut self, weights: Weights, numbers: &[f32; RUN]) {
        for i in 0..RUN {
            let sum = &mut self.0[i / 16][i % 8];
            *sum = weights.0[i].mul_add(numbers[i], *sum);
        }
    }

    pub(crate) fn add_packed(&mut self, packed: Packed, scales: [Scale; 2], numbers: &[f32; RUN]) {
        for i in 0..16 {
            let (at, sum) = (i / 8 * 16 + i % 8, &mut self.0[i / 8][i % 8]);
            let number = |at: usize| f32::from(packed.0[at].cast_signed());
            let both = number(at + 8).mul_add(numbers[at + 8], number(at) * numbers[at]);
            *sum = scales[i / 8].0.mul_add(both, *sum);
        }
    }

    pub(crate) fn add_offset(&mut self, offset: Scale, eighths: &[f32; 8]) {
        for (sum, eighth) in self.0[1].iter_mut().zip(eighths) {
            *sum = offset.0.mul_add(*eighth, *sum);
        }
    }

    pub(crate) fn total(self) -> f32 {
        let parts: [f32; 8] = std::array::from_fn(|i| self.0[0][i] + self.0[1][i]);
        let fours: [f32; 4] = std::array::from_fn(|i| parts[i] + parts[i + 4]);
        (fours[0] + fours[2]) + (fours[1] + fours[3])
    }
}
