//! What an encoder starts from: tokens, or hidden states at a place between its layers.

/// Token ids of several texts, packed: one sequence after the other, without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Ids of all tokens.
    pub ids: Vec<u32>,
    /// Length of each sequence, in order; none is 0.
    pub lengths: Vec<usize>,
}

impl Packed {
    /// These sequences, one after the other.
    pub fn new(sequences: &[impl AsRef<[u32]>]) -> Self {
        Self {
            ids: sequences.iter().flat_map(|sequence| sequence.as_ref().iter().copied()).collect(),
            lengths: sequences.iter().map(|sequence| sequence.as_ref().len()).collect(),
        }
    }
}

/// A place between two halves of the encoder's layers, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Under {
    /// Under the attention of this layer: what the layer sees.
    Layer(usize),
    /// Between its attention, with the LayerNorm after it, and its MLP.
    Mlp(usize),
}

impl Under {
    /// The number of the half layer over it.
    pub(crate) fn half(self) -> usize {
        match self {
            Self::Layer(layer) => 2 * layer,
            Self::Mlp(layer) => 2 * layer + 1,
        }
    }
}

/// What an encoder starts from.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Tokens.
    Tokens(&'a Packed),
    /// Hidden states that were computed before.
    States {
        /// Where they belong.
        under: Under,
        /// `(tokens, hidden)`, row by row, packed as the tokens were.
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

    /// The first half layer that it goes through.
    pub(crate) fn half(self) -> usize {
        match self {
            Self::Tokens(_) => 0,
            Self::States { under, .. } => under.half(),
        }
    }
}
