//! The same with portable loops: for other targets, and for tests.
#![cfg_attr(test, allow(unreachable_pub, reason = "where there is AVX2, it is there to test by alone"))]
#![allow(clippy::needless_range_loop, reason = "an index goes through several arrays")]

use super::sums::{Inputs, Integers, PLACES, RUN, SumsOf, Zero, total};

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

    /// 16 bytes, followed by the same bytes shifted by 4: in the lower four bits, the lower halves and then the upper halves.
    #[inline]
    pub fn nibbles(bytes: &[u8; 16]) -> Self {
        let mut both = [0; RUN];
        both[..16].copy_from_slice(bytes);
        both[16..].copy_from_slice(bytes);
        let shifted = Self(both).shifted(4);
        both[16..].copy_from_slice(&shifted.0[16..]);
        Self(both)
    }

    /// `self >> shift`, in words of 16 bits: the lower `8 - shift` bits of every byte are its upper bits.
    #[inline]
    pub fn shifted(self, shift: usize) -> Self {
        let mut out = self.0;
        for word in out.as_chunks_mut::<2>().0 {
            *word = (u16::from_le_bytes(*word) >> shift).to_le_bytes();
        }
        Self(out)
    }

    /// `self | other << 4`, for other up to 15.
    #[inline]
    pub fn with_high(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] | other.0[i] << 4))
    }

    /// Byte i with bit i of `bits` as its fifth bit, which must not be set.
    #[inline]
    pub fn with_fifth_bits(self, bits: [u8; 4]) -> Self {
        let bits = u32::from_le_bytes(bits);
        Self(std::array::from_fn(|i| self.0[i] | ((bits >> i & 1) as u8) << 4))
    }

    /// A number less, of every byte, without regard to overflow.
    #[inline]
    pub fn minus(self, number: i8) -> Self {
        Self(self.0.map(|byte| byte.wrapping_sub(number.cast_unsigned())))
    }

    /// The bits of the mask, of every byte.
    #[inline]
    pub fn and(self, mask: u8) -> Self {
        Self(self.0.map(|byte| byte & mask))
    }

    /// With the upper bit of every byte inverted: signed numbers become numbers from 0, 128 more.
    #[inline]
    pub fn unsigned(self) -> Self {
        Self(self.0.map(|byte| byte ^ 128))
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
    fn add(&mut self, weights: [Weights; 2], inputs: &Inputs) {
        for (at, (weight, number)) in weights.iter().flat_map(|run| run.0).zip(inputs.in_order).enumerate() {
            let sum = &mut self.0[at / 8 % 2][at % 8];
            *sum = weight.mul_add(number, *sum);
        }
    }

    #[inline]
    fn add_packed(
        &mut self,
        packed: [Packed; 2],
        integers: Integers,
        scales: [[Scale; 2]; 2],
        offsets: [Scale; 2],
        inputs: &Inputs,
    ) {
        for run in 0..2 {
            for lane in 0..8 {
                let at = 8 * run + lane;
                let product = |place: usize| {
                    let integer = f32::from(packed[run].0[4 * lane + place] & integers.mask);
                    (integer * PLACES[place], inputs.numbers[16 * place + at])
                };
                let (integer, number) = product(0);
                let mut products = match integers.zero {
                    Zero::At(zero) => integer.mul_add(number, -f32::from(zero) * inputs.quarters[at]),
                    Zero::AtOffset => integer * number,
                };
                for place in 1..4 {
                    let (integer, number) = product(place);
                    products = integer.mul_add(number, products);
                }
                let scale = scales[run][lane / 4].0;
                let sum = &mut self.0[run][lane];
                *sum = match integers.zero {
                    Zero::At(_) => scale.mul_add(products, *sum),
                    Zero::AtOffset => *sum + offsets[run].0.mul_add(inputs.quarters[at], scale * products),
                };
            }
        }
    }

    #[inline]
    fn total(self) -> f32 {
        let mut parts = [0.0; 16];
        parts.copy_from_slice(self.0.as_flattened());
        total(&parts)
    }
}
