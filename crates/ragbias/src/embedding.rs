use ragbias_core::{Embedder, Embeddings, Progress, Role, Unit};

use crate::Result;

/// Number of texts per call of the embedder, and per step of the progress bar.
pub const EMBED_BATCH: usize = 32;

/// The vectors of many texts, `(texts.len(), dim)`, in order, with progress under this name.
///
/// # Errors
/// Errors of the embedder.
pub fn embed_all(
    embedder: &dyn Embedder,
    texts: &[&str],
    role: Role,
    name: &str,
    progress: &dyn Progress,
) -> Result<Embeddings> {
    let step = progress.begin(name, texts.len() as u64, Unit::Items);
    let mut parts = Vec::new();
    for batch in texts.chunks(EMBED_BATCH) {
        parts.push(embedder.embed(batch, role)?);
        step.advance(batch.len() as u64);
    }
    Ok(Embeddings::concatenated(parts)?)
}
