//! Dequantises weights of GGUF files in runs of 32.
//!
//! A format divides a row of a matrix into blocks of 32 or 256 small integers with a common scale, or a scale and an
//! offset. The f32 values are those of candle's `dequantize`, bit for bit.
#![allow(
    clippy::inline_always,
    clippy::large_types_passed_by_value,
    reason = "the inner loops are made of these functions"
)]

use half::bf16;
use ragbias_kernels::run::{Inputs, Integers, Packed, RUN, Scale, Sums, Weights, Zero};
use ragbias_kernels::{Cache, prefetch};

/// Prefetch distance in bytes. The hardware prefetcher stops at page boundaries; with this, rows are decoded from memory
/// three times faster.
const AHEAD: usize = 4096;

/// Bytes of a cache line.
const LINE: usize = 64;

/// A quantised format of rows.
pub(crate) trait Format {
    /// Weights in a block: one run, or eight.
    const WEIGHTS: usize;
    /// Bytes of a block.
    const BYTES: usize;
    /// Of all runs that are not floats.
    const INTEGERS: Integers;

    /// The scales and offsets of a block.
    type Scales;

    fn scales(block: &[u8]) -> Self::Scales;

    /// Run number `run` of a block.
    fn unpack(block: &[u8], scales: &Self::Scales, run: usize) -> Run;
}

/// 32 weights.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// Bytes with integers, a scale for each half, and an offset if the format has one.
    Integers(Packed, [Scale; 2], Scale),
    Floats(Weights),
}

/// What is done with each pair of runs. Not a closure, which may not be inlined, and would then be compiled for narrow registers.
pub(crate) trait Each {
    /// `#[inline(always)]`. After the last pair of an odd number of runs, there is one of zeros.
    fn pair(&mut self, number: usize, runs: [Run; 2]);
}

/// Every run of some blocks, in order, in pairs with their number.
#[inline(always)]
pub(crate) fn each_pair<F: Format>(blocks: &[u8], work: &mut impl Each) {
    let ahead = |block: &[u8]| {
        for line in (0..F::BYTES).step_by(LINE) {
            prefetch(Cache::First, block.as_ptr().wrapping_add(AHEAD + line));
        }
    };
    if F::WEIGHTS == RUN {
        let run = |block: &[u8]| {
            ahead(block);
            F::unpack(block, &F::scales(block), 0)
        };
        let pairs = blocks.chunks_exact(2 * F::BYTES);
        let (last, number) = (pairs.remainder(), pairs.len());
        for (number, pair) in pairs.enumerate() {
            let (first, second) = pair.split_at(F::BYTES);
            work.pair(number, [run(first), run(second)]);
        }
        if !last.is_empty() {
            let last = run(last);
            work.pair(number, [last, last.zeros()]);
        }
        return;
    }
    for (number, block) in blocks.chunks_exact(F::BYTES).enumerate() {
        ahead(block);
        // In memory, from which they are broadcast for nothing: the compiler would shuffle registers, which takes longer than the
        // products.
        let scales = F::scales(block);
        let scales = std::hint::black_box(&scales);
        // Written out, so that shifts and places are constants: the compiler does not unroll this by itself.
        macro_rules! pairs {
            ($($pair:literal)*) => {
                $({
                    let runs = [F::unpack(block, scales, 2 * $pair), F::unpack(block, scales, 2 * $pair + 1)];
                    work.pair(number * 4 + $pair, runs);
                })*
            };
        }
        pairs!(0 1 2 3);
    }
}

impl Run {
    #[inline(always)]
    pub(crate) fn weights(self, integers: Integers) -> Weights {
        match self {
            Self::Integers(packed, scales, offset) => match integers.zero {
                Zero::At(zero) => packed.and(integers.mask).minus(zero.cast_signed()).scaled(scales),
                Zero::AtOffset => packed.and(integers.mask).scaled(scales).plus(offset),
            },
            Self::Floats(weights) => weights,
        }
    }

