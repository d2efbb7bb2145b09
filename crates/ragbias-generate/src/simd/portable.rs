//! The same as loops: for other targets, and to test by.

use crate::format::RUN;

/// 32 f32.
#[derive(Clone, Copy)]
pub(crate) struct Weights([f32; RUN]);

/// 32 bytes.
#[derive(Clone, Copy)]
pub(crate) struct Packed([u8; RUN]);

#[cfg_attr(test, allow(dead_code, reason = "nothing to compare"))]
pub(crate) fn prefetch(_: &[u8], _: usize) {}

pub(crate) fn half(bytes: [u8; 2]) -> f32 {
    half::f16::from_le_bytes(bytes).to_f32()
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

    pub(crate) fn scaled(self, scales: [f32; 2]) -> Weights {
        Weights(std::array::from_fn(|i| f32::from(self.0[i].cast_signed()) * scales[i / 16]))
    }
}

impl Weights {
    pub(crate) fn zero() -> Self {
        Self([0.0; RUN])
    }

    pub(crate) fn load(numbers: &[f32; RUN]) -> Self {
        Self(*numbers)
    }

    pub(crate) fn halves(bytes: &[u8; 2 * RUN]) -> Self {
        let (halves, _) = bytes.as_chunks::<2>();
        Self(std::array::from_fn(|i| half(halves[i])))
    }

    pub(crate) fn store(self, numbers: &mut [f32; RUN]) {
        *numbers = self.0;
    }

    pub(crate) fn plus(self, number: f32) -> Self {
        Self(self.0.map(|weight| weight + number))
    }

    pub(crate) fn add_product(&mut self, weights: Self, numbers: &[f32; RUN]) {
        for ((sum, weight), number) in self.0.iter_mut().zip(weights.0).zip(numbers) {
            *sum = weight.mul_add(*number, *sum);
        }
    }
}
