//! How a batch is spread over threads.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, Ordering};

/// Tokens of a chunk, about, where nothing is kept of it: enough for the matrix products to run at full rate, few enough for
/// the widest intermediate result to stay in the cache.
pub(super) const PASSING: usize = 256;

/// Tokens of a chunk, about, where all is kept for the way back: each adds to the gradients of all weights, which are read from
/// and written to far memory.
pub(super) const RECORDED: usize = 1024;

/// Some sequences of a batch.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Their places in the batch.
    pub(super) texts: Vec<usize>,
    /// The first row of each in the batch.
    pub(super) starts: Vec<usize>,
    /// Their lengths.
    pub(super) lengths: Vec<usize>,
}

impl Chunk {
    pub(super) fn tokens(&self) -> usize {
        self.lengths.iter().sum()
    }
}

/// Sequences of these lengths in chunks of about one size, of no more than about so many tokens, as many as fill the threads.
pub(super) fn chunks(lengths: &[usize], most: usize) -> Vec<Chunk> {
    let tokens: usize = lengths.iter().sum();
    let threads = rayon::current_num_threads();
    let wanted = if tokens > most { tokens.div_ceil(most).next_multiple_of(threads) } else { threads };
    let starts: Vec<usize> = lengths
        .iter()
        .scan(0, |row, length| {
            *row += length;
            Some(*row - length)
        })
        .collect();
    // The longest first, each to the chunk that has least.
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&text| Reverse(lengths[text]));
    let mut chunks: Vec<Chunk> =
        std::iter::repeat_with(Chunk::default).take(wanted.min(lengths.len())).collect();
    let mut loads: BinaryHeap<_> = (0..chunks.len()).map(|place| Reverse((0, place))).collect();
    for text in order {
        let Some(Reverse((load, place))) = loads.pop() else { break };
        let chunk = &mut chunks[place];
        chunk.texts.push(text);
        chunk.starts.push(starts[text]);
        chunk.lengths.push(lengths[text]);
        loads.push(Reverse((load + lengths[text], place)));
    }
    chunks
}

/// Whether the work within a chunk is spread over threads: where there is one chunk alone.
pub(super) fn is_spread(chunks: &[Chunk]) -> bool {
    chunks.len() == 1
}

/// Threads that wait for work beside a chunk that is spread: more have too little of it.
const AWAKE: usize = 7;

/// Does some work whose parts are spread over threads, one short part after the other, with the others kept awake: to be woken
/// takes a thread longer than such a part.
pub(super) fn with_threads_awake<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let done = AtomicBool::new(false);
    rayon::scope(|scope| {
        for _ in 0..(rayon::current_num_threads() - 1).min(AWAKE) {
            scope.spawn(|_| {
                while !done.load(Ordering::Acquire) {
                    if rayon::yield_now() != Some(rayon::Yield::Executed) {
                        std::hint::spin_loop();
                    }
                }
            });
        }
        // Also where the work panics: the others would wait for ever.
        let _at_the_end = Done(&done);
        work()
    })
}

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sequence_is_in_one_chunk() {
        for lengths in [vec![], vec![7], vec![9000], vec![3, 500, 3, 400, 20, 1, 1], vec![100; 57]] {
            let chunks = chunks(&lengths, PASSING);
            let mut texts: Vec<usize> = chunks.iter().flat_map(|chunk| chunk.texts.clone()).collect();
            texts.sort_unstable();
            assert!(texts.into_iter().eq(0..lengths.len()));
            for chunk in &chunks {
                for ((&text, &start), &length) in chunk.texts.iter().zip(&chunk.starts).zip(&chunk.lengths) {
                    assert_eq!((start, length), (lengths[..text].iter().sum(), lengths[text]));
                }
                assert!(chunk.tokens() <= PASSING + lengths.iter().max().unwrap_or(&0));
            }
        }
    }
}
