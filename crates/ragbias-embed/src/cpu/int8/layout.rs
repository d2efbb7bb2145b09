//! A panel of weights in 8 bits.

/// Inputs that are multiplied and summed by one instruction, for each of 16 outputs.
pub(super) const QUAD: usize = 4;

/// Lines of 16 outputs in a panel.
pub(super) const LINES: usize = 3;

/// Outputs of a panel.
pub(super) const OUTPUTS: usize = 16 * LINES;

/// The weights of 16 outputs for four inputs: those of an output beside one another.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Quads(pub(super) [[i8; QUAD]; 16]);

/// What becomes of the sums of a panel's outputs.
#[derive(Clone, Copy)]
pub(super) struct Scaling {
    pub(super) scales: [f32; OUTPUTS],
    pub(super) bias: [f32; OUTPUTS],
    /// Σ q.
    pub(super) sums: [i32; OUTPUTS],
}
