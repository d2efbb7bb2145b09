//! Which rows of a pool are in use.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The free rows of a pool, as ranges in order that neither overlap nor touch.
#[derive(Debug, Default)]
pub(super) struct FreeRows(Mutex<Vec<Range<usize>>>);

/// Rows in use; they are free again when this is dropped.
#[derive(Debug)]
pub(super) struct Rows {
    range: Range<usize>,
    free: Arc<FreeRows>,
}

impl FreeRows {
    fn ranges(&self) -> MutexGuard<'_, Vec<Range<usize>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds rows that were not free.
    pub(super) fn add(&self, mut range: Range<usize>) {
        let mut ranges = self.ranges();
        let at = ranges.partition_point(|free| free.start < range.start);
        if ranges.get(at).is_some_and(|next| next.start == range.end) {
            range.end = ranges.remove(at).end;
        }
        match at.checked_sub(1).map(|before| &mut ranges[before]) {
            Some(before) if before.end == range.start => before.end = range.end,
            _ => ranges.insert(at, range),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.ranges().iter().map(Range::len).sum()
    }

    /// Takes at most `count` rows, all adjacent, from the longest range; none if no row is free.
    pub(super) fn take(self: &Arc<Self>, count: usize) -> Option<Rows> {
        let mut ranges = self.ranges();
        let at = (0..ranges.len()).max_by_key(|&at| ranges[at].len())?;
        let longest = &mut ranges[at];
        let range = longest.start..longest.end.min(longest.start + count);
        longest.start = range.end;
        if longest.start == longest.end {
            ranges.remove(at);
        }
        Some(Rows { range, free: Arc::clone(self) })
    }

    /// The most rows that are adjacent.
    pub(super) fn longest(&self) -> usize {
        self.ranges().iter().map(Range::len).max().unwrap_or(0)
    }
}

impl Rows {
    pub(super) fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    pub(super) fn len(&self) -> usize {
        self.range.len()
    }

    /// The first `count` rows, and the others.
    fn split(mut self, count: usize) -> (Self, Option<Self>) {
        let middle = self.range.start + count;
        let rest = (middle < self.range.end)
            .then(|| Self { range: middle..self.range.end, free: Arc::clone(&self.free) });
        self.range.end = self.range.end.min(middle);
        (self, rest)
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.free.add(self.range());
    }
}

/// Deals rows out, in order: so many to each.
pub(super) fn deal(rows: Vec<Rows>, counts: impl Iterator<Item = usize>) -> Vec<Vec<Rows>> {
    let mut rows = rows.into_iter();
    let mut next = None;
    let mut one = |mut count: usize| {
        let mut dealt = Vec::new();
        while count > 0 {
            let all: Rows = next.take().or_else(|| rows.next()).expect("a row for each token: this is a bug");
            let take = count.min(all.len());
            let first;
            (first, next) = all.split(take);
            count -= take;
            dealt.push(first);
        }
        dealt
    };
    counts.map(&mut one).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn free(ranges: &[Range<usize>]) -> Arc<FreeRows> {
        let free = Arc::new(FreeRows::default());
        for range in ranges {
            free.add(range.clone());
        }
        free
    }

    #[test]
    fn rows_come_from_the_longest_range_and_are_free_again_when_dropped() {
        let free = free(&[0..3, 10..20]);
        let rows = free.take(4).unwrap();
        assert_eq!((rows.range(), free.longest(), free.count()), (10..14, 6, 9));
        let dealt = deal(vec![rows, free.take(2).unwrap()], [3, 1, 2].into_iter());
        let ranges: Vec<_> = dealt.iter().flatten().map(Rows::range).collect();
        assert_eq!((dealt.len(), &ranges[..]), (3, &[10..13, 13..14, 14..16][..]));
        drop(dealt);
        assert_eq!(*free.ranges(), [0..3, 10..20]);
    }

    proptest! {
        #[test]
        fn no_row_is_in_use_twice(steps in prop::collection::vec((1_usize..9, any::<prop::sample::Index>(), any::<bool>()), 1..60)) {
            let free = free(&[0..50, 50..100]);
            let mut held: Vec<Rows> = Vec::new();
            for (count, which, gives_back) in steps {
                if gives_back && !held.is_empty() {
                    held.remove(which.index(held.len()));
                } else {
                    held.extend(free.take(count));
                }
                let mut all: Vec<usize> = held.iter().flat_map(Rows::range).collect();
                all.extend(free.ranges().iter().cloned().flatten());
                all.sort_unstable();
                prop_assert!(all.into_iter().eq(0..100));
                prop_assert!(free.ranges().windows(2).all(|pair| pair[0].end < pair[1].start));
            }
        }
    }
}
