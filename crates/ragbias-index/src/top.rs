use std::cmp::Ordering;

use ragbias_core::{DocId, Hit};

/// Best first: the higher score; among equal scores, the earlier document.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that sorting asks for")]
pub(crate) fn order(a: &Hit, b: &Hit) -> Ordering {
    b.score.total_cmp(&a.score).then(a.document.cmp(&b.document))
}

/// The `k` best hits seen so far, in O(k) memory.
pub(crate) struct Top {
    k: usize,
    /// Unordered; truncated to `k` whenever it has grown to twice that.
    hits: Vec<Hit>,
    /// Lower scores cannot enter.
    floor: f32,
}

impl Top {
    pub(crate) fn new(k: usize) -> Self {
        Self { k, hits: Vec::with_capacity(2 * k), floor: f32::NEG_INFINITY }
    }

    /// The score that the next hit must reach.
    pub(crate) fn offer(&mut self, document: usize, score: f32) -> f32 {
        if score < self.floor {
            return self.floor;
        }
        self.hits.push(Hit { document: DocId(document as u32), score });
        if self.hits.len() == 2 * self.k {
            self.hits.select_nth_unstable_by(self.k - 1, order);
            self.hits.truncate(self.k);
            self.floor = self.hits[self.k - 1].score;
        }
        self.floor
    }

    /// Adds the hits of another.
    pub(crate) fn take(&mut self, other: Self) {
        for hit in other.hits {
            self.offer(hit.document.0 as usize, hit.score);
        }
    }

    pub(crate) fn into_sorted(mut self) -> Vec<Hit> {
        self.hits.sort_unstable_by(order);
        self.hits.truncate(self.k);
        self.hits
    }
}
