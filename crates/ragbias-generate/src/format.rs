//! Dequantises weights of GGUF files in runs of 32.
//!
//! A format divides a row of a matrix into blocks of 32 or 256 small integers with a common scale, or a scale and an
//! offset. The f32 values are those of candle's `dequantize`, bit for bit.
#![allow(clippy::inline_always, reason = "the inner loops are made of these functions")]

use half::bf16;
use ragbias_kernels::run::{Packed, RUN, Scale, Sum, Weights};
use ragbias_kernels::{Cache, prefetch};

/// Prefetch distance in bytes. The hardware prefetcher stops at page boundaries; with this, rows are decoded from memory
/// three times faster.
const AHEAD: usize = 4096;

/// A quantised format of rows.
pub(crate) trait Format {
    /// Weights in a block: a multiple of [`RUN`].
    const WEIGHTS: usize;
    /// Bytes of a block.
    const BYTES: usize;

    /// Run number `run` of a block.
    fn unpack(block: &[u8], run: usize) -> Run;
}

/// 32 weights.
pub(crate) enum Run {
    /// Small integers with a scale for each half, and an offset if the format has one.
    Integers(Packed, [Scale; 2], Option<Scale>),
    Floats(Weights),
}

/// Weights `RUN * index ..` of a row.
#[inline(always)]
pub(crate) fn run_of<F: Format>(row: &[u8], index: usize) -> Run {
    let runs = F::WEIGHTS / RUN;
    let block = &row[index / runs * F::BYTES..][..F::BYTES];
    prefetch(Cache::First, block.as_ptr().wrapping_add(AHEAD));
    F::unpack(block, index % runs)
}

impl Run {
    #[inline(always)]
    pub(crate) fn weights(self) -> Weights {
        match self {
            Self::Integers(packed, scales, Some(offset)) => packed.scaled(scales).plus(offset),
            Self::Integers(packed, scales, None) => packed.scaled(scales),
            Self::Floats(weights) => weights,
        }
    }

    /// Adds the products with the same number of inputs to a sum.
    #[inline(always)]
    pub(crate) fn multiply(&self, numbers: &Numbers, sum: &mut Sum) {
        match *self {
            Self::Integers(packed, scales, offset) => {
                sum.add_packed(packed, scales, &numbers.numbers);
                if let Some(offset) = offset {
                    sum.add_offset(offset, &numbers.eighths);
                }
            }
            Self::Floats(weights) => sum.add(weights, &numbers.numbers),
        }
    }
}

/// The inputs that a run is multiplied with.
pub(crate) struct Numbers {
    numbers: [f32; RUN],
    /// Eight partial sums of the inputs: a common offset of the weights is multiplied with these.
    eighths: [f32; 8],
}

impl Numbers {
    pub(crate) fn new(numbers: &[f32; RUN]) -> Self {
        let part = |i: usize| (numbers[i] + numbers[i + 8]) + (numbers[i + 16] + numbers[i + 24]);
        Self { numbers: *numbers, eighths: std::array::from_fn(part) }
    }
}

/// The 16-bit numbers from `at` on.
#[inline(always)]
fn halves(block: &[u8], at: usize) -> [Scale; 2] {
    Scale::halves(*bytes(block, at))
}

#[inline(always)]
fn bytes<const N: usize>(block: &[u8], at: usize) -> &[u8; N] {
    block[at..].first_chunk().expect("a block is as long as its format says: this is a bug")
}

pub(crate) struct Q4_0;
pub(crate) struct Q4_1;
pub(crate) struct Q5_0;
pub(crate) struct Q8_0;
pub(crate) struct Q4K;
pub(crate) struct Q5K;
pub(crate) struct Q6K;
pub(crate) struct F16;
pub(crate) struct BF16;
pub(crate) struct F32;

impl Format for Q4_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 18;

    #[inline(always)]
    fn unpack(block: &[u8], _: usize) -> Run {
        Run::Integers(Packed::nibbles(bytes(block, 2)).minus(8), [halves(block, 0)[0]; 2], None)
    }
}

