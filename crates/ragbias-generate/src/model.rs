//! What is between prompts and their tokens' logits: batches of sequences with their KV caches go in, logits come out.
//!
//! Tokenizer, templates, shared prefixes, sampling, choices and likelihoods are written once, for any [`Model`].

use crate::Result;

/// A decoder on some device.
pub(crate) trait Model: Send + Sync {
    type Cache: KvCache;

    /// Number of tokens.
    fn vocabulary(&self) -> usize;

    /// An empty sequence.
    fn start(&self) -> Self::Cache;

    /// How much is prefilled, and then decoded, together.
    fn room(&self) -> Room;

    /// Prefills tokens of prompts, and returns the logits of each span that requests them, in order, `(vocabulary)` each.
    ///
    /// # Errors
    /// The device failed, or ran out of memory.
    fn read(&self, spans: Vec<Span<'_, Self::Cache>>) -> Result<Vec<Vec<f32>>>;

    /// Decodes one token for each sequence, and returns the logits after it.
    ///
    /// # Errors
    /// Those of [`Model::read`].
    fn step(&self, spans: &mut [Span<'_, Self::Cache>]) -> Result<Vec<Vec<f32>>>;
}

/// Keys and values of a sequence's tokens.
pub(crate) trait KvCache: Clone + Send {
    /// The tokens of the cache.
    fn tokens(&self) -> &[u32];

    /// The cache truncated to the first `tokens` tokens.
    fn prefix(&self, tokens: usize) -> Self;
}

/// The most that is prefilled together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Prompt tokens; their keys and values are in memory at once.
    pub(crate) tokens: usize,
    /// Prompts; their logits are in memory at once.
    pub(crate) prompts: usize,
}

/// The next tokens of a sequence.
pub(crate) struct Span<'s, C> {
    pub(crate) state: &'s mut C,
    /// At least one.
    pub(crate) tokens: &'s [u32],
    /// Whether to compute the logits after the last token.
    pub(crate) logits: bool,
}

/// Passes spans on in groups of at most `most` tokens, dividing those that are longer; returns the logits of all, in order.
pub(crate) fn in_groups<C, E>(
    mut spans: Vec<Span<'_, C>>,
    most: usize,
    mut forward: impl FnMut(&mut [Span<'_, C>]) -> Result<Vec<Vec<f32>>, E>,
) -> Result<Vec<Vec<f32>>, E> {
    let mut logits = Vec::new();
    let mut next = 0;
    while next < spans.len() {
        let mut group = Vec::new();
        let mut room = most;
        for span in &mut spans[next..] {
            let (now, later) = span.tokens.split_at(room.min(span.tokens.len()));
            let ends = later.is_empty();
            group.push(Span { state: &mut *span.state, tokens: now, logits: span.logits && ends });
            (span.tokens, room) = (later, room - now.len());
            next += usize::from(ends);
            if room == 0 {
                break;
            }
        }
        logits.extend(forward(&mut group)?);
    }
    Ok(logits)
}
