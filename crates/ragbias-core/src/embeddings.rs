use std::ops::Range;

use ndarray::{Array2, ArrayView1, ArrayView2, Axis, s};

use crate::{Error, Result};

/// Vectors of texts: an `(n, dim)` f32 array in row order, every value finite.
///
/// Records whether its rows have unit length, so that an index can use the dot product as the cosine.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    rows: Array2<f32>,
    normalised: bool,
}

impl Embeddings {
    /// Tolerance for the length of a normalised row.
    pub const UNIT_TOLERANCE: f32 = 1e-4;

    /// Vectors without scaling, `(n, dim)`; checks whether they have unit length.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if a value is NaN or infinite.
    pub fn new(rows: Array2<f32>) -> Result<Self> {
        let normalised = Self::have_unit_length(rows.view())?;
        let rows = if rows.is_standard_layout() { rows } else { rows.as_standard_layout().into_owned() };
        Ok(Self { rows, normalised })
    }

    /// Whether vectors, `(n, dim)`, have unit length.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if a value is NaN or infinite.
    pub fn have_unit_length(rows: ArrayView2<'_, f32>) -> Result<bool> {
        let mut normalised = true;
        for (row, vector) in rows.axis_iter(Axis(0)).enumerate() {
            let mut squares = 0.0_f32;
            for &value in vector {
                if !value.is_finite() {
                    return Err(Error::NotFinite { row, value });
                }
                squares += value * value;
            }
            normalised &= (squares.sqrt() - 1.0).abs() <= Self::UNIT_TOLERANCE;
        }
        Ok(normalised)
    }

    /// Every vector scaled to unit length.
    ///
    /// # Errors
    /// [`Error::ZeroVector`] if a vector has length 0.
    pub fn normalised(mut self) -> Result<Self> {
        for (row, mut vector) in self.rows.axis_iter_mut(Axis(0)).enumerate() {
            let length = vector.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
            if length == 0.0 {
                return Err(Error::ZeroVector { row });
            }
            vector.mapv_inplace(|value| (f64::from(value) / length) as f32);
        }
        self.normalised = true;
        Ok(self)
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.rows.nrows()
    }

    /// Whether there are no vectors.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Dimension of the vectors.
    pub fn dim(&self) -> usize {
        self.rows.ncols()
    }

    /// Whether every vector has unit length.
    pub fn is_normalised(&self) -> bool {
        self.normalised
    }

    /// One vector, `(dim,)`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> ArrayView1<'_, f32> {
        self.rows.row(row)
    }

    /// Some of the vectors, in order.
    ///
    /// # Panics
    /// If there are no such rows.
    #[must_use]
    pub fn rows(&self, rows: Range<usize>) -> Self {
        Self { rows: self.rows.slice(s![rows, ..]).to_owned(), normalised: self.normalised }
    }

    /// All vectors, `(n, dim)`, in standard (row-major) layout.
    pub fn view(&self) -> ArrayView2<'_, f32> {
        self.rows.view()
    }

    /// All values, row after row.
    pub fn as_slice(&self) -> &[f32] {
        self.rows.as_slice().expect("rows are kept in standard layout; this is a bug")
    }

    /// The array itself.
    pub fn into_inner(self) -> Array2<f32> {
        self.rows
    }

    /// These vectors followed by those of `parts`, in order.
    ///
    /// # Errors
    /// [`Error::Dimension`] if two parts have different dimensions.
    pub fn concatenated(parts: Vec<Self>) -> Result<Self> {
        let Some(first) = parts.first() else {
            return Self::new(Array2::zeros((0, 0)));
        };
        let (dim, normalised) = (first.dim(), parts.iter().all(Self::is_normalised));
        let mut values = Vec::with_capacity(parts.iter().map(|part| part.rows.len()).sum());
        let mut n = 0;
        for part in parts {
            if part.dim() != dim {
                return Err(Error::Dimension { expected: dim, received: part.dim() });
            }
            n += part.len();
            values.extend(part.as_slice());
        }
        let rows =
            Array2::from_shape_vec((n, dim), values).expect("n rows of dim values each; this is a bug");
        Ok(Self { rows, normalised })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn nan_never_gets_in() {
        let error = Embeddings::new(array![[0.0, 1.0], [f32::NAN, 0.0]]).unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 1, .. }));
    }

    #[test]
    fn embeddings_know_whether_they_are_normalised() {
        let raw = Embeddings::new(array![[3.0, 4.0]]).unwrap();
        assert!(!raw.is_normalised());
        let unit = raw.normalised().unwrap();
        assert_eq!(unit.view(), array![[0.6, 0.8]]);
        assert!(Embeddings::new(unit.into_inner()).unwrap().is_normalised());
    }

    #[test]
    fn a_vector_without_direction_is_named() {
        let zero = Embeddings::new(array![[1.0, 0.0], [0.0, 0.0]]).unwrap();
        assert!(matches!(zero.normalised(), Err(Error::ZeroVector { row: 1 })));
    }
}