impl Format for Q4_1 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 20;

    #[inline(always)]
    fn unpack(block: &[u8], _: usize) -> Run {
        let [scale, offset] = halves(block, 0);
        Run::Integers(Packed::nibbles(bytes(block, 4)), [scale; 2], Some(offset))
    }
}

impl Format for Q5_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 22;

    #[inline(always)]
    fn unpack(block: &[u8], _: usize) -> Run {
        let packed = Packed::nibbles(bytes(block, 6)).less_16_unless(*bytes(block, 2));
        Run::Integers(packed, [halves(block, 0)[0]; 2], None)
    }
}

impl Format for Q8_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 34;

    #[inline(always)]
    fn unpack(block: &[u8], _: usize) -> Run {
        Run::Integers(Packed::load(bytes(block, 2)), [halves(block, 0)[0]; 2], None)
    }
}

/// Scale and offset of one of the eight runs of a block, in twelve bytes of six bits each.
#[inline(always)]
fn six_bits(packed: &[u8; 12], run: usize) -> (f32, f32) {
    let (scale, offset) = if run < 4 {
        (packed[run] & 63, packed[run + 4] & 63)
    } else {
        let (low, scale, offset) = (packed[run + 4], packed[run - 4], packed[run]);
        (low & 15 | scale >> 6 << 4, low >> 4 | offset >> 6 << 4)
    };
    (scale.into(), offset.into())
}

impl Format for Q4K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 144;

    #[inline(always)]
    fn unpack(block: &[u8], run: usize) -> Run {
        let (scale, offset) = six_bits(bytes(block, 4), run);
        let packed = Packed::load(bytes(block, 16 + run / 2 * RUN)).bits(run % 2 * 4, 15);
        let [all, least] = halves(block, 0);
        Run::Integers(packed, [all.times(scale); 2], Some(least.times(-offset)))
    }
}

impl Format for Q5K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 176;

    #[inline(always)]
    fn unpack(block: &[u8], run: usize) -> Run {
        let (scale, offset) = six_bits(bytes(block, 4), run);
        let low = Packed::load(bytes(block, 48 + run / 2 * RUN)).bits(run % 2 * 4, 15);
        let packed = low.with_high(Packed::load(bytes(block, 16)).bits(run, 1));
        let [all, least] = halves(block, 0);
        Run::Integers(packed, [all.times(scale); 2], Some(least.times(-offset)))
    }
}

impl Format for Q6K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 210;

    #[inline(always)]
    fn unpack(block: &[u8], run: usize) -> Run {
        // Each half of a block has 64 bytes of low bits, 32 bytes of high ones, and 8 scales.
        let (part, run) = (run / 4, run % 4);
        let low = Packed::load(bytes(block, part * 64 + run % 2 * RUN)).bits(run / 2 * 4, 15);
        let packed = low.with_high(Packed::load(bytes(block, 128 + part * RUN)).bits(run * 2, 3));
        let [_, all] = halves(block, 206);
        let scale = |half: usize| all.times(block[192 + part * 8 + run * 2 + half].cast_signed().into());
        Run::Integers(packed.minus(32), [scale(0), scale(1)], None)
    }
}

impl Format for F16 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 64;

    #[inline(always)]
    fn unpack(block: &[u8], _: usize) -> Run {
        Run::Floats(Weights::halves(bytes(block, 0)))
    }
}

impl Format for BF16 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 64;

    #[inline(always)]
    fn unpack(block: &[u8], _: usize) -> Run {
        floats(|i| bf16::from_le_bytes(*bytes(block, 2 * i)).to_f32())
    }
}

impl Format for F32 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 128;

    #[inline(always)]
    fn unpack(block: &[u8], _: usize) -> Run {
        floats(|i| f32::from_le_bytes(*bytes(block, 4 * i)))
    }
}

#[inline(always)]
fn floats(number: impl Fn(usize) -> f32) -> Run {
    let mut numbers = [0.0; RUN];
    for (i, out) in numbers.iter_mut().enumerate() {
        *out = number(i);
    }
    Run::Floats(Weights::load(&numbers))
}
