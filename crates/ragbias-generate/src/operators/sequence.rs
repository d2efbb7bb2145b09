//! A sequence, whose keys and values are rows of the pool.

use std::sync::Arc;

use super::rows::Rows;
use crate::model::KvCache;

/// A sequence on a device. A clone, and a prefix, share the rows of the tokens that they have in common.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sequence {
    tokens: Vec<u32>,
    parts: Vec<Part>,
}

/// The first `used` of some rows.
#[derive(Debug, Clone)]
struct Part {
    rows: Arc<Rows>,
    used: usize,
}

impl Sequence {
    /// Appends tokens whose keys and values will be in these rows.
    pub(super) fn push(&mut self, tokens: &[u32], rows: Vec<Rows>) {
        debug_assert_eq!(tokens.len(), rows.iter().map(Rows::len).sum::<usize>());
        self.tokens.extend(tokens);
        self.parts.extend(rows.into_iter().map(|rows| Part { used: rows.len(), rows: Arc::new(rows) }));
    }

    /// The row of each token.
    pub(super) fn rows(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().flat_map(|part| part.rows.range().take(part.used))
    }
}

impl KvCache for Sequence {
    fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    fn prefix(&self, tokens: usize) -> Self {
        let mut left = tokens;
        let mut parts = Vec::new();
        for part in &self.parts {
            if left == 0 {
                break;
            }
            let used = part.used.min(left);
            left -= used;
            parts.push(Part { rows: Arc::clone(&part.rows), used });
        }
        Self { tokens: self.tokens[..tokens].to_vec(), parts }
    }
}
