//! What registers of any width have in common: runs of inputs, and sums of products with them.
#![allow(clippy::inline_always, reason = "the inner loops are made of these functions")]

/// How many weights are decoded at a time.
pub const RUN: usize = 32;

/// The inputs of a run.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub struct Numbers(
    /// The first and third eight, then the second and fourth: the numbers that a register of sixteen takes at a time.
    pub(super) [f32; RUN],
);

impl Numbers {
    /// From the inputs in order.
    pub fn new(numbers: &[f32; RUN]) -> Self {
        Self(std::array::from_fn(|i| numbers[Self::place(i)]))
    }

    /// The inputs in order.
    #[cfg(any(test, not(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c"))))]
    pub(super) fn in_order(&self) -> [f32; RUN] {
        std::array::from_fn(|i| self.0[Self::place(i)])
    }

    /// Where the number of a place is from; the number from there has this place.
    fn place(i: usize) -> usize {
        [0, 16, 8, 24][i / 8] + i % 8
    }
}

/// Partial sums of products with runs of weights, in registers of one width. `WideSum` is only for machines with AVX-512, in
/// [`Work::run::<true>`](crate::Work); it computes the same as `Sum`, to the bit.
pub trait SumsOf<P, S, W>: Copy {
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
pub(super) fn total(parts: &[f32; 16]) -> f32 {
    let eights: [f32; 8] = std::array::from_fn(|i| parts[i] + parts[i + 8]);
    let fours: [f32; 4] = std::array::from_fn(|i| eights[i] + eights[i + 4]);
    (fours[0] + fours[2]) + (fours[1] + fours[3])
}
