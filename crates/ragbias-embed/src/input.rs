//! The input of an encoder: tokens, or hidden states at a boundary between sublayers.

/// Token ids of several texts, packed: one sequence after the other, without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Ids of all tokens.
    pub ids: Vec<u32>,
    /// Length of each sequence, in order; none is 0.
    pub lengths: Vec<usize>,
}

impl Packed {
    /// Packs these sequences.
    pub fn new(sequences: &[impl AsRef<[u32]>]) -> Self {
        Self {
            ids: sequences.iter().flat_map(|sequence| sequence.as_ref().iter().copied()).collect(),
            lengths: sequences.iter().map(|sequence| sequence.as_ref().len()).collect(),
        }
    }
}

/// A boundary between sublayers, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// Before the attention of this layer: the input of the layer.
    Layer(usize),
    /// Between its attention, including the LayerNorm, and its MLP.
    Mlp(usize),
}

impl Boundary {
    /// The number of the sublayer after it.
    pub(crate) fn half(self) -> usize {
        match self {
            Self::Layer(layer) => 2 * layer,
            Self::Mlp(layer) => 2 * layer + 1,
        }
    }
}

/// The input of an encoder.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Tokens.
    Tokens(&'a Packed),
    /// Hidden states that were computed earlier.
    States {
        /// Their boundary.
        boundary: Boundary,
        /// `(tokens, hidden)`, row-major, packed like the tokens.
        rows: &'a [f32],
        /// Length of each sequence.
        lengths: &'a [usize],
    },
}

impl<'a> Input<'a> {
    /// Length of each sequence.
    pub fn lengths(self) -> &'a [usize] {
        match self {
            Self::Tokens(batch) => &batch.lengths,
            Self::States { lengths, .. } => lengths,
        }
    }

    /// The first sublayer to run.
    pub(crate) fn half(self) -> usize {
        match self {
            Self::Tokens(_) => 0,
            Self::States { boundary, .. } => boundary.half(),
        }
    }
}
