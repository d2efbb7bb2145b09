//! Runs of 32 weights in vector registers.
//!
//! The compiler vectorises the loops over f32 by itself, but not the unpacking of small integers, which is what
//! generating a token consists of: written out for AVX2, it is two to four times faster.

/// How many weights are decoded at a time.
pub const RUN: usize = 32;

#[cfg(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c"))]
mod avx2;
#[cfg(any(test, not(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c"))))]
mod portable;

#[cfg(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c"))]
pub use avx2::{Packed, Scale, Sum, Weights};
#[cfg(not(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c")))]
pub use portable::{Packed, Scale, Sum, Weights};

#[cfg(test)]
mod tests {
    use super::RUN;

    /// All byte values, repeatedly, in an irregular order.
    fn bytes<const N: usize>(seed: usize) -> [u8; N] {
        std::array::from_fn(|i| ((seed + i) * 167 + (seed + i) / 256 * 89) as u8)
    }

    fn numbers<const N: usize>(seed: usize) -> [f32; N] {
        bytes::<N>(seed).map(|byte| f32::from(byte) * 0.37 - 41.0)
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
                sum.add(packed.scaled(scales), &numbers(seed + 1));
                sum.add_packed(packed, scales, &numbers(seed + 2));
                sum.add_offset(scales[0].times(0.3), &numbers(seed + 3));
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
                let mut bits = vec![sum.total().to_bits()];
                for weights in all {
                    weights.store(&mut out);
                    // Random bytes may be NaN, of which all bit patterns count as equal.
                    bits.extend(out.iter().map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() }));
                }
                bits
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
}
