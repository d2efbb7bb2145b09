//! Runs of 32 weights in vector registers.
//!
//! The compiler vectorises the loops over f32 by itself, but not the unpacking of small integers, which is what
//! generating a token consists of: written out for AVX2, it is two to four times faster, and for AVX-512 faster still.

mod sums;

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
pub use sums::{Inputs, Integers, RUN, SumsOf, Zero};

/// The sums of this build's registers: see [`SumsOf`].
pub trait Sums: SumsOf<Packed, Scale, Weights> {}

impl<T: SumsOf<Packed, Scale, Weights>> Sums for T {}

#[cfg(test)]
mod tests {
    #![allow(clippy::inline_always, reason = "the sums are compiled for the registers of the caller")]

    use super::{Inputs, Integers, Packed, RUN, Scale, Sum, Sums, SumsOf, WideSum, Zero};
    use crate::{Work, widest_of};

    /// All byte values, repeatedly, in an irregular order.
    fn bytes<const N: usize>(seed: usize) -> [u8; N] {
        std::array::from_fn(|i| ((seed + i) * 167 + (seed + i) / 256 * 89) as u8)
    }

    fn numbers<const N: usize>(seed: usize) -> [f32; N] {
        bytes::<N>(seed).map(|byte| f32::from(byte) * 0.37 - 41.0)
    }

    /// Every kind of integers.
    const INTEGERS: [Integers; 4] = [
        Integers { mask: 15, zero: Zero::AtOffset },
        Integers { mask: 63, zero: Zero::At(32) },
        Integers { mask: 255, zero: Zero::At(128) },
        Integers { mask: 255, zero: Zero::AtOffset },
    ];

    /// The sum of products with random runs.
    struct Products(usize);

    impl Products {
        #[inline(always)]
        fn with<S: Sums>(self, mut sum: S) -> u32 {
            let seed = self.0;
            let packed = [0, 1].map(|run| Packed::load(&bytes(seed + run)));
            let scales = Scale::halves([seed as u8, 0x39, seed as u8, 0xB1]);
            let inputs = |i: usize| Inputs::new(&numbers::<64>(seed + i));
            sum.add(packed.map(|run| run.scaled(scales)), &inputs(1));
            for (i, integers) in INTEGERS.into_iter().enumerate() {
                let scales = [scales, [scales[1], scales[0]]];
                sum.add_packed(packed, integers, scales, scales[i % 2], &inputs(2 + i));
            }
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
                sum.add([packed.scaled(scales), packed.scaled(ones)], &Inputs::new(&numbers::<64>(seed + 1)));
                let offset = Scale::of(numbers::<1>(seed)[0]);
                for integers in INTEGERS {
                    let packed = [packed, packed.unsigned()];
                    let inputs = Inputs::new(&numbers::<32>(seed + 2));
                    sum.add_packed(packed, integers, [scales, ones], [offset, scales[1]], &inputs);
                }
                sum.add_in_order(packed.scaled(ones), &numbers(seed + 4));
                let all = [
                    packed.scaled(scales),
                    Packed::nibbles(&bytes(seed)).and(15).with_fifth_bits(bytes(seed + 3)).scaled(ones),
                    packed.shifted(4).and(15).with_high(packed.shifted(6).and(3)).minus(32).scaled(ones),
                    packed.and(15).scaled(scales).plus(scales[1]),
                    packed.shifted(7).scaled(ones),
                    packed.unsigned().and(63).scaled(ones),
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