    /// As many zeros, of the same kind.
    #[inline(always)]
    fn zeros(self) -> Self {
        let zero = Scale::of(0.0);
        match self {
            Self::Integers(packed, ..) => Self::Integers(packed, [zero; 2], zero),
            Self::Floats(_) => Self::Floats(Weights::load(&[0.0; RUN])),
        }
    }
}

/// Adds the products of two runs with their inputs to a sum.
#[inline(always)]
pub(crate) fn multiply<F: Format>(runs: [Run; 2], inputs: &Inputs, sum: &mut impl Sums) {
    match runs {
        [Run::Integers(a, a_scales, a_offset), Run::Integers(b, b_scales, b_offset)] => {
            sum.add_packed([a, b], F::INTEGERS, [a_scales, b_scales], [a_offset, b_offset], inputs);
        }
        [a, b] => sum.add([a.weights(F::INTEGERS), b.weights(F::INTEGERS)], inputs),
    }
}

/// The inputs that a row is multiplied with, by pairs of runs.
pub(crate) fn pairs_of(inputs: &[f32]) -> Vec<Inputs> {
    inputs.chunks(2 * RUN).map(Inputs::new).collect()
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
    const INTEGERS: Integers = Integers { mask: 15, zero: Zero::At(8) };
    type Scales = [Scale; 2];

    #[inline(always)]
    fn scales(block: &[u8]) -> [Scale; 2] {
        halves(block, 0)
    }

    #[inline(always)]
    fn unpack(block: &[u8], scales: &[Scale; 2], _: usize) -> Run {
        Run::Integers(Packed::nibbles(bytes(block, 2)), [scales[0]; 2], scales[0])
    }
}

impl Format for Q4_1 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 20;
    const INTEGERS: Integers = Integers { mask: 15, zero: Zero::AtOffset };
    type Scales = [Scale; 2];

    #[inline(always)]
    fn scales(block: &[u8]) -> [Scale; 2] {
        halves(block, 0)
    }

    #[inline(always)]
    fn unpack(block: &[u8], &[scale, offset]: &[Scale; 2], _: usize) -> Run {
        Run::Integers(Packed::nibbles(bytes(block, 4)), [scale; 2], offset)
    }
}

impl Format for Q5_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 22;
    const INTEGERS: Integers = Integers { mask: 31, zero: Zero::At(16) };
    type Scales = [Scale; 2];

    #[inline(always)]
    fn scales(block: &[u8]) -> [Scale; 2] {
        halves(block, 0)
    }

    #[inline(always)]
    fn unpack(block: &[u8], scales: &[Scale; 2], _: usize) -> Run {
        let packed = Packed::nibbles(bytes(block, 6)).and(15).with_fifth_bits(*bytes(block, 2));
        Run::Integers(packed, [scales[0]; 2], scales[0])
    }
}

impl Format for Q8_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 34;
    const INTEGERS: Integers = Integers { mask: 255, zero: Zero::At(128) };
    type Scales = [Scale; 2];

    #[inline(always)]
    fn scales(block: &[u8]) -> [Scale; 2] {
        halves(block, 0)
    }

    #[inline(always)]
    fn unpack(block: &[u8], scales: &[Scale; 2], _: usize) -> Run {
        Run::Integers(Packed::load(bytes(block, 2)).unsigned(), [scales[0]; 2], scales[0])
    }
}

/// Scale and offset of each run of a block of eight.
pub(crate) struct EightRuns {
    scales: [f32; 8],
    offsets: [f32; 8],
}

impl EightRuns {
    /// From two numbers of 16 bits, and twelve bytes with a scale and an offset of six bits for each run.
    #[inline(always)]
    fn new(block: &[u8]) -> Self {
        const SIX_BITS: u32 = 0x3F3F_3F3F;
        const FOUR_BITS: u32 = 0x0F0F_0F0F;
        const TWO_BITS: u32 = 0x0303_0303;
        let packed: &[u8; 12] = bytes(block, 4);
        let [low, middle, high] = [0, 4, 8].map(|at| u32::from_le_bytes(*bytes(packed, at)));
        // Of the last four runs, the lower four bits are in the last word, the upper two bits above the other runs'.
        let last = |shift: u32, word: u32| high >> shift & FOUR_BITS | (word >> 6 & TWO_BITS) << 4;
        let eight = |first: u32, last: u32| (u64::from(last) << 32 | u64::from(first)).to_le_bytes();
        let [all, least] = halves(block, 0);
        Self {
            scales: all.times(eight(low & SIX_BITS, last(0, low))),
            offsets: least.times(eight(middle & SIX_BITS, last(4, middle))).map(|offset| -offset),
        }
    }

