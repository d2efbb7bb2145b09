//! Runs of 32 weights in vector registers.
//!
//! The compiler vectorises the loops over f32 by itself, but not the unpacking of small integers, which is what
//! generating a token consists of: written out for AVX2, it is two to four times faster, and for AVX-512 faster still.
#![allow(clippy::inline_always, reason = "the inner loops are made of these functions")]

/// How many weights are decoded at a time.
pub const RUN: usize = 32;

#[cfg(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c"))]
mod avx2;
#[cfg(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c"))]
mod avx512;
#[cfg(any(test, not(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c"))))]
mod portable;

#[cfg(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c"))]
pub use avx2::{Packed, Scale, Sum, Weights};
#[cfg(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c"))]
pub use avx512::WideSum;
#[cfg(not(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c")))]
pub use portable::{Packed, Scale, Sum, Sum as WideSum, Weights};

/// The inputs of a run.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct Numbers(
    /// The first and third eight, then the second and fourth: the numbers that a register of sixteen takes at a time.
    [f32; RUN],
);

impl Numbers {
    /// From the inputs in order.
    pub fn new(numbers: &[f32; RUN]) -> Self {
        Self(std::array::from_fn(|i| numbers[Self::place(i)]))
    }

    /// The inputs in order.
    #[cfg(any(test, not(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c"))))]
    fn in_order(&self) -> [f32; RUN] {
        std::array::from_fn(|i| self.0[Self::place(i)])
    }

    /// Where the number of a place is from; the number from there has this place.
    fn place(i: usize) -> usize {
        [0, 16, 8, 24][i / 8] + i % 8
    }
}

/// Partial sums of products with runs of weights, in registers of one width. [`WideSum`] is only for machines with AVX-512, in
/// [`Work::run::<true>`](crate::Work); it computes the same as [`Sum`], to the bit.
pub trait Sums<P = Packed, S = Scale, W = Weights>: Copy {
    /// Of nothing.
    #[must_use]
    fn zero() -> Self;

    /// `self += weights · numbers`.
    fn add(&mut self, weights: W, numbers: &Numbers);

    /// `self += scales · (packed · numbers)`, with a scale for each half of the run.
    fn add_packed(&mut self, packed: P, scales: [S; 2], numbers: &Numbers);

    /// `self += offset · eighths`, where `eighths` are partial sums of the numbers.
    fn add_offset(&mut self, offset: S, eighths: &[f32; 8]);

    /// The sum of the parts, in halves.
    fn total(self) -> f32;
}

/// The sum of sixteen parts, in halves.
#[inline(always)]
fn total(parts: &[f32; 16]) -> f32 {
    let eights: [f32; 8] = std::array::from_fn(|i| parts[i] + parts[i + 8]);
    let fours: [f32; 4] = std::array::from_fn(|i| eights[i] + eights[i + 4]);
    (fours[0] + fours[2]) + (fours[1] + fours[3])
}

#[cfg(test)]
mod tests {
    use super::{Numbers, Packed, RUN, Scale, Sum, Sums, WideSum};
    use crate::{Work, widest_of};

    /// All byte values, repeatedly, in an irregular order.
    fn bytes<const N: usize>(seed: usize) -> [u8; N] {
        std::array::from_fn(|i| ((seed + i) * 167 + (seed + i) / 256 * 89) as u8)
    }

    fn numbers<const N: usize>(seed: usize) -> [f32; N] {
        bytes::<N>(seed).map(|byte| f32::from(byte) * 0.37 - 41.0)
    }

    /// The sum of products with random runs, in both orders of the numbers.
    struct Products(usize);

    impl Products {
        #[inline(always)]
        fn with<S: Sums>(self, mut sum: S) -> u32 {
            let seed = self.0;
            let packed = Packed::load(&bytes(seed));
            let scales = Scale::halves([seed as u8, 0x39, seed as u8, 0xB1]);
            let numbers = |i: usize| Numbers::new(&numbers(seed + i));
            sum.add(packed.scaled(scales), &numbers(1));
            sum.add_packed(packed, scales, &numbers(2));
            sum.add_offset(scales[0], &self::numbers(seed + 3));
            sum.add_packed(packed.minus(9), [scales[1], scales[0]], &numbers(4));
            sum.total().to_bits()
        }
    }

    impl Work for Products {
        type Output = u32;

        #[inline(always)]
        fn run<const WIDE: bool>(self) -> u32 {
            if WIDE { self.with(WideSum::zero()) } else { self.with(Sum::zero()) }
        }
    }

    /// Every function of a module, applied to the same bytes.
    macro_rules! everything {
        ($name:ident, $($module:tt)+) => {
            fn $name(seed: usize) -> Vec<u32> {
                use $($module)+::{Packed, Scale, Sum, Weights};
                let packed = Packed::load(&bytes(seed));
                let scales = Scale::halves([seed as u8, 0x39, seed as u8, 0xB1]);
                let ones = Scale::halves([0, 0x3C, 0, 0x3C]);
                let mut sum = Sum::zero();
                sum.add(packed.scaled(scales), &Numbers::new(&numbers(seed + 1)));
                sum.add_packed(packed, scales, &Numbers::new(&numbers(seed + 2)));
                sum.add_offset(Scale::of(numbers::<1>(seed)[0]), &numbers(seed + 3));
                sum.add_in_order(packed.scaled(ones), &numbers(seed + 4));
                let all = [
                    packed.scaled(scales),
                    Packed::nibbles(&bytes(seed)).less_16_unless(bytes(seed + 3)).scaled(ones),
                    packed.bits(4, 15).with_high(packed.bits(6, 3)).minus(32).scaled(ones),
                    packed.bits(0, 15).scaled(scales).plus(scales[1]),
                    packed.bits(7, 1).scaled(ones),
                    Weights::halves(&bytes(seed)),
                    Weights::load(&numbers(seed)),
                ];
                let mut out = [0.0; RUN];
                let mut values = vec![sum.total()];
                values.extend(scales[1].times(bytes(seed)));
                for weights in all {
                    weights.store(&mut out);
                    values.extend(out);
                }
                // Random bytes may be NaN, of which all bit patterns count as equal.
                values.into_iter().map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() }).collect()
            }
        };
    }
    everything!(fast, super);
    everything!(slow, super::portable);

    #[test]
    fn vector_instructions_compute_what_the_loops_do() {
        for seed in 0..10_000 {
            assert_eq!(fast(seed), slow(seed), "{seed}");
        }
    }

    #[test]
    fn the_widest_registers_give_the_sums_of_the_others_to_the_bit() {
        for seed in 0..10_000 {
            let [wide, narrow] =
                [widest_of(Products(seed)), Products(seed).run::<false>()].map(f32::from_bits);
            assert!(wide.to_bits() == narrow.to_bits() || wide.is_nan() && narrow.is_nan(), "{seed}");
        }
    }
}
