//! Memory that is used again: fresh pages cost more than what is computed in them.

use std::sync::Mutex;

/// Buffers of one worker.
#[derive(Default)]
pub(super) struct Pool(Vec<Vec<f32>>);

impl Pool {
    /// `length` values, whatever they are.
    pub(super) fn take(&mut self, length: usize) -> Vec<f32> {
        let fits = |buffer: &Vec<f32>| (length..=2 * length).contains(&buffer.capacity());
        let best = (0..self.0.len()).filter(|&i| fits(&self.0[i])).min_by_key(|&i| self.0[i].capacity());
        let mut buffer =
            best.map_or_else(|| Vec::with_capacity(length + length / 8), |i| self.0.swap_remove(i));
        buffer.resize(length, 0.0);
        buffer
    }

    /// A copy of these values.
    pub(super) fn copy(&mut self, values: &[f32]) -> Vec<f32> {
        let mut copy = self.take(values.len());
        copy.copy_from_slice(values);
        copy
    }

    /// Takes buffers back.
    pub(super) fn give<const N: usize>(&mut self, buffers: [Vec<f32>; N]) {
        self.0.extend(buffers);
    }
}

/// The pools of workers that are not working.
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
}
