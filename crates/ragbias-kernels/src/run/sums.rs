//! What registers of any width have in common: pairs of runs of inputs, and sums of products with them.
#![allow(clippy::inline_always, reason = "the inner loops are made of these functions")]

/// How many weights are decoded at a time.
pub const RUN: usize = 32;

/// Small integers, which are stored without a sign: a weight is `scale · integer` and what [`Zero`] says.
#[derive(Debug, Clone, Copy)]
pub struct Integers {
    /// The bits of a byte that belong to its integer.
    pub mask: u8,
    /// Where 0 is.
    pub zero: Zero,
}

/// Which weight the integer 0 stands for.
#[derive(Debug, Clone, Copy)]
pub enum Zero {
    /// `−scale · this`.
    At(u8),
    /// The offset of the run.
    AtOffset,
}

/// The inputs of two runs, in the order in which integers are taken from their bytes: without moving any between lanes.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct Inputs {
    /// Input `4i + p` of run r is at `16p + 8r + i`, times 2^−8p: integer p of a 32-bit word, left in its place, is 2^8p times as
    /// large. Both factors are exact.
    pub(super) numbers: [f32; 2 * RUN],
    /// Sums of four: those of inputs `4i` to `4i + 3` of run r at `8r + i`.
    pub(super) quarters: [f32; 16],
    /// The inputs in their own order, for weights that are floats.
    pub(super) in_order: [f32; 2 * RUN],
}

impl Inputs {
    /// From up to two runs of inputs; the others are 0.
    pub fn new(inputs: &[f32]) -> Self {
        let mut in_order = [0.0; 2 * RUN];
        in_order[..inputs.len()].copy_from_slice(inputs);
        let mut numbers = [0.0; 2 * RUN];
        let mut quarters = [0.0; 16];
        for (lane, four) in in_order.as_chunks::<4>().0.iter().enumerate() {
            for (place, (number, factor)) in four.iter().zip(PLACES).enumerate() {
                numbers[16 * place + lane] = number / factor;
            }
            quarters[lane] = (four[0] + four[1]) + (four[2] + four[3]);
        }
        Self { numbers, quarters, in_order }
    }
}

/// The value of a byte's unit, by its place in a word of 32 bits.
pub(super) const PLACES: [f32; 4] = [1.0, 256.0, 65_536.0, 16_777_216.0];

/// Partial sums of products with runs of weights, in registers of one width. `WideSum` is only for machines with AVX-512, in
/// [`Work::run::<true>`](crate::Work); it computes the same as `Sum`, to the bit.
pub trait SumsOf<P, S, W>: Copy {
    /// Of nothing.
    #[must_use]
    fn zero() -> Self;

    /// `self += weights · inputs`, of two runs.
    fn add(&mut self, weights: [W; 2], inputs: &Inputs);

    /// `self += scales · (packed · inputs) + offsets · inputs`, of two runs, with a scale for each half of a run. Bits of `packed`
    /// that are not in the mask are ignored, as are offsets where the integers have none.
    fn add_packed(
        &mut self,
        packed: [P; 2],
        integers: Integers,
        scales: [[S; 2]; 2],
        offsets: [S; 2],
        inputs: &Inputs,
    );

    /// The sum of the parts, in halves.
    fn total(self) -> f32;
}

/// The sum of sixteen parts, in halves.
#[inline(always)]
pub(super) fn total(parts: &[f32; 16]) -> f32 {
    let eights: [f32; 8] = std::array::from_fn(|i| parts[i] + parts[i + 8]);
    let fours: [f32; 4] = std::array::from_fn(|i| eights[i] + eights[i + 4]);
    (fours[0] + fours[2]) + (fours[1] + fours[3])
}
