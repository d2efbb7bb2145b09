//! Weights as GGUF files hold them, turned into f32 in runs of 32.
//!
//! A format divides a row of a matrix into blocks of 32 or 256 small integers with a scale, or a scale and an offset, in
//! common. The f32 values are those of candle's `dequantize`, bit for bit.
#![allow(clippy::inline_always, reason = "the inner loops are made of these functions")]

use half::bf16;

use crate::simd::{Packed, Weights, half, prefetch};

/// How many weights are decoded at a time: every block is a multiple of it.
pub(crate) const RUN: usize = 32;

/// Bytes that are asked for before they are decoded. What the processor fetches by itself ends with a page; from memory,
/// rows are decoded three times faster with this.
const AHEAD: usize = 4096;

/// A way to write down rows of weights.
pub(crate) trait Format {
    /// Weights in a block.
    const WEIGHTS: usize;
    /// Bytes of a block.
    const BYTES: usize;

    /// Run number `run` of a block.
    fn run(block: &[u8], run: usize) -> Weights;
}

/// Weights `RUN * index ..` of a row.
#[inline(always)]
pub(crate) fn run_of<F: Format>(row: &[u8], index: usize) -> Weights {
    let runs = F::WEIGHTS / RUN;
    let block = &row[index / runs * F::BYTES..][..F::BYTES];
    prefetch(block, AHEAD);
    F::run(block, index % runs)
}

#[inline(always)]
fn half_at(block: &[u8], at: usize) -> f32 {
    half(*bytes(block, at))
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
    fn run(block: &[u8], _: usize) -> Weights {
        Packed::nibbles(bytes(block, 2)).minus(8).scaled([half_at(block, 0); 2])
    }
}

impl Format for Q4_1 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 20;

    #[inline(always)]
    fn run(block: &[u8], _: usize) -> Weights {
        Packed::nibbles(bytes(block, 4)).scaled([half_at(block, 0); 2]).plus(half_at(block, 2))
    }
}

impl Format for Q5_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 22;

    #[inline(always)]
    fn run(block: &[u8], _: usize) -> Weights {
        let packed = Packed::nibbles(bytes(block, 6)).less_16_unless(*bytes(block, 2));
        packed.scaled([half_at(block, 0); 2])
    }
}

impl Format for Q8_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 34;

    #[inline(always)]
    fn run(block: &[u8], _: usize) -> Weights {
        Packed::load(bytes(block, 2)).scaled([half_at(block, 0); 2])
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
    fn run(block: &[u8], run: usize) -> Weights {
        let (scale, offset) = six_bits(bytes(block, 4), run);
        let packed = Packed::load(bytes(block, 16 + run / 2 * RUN)).bits(run % 2 * 4, 15);
        packed.scaled([half_at(block, 0) * scale; 2]).plus(-(half_at(block, 2) * offset))
    }
}

impl Format for Q5K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 176;

    #[inline(always)]
    fn run(block: &[u8], run: usize) -> Weights {
        let (scale, offset) = six_bits(bytes(block, 4), run);
        let low = Packed::load(bytes(block, 48 + run / 2 * RUN)).bits(run % 2 * 4, 15);
        let packed = low.with_high(Packed::load(bytes(block, 16)).bits(run, 1));
        packed.scaled([half_at(block, 0) * scale; 2]).plus(-(half_at(block, 2) * offset))
    }
}

impl Format for Q6K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 210;

    #[inline(always)]
    fn run(block: &[u8], run: usize) -> Weights {
        // Each half of a block has 64 bytes of low bits, 32 bytes of high ones, and 8 scales.
        let (part, run) = (run / 4, run % 4);
        let low = Packed::load(bytes(block, part * 64 + run % 2 * RUN)).bits(run / 2 * 4, 15);
        let packed = low.with_high(Packed::load(bytes(block, 128 + part * RUN)).bits(run * 2, 3));
        let scale = half_at(block, 208);
        let scale = |half: usize| scale * f32::from(block[192 + part * 8 + run * 2 + half].cast_signed());
        packed.minus(32).scaled([scale(0), scale(1)])
    }
}

impl Format for F16 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 64;

    #[inline(always)]
    fn run(block: &[u8], _: usize) -> Weights {
        Weights::halves(bytes(block, 0))
    }
}

impl Format for BF16 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 64;

    #[inline(always)]
    fn run(block: &[u8], _: usize) -> Weights {
        numbers(|i| bf16::from_le_bytes(*bytes(block, 2 * i)).to_f32())
    }
}

impl Format for F32 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 128;

    #[inline(always)]
    fn run(block: &[u8], _: usize) -> Weights {
        numbers(|i| f32::from_le_bytes(*bytes(block, 4 * i)))
    }
}

#[inline(always)]
fn numbers(number: impl Fn(usize) -> f32) -> Weights {
    let mut numbers = [0.0; RUN];
    for (i, out) in numbers.iter_mut().enumerate() {
        *out = number(i);
    }
    Weights::load(&numbers)
}
