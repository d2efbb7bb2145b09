//! Values aligned to cache lines, so that a register of 16 is loaded from one line, not from two.
#![allow(unsafe_code, reason = "lines are read as the values that they are made of")]

use std::ops::{Deref, DerefMut};

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [f32; 16]);

impl Line {
    pub(super) const ZERO: Self = Self([0.0; 16]);
}

/// A vector of f32 whose first value is aligned to a cache line.
pub(super) struct Lines {
    lines: Vec<Line>,
    length: usize,
}

impl Lines {
    /// This many values, all 0.
    pub(super) fn with_room(values: usize) -> Self {
        Self { lines: vec![Line::ZERO; values.div_ceil(16)], length: 0 }
    }

    /// Number of values allocated.
    pub(super) fn room(&self) -> usize {
        16 * self.lines.len()
    }

    /// Sets the length; newly exposed values are unspecified.
    pub(super) fn set_length(&mut self, length: usize) {
        assert!(length <= self.room(), "more values than there is room for; this is a bug");
        self.length = length;
    }
}

impl Deref for Lines {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: lines are arrays of f32 without gaps, and every length was checked to be within them.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.length) }
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above; they are borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_begin_at_a_line_and_are_kept() {
        let mut lines = Lines::with_room(17);
        assert!(lines.is_empty() && lines.room() == 32);
        lines.set_length(17);
        lines[16] = 1.0;
        lines.set_length(3);
        assert_eq!(*lines, [0.0; 3]);
        lines.set_length(17);
        assert_eq!(lines[16], 1.0);
        assert!(lines.as_ptr().addr().is_multiple_of(64));
    }
}
