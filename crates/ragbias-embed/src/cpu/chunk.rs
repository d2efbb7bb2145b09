//! Distributes a batch over threads.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, Ordering};

/// Approximate number of tokens per chunk in inference: enough for the matrix products to run at full rate, few enough for
/// the widest intermediate result to stay in the cache.
const PASSING: usize = 256;

/// Approximate number of tokens per chunk in training, where the backward pass packs the weights once per chunk.
const RECORDED: usize = 512;

/// The number of chunks of a recorded pass is a multiple of this.
const RECORDED_IN: usize = 4;

/// Some sequences of a batch.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Their indices in the batch.
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

/// Divides sequences of these lengths into chunks of similar size, enough to use all threads, for inference. The result for a
/// sequence does not depend on its chunk.
pub(super) fn passing(lengths: &[usize]) -> Vec<Chunk> {
    let (tokens, threads) = (lengths.iter().sum::<usize>(), rayon::current_num_threads());
    chunks(
        lengths,
        if tokens > PASSING { tokens.div_ceil(PASSING).next_multiple_of(threads) } else { threads },
    )
}

/// The same for training. Gradients are summed by chunk: the number of chunks depends only on the lengths,
/// so that sums are rounded in the same way whatever the number of threads.
pub(super) fn recorded(lengths: &[usize]) -> Vec<Chunk> {
    let tokens: usize = lengths.iter().sum();
    chunks(lengths, tokens.div_ceil(RECORDED).next_multiple_of(RECORDED_IN))
}

/// This many chunks, or one per sequence if there are fewer.
fn chunks(lengths: &[usize], wanted: usize) -> Vec<Chunk> {
    let starts: Vec<usize> = lengths
        .iter()
        .scan(0, |row, length| {
            *row += length;
            Some(*row - length)
        })
        .collect();
    // Longest first, each to the chunk with the fewest tokens.
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

/// Whether the work within a chunk is spread over threads: only if there is a single chunk.
pub(super) fn is_spread(chunks: &[Chunk]) -> bool {
    chunks.len() == 1
}

/// Number of threads that help with a chunk that is spread: more would have too little work each.
const AWAKE: usize = 7;

/// Runs work that consists of short parallel parts, keeping the other threads awake in between: waking a thread
/// takes longer than such a part.
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
        // Also if the work panics: the others would wait for ever.
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
            for (chunks, most) in [(passing(&lengths), PASSING), (recorded(&lengths), RECORDED)] {
                let mut texts: Vec<usize> = chunks.iter().flat_map(|chunk| chunk.texts.clone()).collect();
                texts.sort_unstable();
                assert!(texts.into_iter().eq(0..lengths.len()));
                for chunk in &chunks {
                    let places = chunk.texts.iter().zip(&chunk.starts).zip(&chunk.lengths);
                    for ((&text, &start), &length) in places {
                        assert_eq!((start, length), (lengths[..text].iter().sum(), lengths[text]));
                    }
                    assert!(chunk.tokens() <= most + lengths.iter().max().unwrap_or(&0));
                }
            }
        }
    }

    #[test]
    fn chunks_of_a_recorded_pass_do_not_depend_on_the_number_of_threads() {
        let lengths: Vec<usize> = (0..57).map(|i| 3 + i * 37 % 101).collect();
        let texts = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| recorded(&lengths)).into_iter().map(|chunk| chunk.texts).collect::<Vec<_>>()
        };
        let one = texts(1);
        assert!(one.len() > 4 && [2, 3, 16].into_iter().all(|threads| texts(threads) == one));
    }
}
