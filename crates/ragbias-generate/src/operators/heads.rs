//! The heads of attention.

/// Number and width of a layer's heads.
#[derive(Debug, Clone, Copy)]
pub(super) struct HeadLayout {
    pub(super) heads: usize,
    /// Of keys and values; consecutive heads of queries share them.
    pub(super) key_heads: usize,
    pub(super) width: usize,
}
