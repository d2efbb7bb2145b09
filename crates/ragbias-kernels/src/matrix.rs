//! Matrix products on slices, by the gemm crate.
#![allow(unsafe_code, reason = "gemm takes pointers: the bounds that it needs are checked here")]

use std::ops::Range;

/// A read-only matrix of f32: a view of a slice, its element (i, j) at `i·step.0 + j·step.1`.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Matrix<'a> {
    values: &'a [f32],
    shape: (usize, usize),
    step: (usize, usize),
}

impl<'a> Matrix<'a> {
    /// Contiguous rows.
    #[inline]
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(values, rows, columns, columns)
    }

    /// Rows that begin `stride` values after one another.
    #[inline]
    pub fn strided(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        let matrix = Self { values, shape: (rows, columns), step: (stride, 1) };
        assert!(matrix.reach() <= values.len(), "a matrix beyond its slice; this is a bug");
        matrix
    }

    /// The transpose.
    #[inline]
    pub fn t(self) -> Self {
        let swap = |(a, b)| (b, a);
        Self { values: self.values, shape: swap(self.shape), step: swap(self.step) }
    }

    /// Rows and columns.
    #[inline]
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// Whether its columns, rather than its rows, are contiguous.
    #[inline]
    pub fn is_by_columns(&self) -> bool {
        self.step.1 != 1
    }

    /// The values of a contiguous row.
    #[inline]
    pub fn row(&self, row: usize) -> &'a [f32] {
        assert!(self.step.1 == 1 && row < self.shape.0, "a row that is not there; this is a bug");
        &self.values[row * self.step.0..][..self.shape.1]
    }

    /// Some of its rows, starting at a column.
    #[inline]
    pub fn part(self, rows: Range<usize>, from: usize) -> Self {
        assert!(rows.end <= self.shape.0 && from <= self.shape.1, "a part beyond its matrix; this is a bug");
        let start = rows.start * self.step.0 + from * self.step.1;
        Self { values: &self.values[start..], shape: (rows.len(), self.shape.1 - from), step: self.step }
    }

    /// The index after the last element.
    #[inline]
    fn reach(&self) -> usize {
        if self.shape.0 == 0 || self.shape.1 == 0 {
            return 0;
        }
        let last = |size: usize, step: usize| (size - 1) * step;
        last(self.shape.0, self.step.0) + last(self.shape.1, self.step.1) + 1
    }
}

/// What a product does with existing values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// out = scale·A·B.
    Set,
    /// out += scale·A·B.
    Add,
}

/// `out` ← scale·A·B, on one thread; rows of `out` begin `stride` values after one another.
///
/// # Panics
/// Where the shapes do not fit, or `out` is too short.
pub fn product(out: &mut [f32], stride: usize, into: Into, scale: f32, a: Matrix<'_>, b: Matrix<'_>) {
    let ((rows, inner), (inner_b, columns)) = (a.shape, b.shape);
    assert_eq!(inner, inner_b, "a product of matrices that do not fit; this is a bug");
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(
        columns <= stride && (rows - 1) * stride + columns <= out.len(),
        "a product beyond its slice; this is a bug"
    );
    let step = |step: usize| step.cast_signed();
    // SAFETY: `Matrix::strided` has checked that both factors lie within their slices, the assertion above that the
    // result does; `out` is borrowed mutably and so overlaps neither.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            step(stride),
            into == Into::Add,
            a.values.as_ptr(),
            step(a.step.1),
            step(a.step.0),
            b.values.as_ptr(),
            step(b.step.1),
            step(b.step.0),
            1.0,
            scale,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reference implementation, element by element.
    fn slow(a: Matrix<'_>, b: Matrix<'_>) -> Vec<f32> {
        let at = |m: Matrix<'_>, i: usize, j: usize| f64::from(m.values[i * m.step.0 + j * m.step.1]);
        let element = |i, j| (0..a.shape.1).map(|k| at(a, i, k) * at(b, k, j)).sum::<f64>() as f32;
        (0..a.shape.0).flat_map(|i| (0..b.shape.1).map(move |j| element(i, j))).collect()
    }

    #[test]
    fn products_of_views_are_sums_of_products() {
        let values: Vec<f32> = (0..600).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
        let a = Matrix::strided(&values, 7, 13, 20);
        let b = Matrix::new(&values[200..], 9, 13);
        let mut out = vec![0.5; 7 * 11];
        product(&mut out, 11, Into::Set, 2.0, a, b.t());
        let expected = slow(a, b.t());
        for i in 0..7 {
            for j in 0..9 {
                assert!((out[i * 11 + j] - 2.0 * expected[i * 9 + j]).abs() < 1e-4);
            }
            assert_eq!(out[i * 11 + 9..(i + 1) * 11], [0.5; 2], "what lies between rows is left alone");
        }
        let before = out.clone();
        product(&mut out, 11, Into::Add, 2.0, a, b.t());
        assert!((out[3] - 2.0 * before[3]).abs() < 1e-4);
    }

    #[test]
    fn products_with_nothing_are_nothing() {
        let mut out = [1.0; 2];
        product(&mut out, 2, Into::Set, 1.0, Matrix::new(&[], 0, 3), Matrix::new(&[0.0; 6], 3, 2));
        product(&mut out, 0, Into::Set, 1.0, Matrix::new(&[0.0; 6], 2, 3), Matrix::new(&[], 0, 3).t());
        assert_eq!(out, [1.0; 2]);
    }

    #[test]
    #[should_panic(expected = "a part beyond its matrix")]
    fn a_part_stays_within_its_matrix() {
        let _ = Matrix::new(&[0.0; 10], 2, 5).part(1..3, 0);
    }

    #[test]
    #[should_panic(expected = "a matrix beyond its slice")]
    fn a_view_stays_within_its_slice() {
        let _ = Matrix::strided(&[0.0; 10], 2, 5, 6);
    }
}
