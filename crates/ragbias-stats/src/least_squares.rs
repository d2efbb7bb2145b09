use ndarray::Array2;

/// XᵀX of rows of `width` values.
pub(crate) fn gram<R: AsRef<[f64]>>(rows: impl IntoIterator<Item = R>, width: usize) -> Array2<f64> {
    let mut gram = Array2::zeros((width, width));
    for row in rows {
        let row = row.as_ref();
        for i in 0..width {
            for j in 0..width {
                gram[[i, j]] += row[i] * row[j];
            }
        }
    }
    gram
}

/// The lower Cholesky factor of XᵀX: solves the normal equations of least squares.
pub(crate) struct Factor(Array2<f64>);

impl Factor {
    /// None if a pivot is lost to rounding: the columns of X are (nearly) linearly dependent.
    pub(crate) fn of(gram: &Array2<f64>) -> Option<Self> {
        let mut factor = Array2::zeros(gram.raw_dim());
        for i in 0..gram.nrows() {
            for j in 0..=i {
                let dot: f64 = (0..j).map(|k| factor[[i, k]] * factor[[j, k]]).sum();
                let rest = gram[[i, j]] - dot;
                if i > j {
                    factor[[i, j]] = rest / factor[[j, j]];
                } else if rest > 1e-10 * gram[[i, i]].max(f64::MIN_POSITIVE) {
                    factor[[i, i]] = rest.sqrt();
                } else {
                    return None;
                }
            }
        }
        Some(Self(factor))
    }

    /// (XᵀX)⁻¹ times a vector.
    pub(crate) fn solve(&self, right: &[f64]) -> Vec<f64> {
        let (factor, mut x) = (&self.0, right.to_vec());
        for i in 0..x.len() {
            for k in 0..i {
                x[i] -= factor[[i, k]] * x[k];
            }
            x[i] /= factor[[i, i]];
        }
        for i in (0..x.len()).rev() {
            for k in i + 1..x.len() {
                x[i] -= factor[[k, i]] * x[k];
            }
            x[i] /= factor[[i, i]];
        }
        x
    }

    /// (XᵀX)⁻¹.
    pub(crate) fn inverse(&self) -> Array2<f64> {
        let size = self.0.nrows();
        let mut inverse = Array2::zeros((size, size));
        for column in 0..size {
            let unit: Vec<f64> = (0..size).map(|i| if i == column { 1.0 } else { 0.0 }).collect();
            for (row, value) in self.solve(&unit).into_iter().enumerate() {
                inverse[[row, column]] = value;
            }
        }
        inverse
    }
}
