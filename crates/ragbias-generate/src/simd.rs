//! Runs of 32 weights in vector registers.
//!
//! The compiler vectorises the loops of this crate by itself, but for the unpacking of small integers, which is what
//! generating a token consists of: written out for AVX2, it is two to four times faster.

#[cfg(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c"))]
mod avx2;
#[cfg(any(test, not(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c"))))]
mod portable;

#[cfg(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c"))]
pub(crate) use avx2::{Packed, Weights, half, prefetch};
#[cfg(not(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c")))]
pub(crate) use portable::{Packed, Weights, half, prefetch};

#[cfg(test)]
mod tests {
    use crate::format::RUN;

    /// All bytes, again and again, in an order without a pattern.
    fn bytes<const N: usize>(seed: usize) -> [u8; N] {
        std::array::from_fn(|i| ((seed + i) * 167 + (seed + i) / 256 * 89) as u8)
    }

    fn numbers<const N: usize>(seed: usize) -> [f32; N] {
        bytes::<N>(seed).map(|byte| f32::from(byte) * 0.37 - 41.0)
    }

    /// Everything that a module does, done with the same bytes.
    macro_rules! everything {
        ($name:ident, $($module:tt)+) => {
            fn $name(seed: usize) -> Vec<u32> {
                use $($module)+::{Packed, Weights, half};
                let packed = Packed::load(&bytes(seed));
                let mut sum = Weights::load(&numbers(seed));
                sum.add_product(packed.scaled([0.3, -7.0]), &numbers(seed + 1));
                let all = [
                    packed.scaled([1.5, 0.1]),
                    Packed::nibbles(&bytes(seed)).less_16_unless(bytes(seed + 3)).scaled([1.0; 2]),
                    packed.bits(4, 15).with_high(packed.bits(6, 3)).minus(32).scaled([1.0; 2]),
                    packed.bits(0, 15).scaled([0.7; 2]).plus(-0.2),
                    packed.bits(7, 1).scaled([1.0; 2]),
                    Weights::halves(&bytes(seed)),
                    Weights::zero(),
                    sum,
                ];
                let mut out = [0.0; RUN];
                let mut bits = vec![half([seed as u8, 61]).to_bits()];
                for weights in all {
                    weights.store(&mut out);
                    // Of NaN, which random bytes may be, every kind is as good.
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