    #[inline(always)]
    fn of(&self, packed: Packed, run: usize) -> Run {
        Run::Integers(packed, [Scale::of(self.scales[run]); 2], Scale::of(self.offsets[run]))
    }
}

impl Format for Q4K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 144;
    const INTEGERS: Integers = Integers { mask: 15, zero: Zero::AtOffset };
    type Scales = EightRuns;

    #[inline(always)]
    fn scales(block: &[u8]) -> EightRuns {
        EightRuns::new(block)
    }

    #[inline(always)]
    fn unpack(block: &[u8], scales: &EightRuns, run: usize) -> Run {
        scales.of(Packed::load(bytes(block, 16 + run / 2 * RUN)).shifted(run % 2 * 4), run)
    }
}

impl Format for Q5K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 176;
    const INTEGERS: Integers = Integers { mask: 31, zero: Zero::AtOffset };
    type Scales = EightRuns;

    #[inline(always)]
    fn scales(block: &[u8]) -> EightRuns {
        EightRuns::new(block)
    }

    #[inline(always)]
    fn unpack(block: &[u8], scales: &EightRuns, run: usize) -> Run {
        let low = Packed::load(bytes(block, 48 + run / 2 * RUN)).shifted(run % 2 * 4).and(15);
        scales.of(low.with_high(Packed::load(bytes(block, 16)).shifted(run).and(1)), run)
    }
}

impl Format for Q6K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 210;
    const INTEGERS: Integers = Integers { mask: 63, zero: Zero::At(32) };
    /// Of each half of a run.
    type Scales = [[f32; 8]; 2];

    #[inline(always)]
    fn scales(block: &[u8]) -> [[f32; 8]; 2] {
        let [_, all] = halves(block, 206);
        [192, 200].map(|at| all.times(*bytes(block, at)))
    }

    #[inline(always)]
    fn unpack(block: &[u8], scales: &[[f32; 8]; 2], run: usize) -> Run {
        // Each half of a block has 64 bytes of low bits, 32 bytes of high ones, and 8 scales.
        let (part, run) = (run / 4, run % 4);
        let low = Packed::load(bytes(block, part * 64 + run % 2 * RUN)).shifted(run / 2 * 4).and(15);
        let packed = low.with_high(Packed::load(bytes(block, 128 + part * RUN)).shifted(run * 2).and(3));
        let scale = |half: usize| Scale::of(scales[part][run * 2 + half]);
        Run::Integers(packed, [scale(0), scale(1)], scale(0))
    }
}

/// What formats of floats have instead.
const FLOATS: Integers = Integers { mask: 0, zero: Zero::AtOffset };

impl Format for F16 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 64;
    const INTEGERS: Integers = FLOATS;
    type Scales = ();

    #[inline(always)]
    fn scales(_: &[u8]) {}

    #[inline(always)]
    fn unpack(block: &[u8], (): &(), _: usize) -> Run {
        Run::Floats(Weights::halves(bytes(block, 0)))
    }
}

impl Format for BF16 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 64;
    const INTEGERS: Integers = FLOATS;
    type Scales = ();

    #[inline(always)]
    fn scales(_: &[u8]) {}

    #[inline(always)]
    fn unpack(block: &[u8], (): &(), _: usize) -> Run {
        floats(|i| bf16::from_le_bytes(*bytes(block, 2 * i)).to_f32())
    }
}

impl Format for F32 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 128;
    const INTEGERS: Integers = FLOATS;
    type Scales = ();

    #[inline(always)]
    fn scales(_: &[u8]) {}

    #[inline(always)]
    fn unpack(block: &[u8], (): &(), _: usize) -> Run {
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
