//! The keys and values of all sequences, in tables with a row for each token.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};

use super::rows::{FreeRows, Rows};

/// Number of rows at first.
const FIRST: usize = 1024;

/// For each layer a table of keys and one of values, `(rows, key_heads · head_width)`.
///
/// A row belongs to a token from its forward pass until the last sequence with it is dropped; shared prefixes have their rows
/// once. The rows of a forward pass are adjacent where possible, so that each table is written at once.
#[derive(Debug)]
pub(super) struct Pool {
    tables: Vec<[Tensor; 2]>,
    width: usize,
    rows: usize,
    /// Beyond this number of rows, those that are free are used before any are added, even if they are not adjacent.
    enough: usize,
    free: Arc<FreeRows>,
    dtype: DType,
    device: Device,
}

impl Pool {
    pub(super) fn new(
        layers: usize,
        width: usize,
        enough: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let table = || Tensor::zeros((FIRST, width), dtype, device);
        let tables = (0..layers).map(|_| Ok([table()?, table()?])).collect::<Result<_>>()?;
        let free = Arc::<FreeRows>::default();
        free.add(0..FIRST);
        Ok(Self { tables, width, rows: FIRST, enough, free, dtype, device: device.clone() })
    }

    /// Rows for so many new tokens.
    pub(super) fn take(&mut self, count: usize) -> Result<Vec<Rows>> {
        let is_short = self.rows < self.enough || self.free.count() < count;
        if self.free.longest() < count && is_short {
            self.grow((2 * self.rows).min(self.enough).max(self.rows + count))?;
        }
        let (mut taken, mut left) = (Vec::new(), count);
        while left > 0 {
            let rows = self.free.take(left).expect("as many rows are free: this is a bug");
            left -= rows.len();
            taken.push(rows);
        }
        Ok(taken)
    }

    /// Number of rows in use.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.rows - self.free.count()
    }

    fn grow(&mut self, rows: usize) -> Result<()> {
        // One table at a time, so that only one is there twice.
        for table in self.tables.as_flattened_mut() {
            let larger = Tensor::zeros((rows, self.width), self.dtype, &self.device)?;
            larger.slice_set(table, 0, 0)?;
            *table = larger;
        }
        self.free.add(self.rows..rows);
        self.rows = rows;
        Ok(())
    }

    /// Writes the keys and values of new tokens, `(tokens, key_heads · head_width)` each, into these rows, in order.
    pub(super) fn write(&self, layer: usize, ranges: &[Range<usize>], new: [&Tensor; 2]) -> Result<()> {
        for (table, new) in self.tables[layer].iter().zip(new) {
            let new = new.to_dtype(self.dtype)?.contiguous()?;
            let mut from = 0;
            for range in ranges {
                table.slice_set(&new.narrow(0, from, range.len())?.contiguous()?, 0, range.start)?;
                from += range.len();
            }
        }
        Ok(())
    }

    /// The tables of keys and values of a layer, with a row for each head of a token, `(rows · key_heads, head_width)`.
    pub(super) fn heads(&self, layer: usize, key_heads: usize) -> Result<[Tensor; 2]> {
        let [keys, values] = &self.tables[layer];
        let shape = (self.rows * key_heads, self.width / key_heads);
        Ok([keys.reshape(shape)?, values.reshape(shape)?])
    }
}

/// Ranges without those that only continue the one before.
pub(super) fn joined(ranges: impl Iterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_grows_until_it_is_enough_and_then_fills_its_gaps() {
        let mut pool = Pool::new(1, 2, 2048, DType::F32, &Device::Cpu).unwrap();
        let first = pool.take(600).unwrap();
        let second = pool.take(600).unwrap();
        assert_eq!((pool.rows, first.len(), second.len()), (2048, 1, 1));
        drop(first);
        // 600 rows are free at the beginning, 848 at the end.
        let third = pool.take(1000).unwrap();
        assert_eq!((pool.rows, third.len()), (2048, 2));
        assert!(pool.take(1000).unwrap().len() == 1 && pool.rows == 3048);
    }

    #[test]
    fn what_is_written_is_kept_when_the_pool_grows() {
        let mut pool = Pool::new(2, 4, 1, DType::F32, &Device::Cpu).unwrap();
        let rows = pool.take(2).unwrap();
        let keys = Tensor::arange(0_f32, 8.0, &Device::Cpu).unwrap().reshape((2, 4)).unwrap();
        let values = (&keys * 10.0).unwrap();
        let ranges = joined(rows.iter().map(Rows::range));
        pool.write(1, &ranges, [&keys, &values]).unwrap();
        pool.grow(5000).unwrap();
        let [keys, values] = pool.heads(1, 2).unwrap();
        assert_eq!(keys.narrow(0, 0, 4).unwrap().to_vec2::<f32>().unwrap()[3], [6.0, 7.0]);
        assert_eq!(values.narrow(0, 0, 4).unwrap().to_vec2::<f32>().unwrap()[2], [40.0, 50.0]);
        assert_eq!(keys.dims(), [10_000, 2]);
    }

    #[test]
    fn ranges_that_continue_each_other_are_one() {
        assert_eq!(joined([0..2, 2..5, 7..8, 8..9, 3..4].into_iter()), [0..5, 7..9, 3..4]);
    }
}
