//! Dequantises weights of GGUF files in runs of 32.
//!
//! A format divides a row of a matrix into blocks of 32 or 256 small integers with a common scale, or a scale and an
//! offset. The f32 values are those of candle's `dequantize`, bit for bit.
#![allow(clippy::inline_always, reason = "the inner loops are made of these functions")]

use half::bf16;
use ragbias_kernels::run::{Numbers, Packed, RUN, Scale, Sums, Weights};
use ragbias_kernels::{Cache, prefetch};

/// Prefetch distance in bytes. The hardware prefetcher stops at page boundaries; with this, rows are decoded from memory
/// three times faster.
const AHEAD: usize = 4096;

/// Bytes of a cache line.
const LINE: usize = 64;

/// A quantised format of rows.
pub(crate) trait Format {
    /// Weights in a block: one to eight times [`RUN`].
    const WEIGHTS: usize;
    /// Bytes of a block.
    const BYTES: usize;

    /// The scales and offsets of a block.
    type Scales;

    fn scales(block: &[u8]) -> Self::Scales;

    /// Run number `run` of a block.
    fn unpack(block: &[u8], scales: &Self::Scales, run: usize) -> Run;
}

/// 32 weights.
pub(crate) enum Run {
    /// Small integers with a scale for each half, and an offset if the format has one.
    Integers(Packed, [Scale; 2], Option<Scale>),
    Floats(Weights),
}

/// What is done with each run. Not a closure, which may not be inlined, and would then be compiled for narrow registers.
pub(crate) trait Each {
    /// `#[inline(always)]`.
    fn run(&mut self, number: usize, run: Run);
}

/// Every run of some blocks, with its number, in order.
#[inline(always)]
pub(crate) fn each_run<F: Format>(blocks: &[u8], work: &mut impl Each) {
    let runs = F::WEIGHTS / RUN;
    for (number, block) in blocks.chunks_exact(F::BYTES).enumerate() {
        for line in (0..F::BYTES).step_by(LINE) {
            prefetch(Cache::First, block.as_ptr().wrapping_add(AHEAD + line));
        }
        let scales = F::scales(block);
        // In memory, from which they are broadcast for nothing: the compiler would shuffle registers, which takes longer than the
        // products.
        let scales = if runs > 1 { std::hint::black_box(&scales) } else { &scales };
        // Written out, so that shifts and places are constants: the compiler does not unroll this by itself.
        macro_rules! runs {
            ($($run:literal)*) => {
                $(if $run < runs {
                    work.run(number * runs + $run, F::unpack(block, scales, $run));
                })*
            };
        }
        runs!(0 1 2 3 4 5 6 7);
    }
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

    /// Adds the products with the inputs of the run of this number to a sum.
    #[inline(always)]
    pub(crate) fn multiply(&self, inputs: &Inputs, number: usize, sum: &mut impl Sums) {
        let numbers = &inputs.numbers[number];
        match *self {
            Self::Integers(packed, scales, offset) => {
                sum.add_packed(packed, scales, numbers);
                if let Some(offset) = offset {
                    sum.add_offset(offset, &inputs.eighths[number]);
                }
            }
            Self::Floats(weights) => sum.add(weights, numbers),
        }
    }
}

/// The inputs that a row is multiplied with, by run.
pub(crate) struct Inputs {
    numbers: Vec<Numbers>,
    /// Eight partial sums of the inputs: a common offset of the weights is multiplied with these.
    eighths: Vec<[f32; 8]>,
}

impl Inputs {
    /// From whole runs of inputs.
    pub(crate) fn new(inputs: &[f32]) -> Self {
        let runs = inputs.as_chunks::<RUN>().0;
        let eighths =
            |run: &[f32; RUN]| std::array::from_fn(|i| (run[i] + run[i + 8]) + (run[i + 16] + run[i + 24]));
        Self { numbers: runs.iter().map(Numbers::new).collect(), eighths: runs.iter().map(eighths).collect() }
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
    type Scales = [Scale; 2];

    #[inline(always)]
    fn scales(block: &[u8]) -> [Scale; 2] {
        halves(block, 0)
    }

    #[inline(always)]
    fn unpack(block: &[u8], scales: &[Scale; 2], _: usize) -> Run {
        Run::Integers(Packed::nibbles(bytes(block, 2)).minus(8), [scales[0]; 2], None)
    }
}

impl Format for Q4_1 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 20;
    type Scales = [Scale; 2];

    #[inline(always)]
    fn scales(block: &[u8]) -> [Scale; 2] {
        halves(block, 0)
    }

    #[inline(always)]
    fn unpack(block: &[u8], &[scale, offset]: &[Scale; 2], _: usize) -> Run {
        Run::Integers(Packed::nibbles(bytes(block, 4)), [scale; 2], Some(offset))
    }
}

impl Format for Q5_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 22;
    type Scales = [Scale; 2];

    #[inline(always)]
    fn scales(block: &[u8]) -> [Scale; 2] {
        halves(block, 0)
    }

    #[inline(always)]
    fn unpack(block: &[u8], scales: &[Scale; 2], _: usize) -> Run {
        let packed = Packed::nibbles(bytes(block, 6)).less_16_unless(*bytes(block, 2));
        Run::Integers(packed, [scales[0]; 2], None)
    }
}

impl Format for Q8_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 34;
    type Scales = [Scale; 2];

    #[inline(always)]
    fn scales(block: &[u8]) -> [Scale; 2] {
        halves(block, 0)
    }

    #[inline(always)]
    fn unpack(block: &[u8], scales: &[Scale; 2], _: usize) -> Run {
        Run::Integers(Packed::load(bytes(block, 2)), [scales[0]; 2], None)
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
        Run::Integers(packed, [Scale::of(self.scales[run]); 2], Some(Scale::of(self.offsets[run])))
    }
}

impl Format for Q4K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 144;
    type Scales = EightRuns;

    #[inline(always)]
    fn scales(block: &[u8]) -> EightRuns {
        EightRuns::new(block)
    }

    #[inline(always)]
    fn unpack(block: &[u8], scales: &EightRuns, run: usize) -> Run {
        scales.of(Packed::load(bytes(block, 16 + run / 2 * RUN)).bits(run % 2 * 4, 15), run)
    }
}

impl Format for Q5K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 176;
    type Scales = EightRuns;

    #[inline(always)]
    fn scales(block: &[u8]) -> EightRuns {
        EightRuns::new(block)
    }

    #[inline(always)]
    fn unpack(block: &[u8], scales: &EightRuns, run: usize) -> Run {
        let low = Packed::load(bytes(block, 48 + run / 2 * RUN)).bits(run % 2 * 4, 15);
        scales.of(low.with_high(Packed::load(bytes(block, 16)).bits(run, 1)), run)
    }
}

impl Format for Q6K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 210;
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
        let low = Packed::load(bytes(block, part * 64 + run % 2 * RUN)).bits(run / 2 * 4, 15);
        let packed = low.with_high(Packed::load(bytes(block, 128 + part * RUN)).bits(run * 2, 3));
        let scale = |half: usize| Scale::of(scales[part][run * 2 + half]);
        Run::Integers(packed.minus(32), [scale(0), scale(1)], None)
    }
}

impl Format for F16 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 64;
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
