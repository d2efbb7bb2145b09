//! Reuses memory, because fresh pages cost more than the computation on them.

use std::sync::Mutex;

use super::lines::Lines;

/// Buffers of one worker.
#[derive(Default)]
pub(super) struct Pool(Vec<Lines>);

impl Pool {
    /// `length` unspecified values.
    pub(super) fn take(&mut self, length: usize) -> Lines {
        let fits = |buffer: &Lines| (length..=2 * length).contains(&buffer.room());
        let best = (0..self.0.len()).filter(|&i| fits(&self.0[i])).min_by_key(|&i| self.0[i].room());
        let mut buffer =
            best.map_or_else(|| Lines::with_room(length + length / 8), |i| self.0.swap_remove(i));
        buffer.set_length(length);
        buffer
    }

    /// A copy of these values.
    pub(super) fn copy(&mut self, values: &[f32]) -> Lines {
        let mut copy = self.take(values.len());
        copy.copy_from_slice(values);
        copy
    }

    /// Returns buffers.
    pub(super) fn give<const N: usize>(&mut self, buffers: [Lines; N]) {
        self.0.extend(buffers);
    }

    /// Returns a buffer if there is one.
    pub(super) fn give_some(&mut self, buffer: Option<Lines>) {
        self.0.extend(buffer);
    }
}

/// The pools of idle workers.
#[derive(Default)]
pub(super) struct Pools(Mutex<Vec<Pool>>);

impl Pools {
    /// Lends a pool to a worker.
    pub(super) fn lend<R>(&self, work: impl FnOnce(&mut Pool) -> R) -> R {
        let lock = || self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut pool = lock().pop().unwrap_or_default();
        let result = work(&mut pool);
        lock().push(pool);
        result
    }

    /// Returns buffers that belong to no worker, this many for each of them.
    pub(super) fn give_back(&self, groups: impl Iterator<Item = Vec<Lines>>) {
        let mut pools = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if pools.is_empty() {
            pools.push(Pool::default());
        }
        let number = pools.len();
        for (place, buffers) in groups.enumerate() {
            pools[place % number].0.extend(buffers);
        }
    }
}
