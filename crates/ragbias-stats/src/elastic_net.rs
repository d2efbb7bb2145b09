//! A penalised linear regression.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_elasticnet::ElasticNet as Regression;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use crate::{Error, Result};

/// A line over many features, whose weights are drawn towards 0: for as many features as rows, or features that go together.
///
/// Minimises 1/(2n)·‖y − b − Z·w‖² + λ/2·(‖w‖₁ + ½·‖w‖²), where Z has each feature less its mean, in its standard deviations
/// (those of the rows, divided by n). A feature that is the same in all rows has no weight. This is scikit-learn's `ElasticNet(alpha=λ,
/// l1_ratio=0.5)` behind a `StandardScaler`. Source: Zou & Hastie, *Regularization and variable selection via the elastic net*,
/// J. R. Stat. Soc. B 67 (2005) 301–320, <https://doi.org/10.1111/j.1467-9868.2005.00503.x>.
#[derive(Debug, Clone, PartialEq)]
pub struct ElasticNet {
    means: Array1<f64>,
    /// Standard deviations; 1 for a feature that is the same in all rows.
    scales: Array1<f64>,
    /// In standard deviations.
    weights: Array1<f64>,
    intercept: f64,
}

/// The share of the penalty that is on the sum of magnitudes.
const MAGNITUDES: f64 = 0.5;
/// Greatest change of a weight in the last pass over them.
const TOLERANCE: f64 = 1e-10;
/// Passes after which the fit is taken as it is.
const PASSES: u32 = 100_000;

impl ElasticNet {
    /// Fits the line to `(n, features)` finite values, with the value of each row.
    ///
    /// # Errors
    /// [`Error::Predictor`] for fewer than two rows, none or infinite values, or a penalty λ below 0.
    pub fn fit(features: ArrayView2<'_, f64>, values: &[f64], penalty: f64) -> Result<Self> {
        check(features, values)?;
        if !(penalty >= 0.0 && penalty.is_finite()) {
            return Err(Error::Predictor {
                expected: "a penalty of 0 or above",
                received: penalty.to_string(),
            });
        }
        let means = features.mean_axis(Axis(0)).expect("rows are checked; this is a bug");
        let scales =
            features.std_axis(Axis(0), 0.0).mapv(|scale| if scale > f64::EPSILON { scale } else { 1.0 });
        let (weights, intercept) = {
            let rows = Dataset::new((&features - &means) / &scales, Array1::from(values.to_vec()));
            let settings = Regression::params().penalty(penalty).l1_ratio(MAGNITUDES);
            let fit = settings
                .tolerance(TOLERANCE)
                .max_iterations(PASSES)
                .fit(&rows)
                .map_err(|error| Error::Predictor { expected: "a fit", received: error.to_string() })?;
            (fit.hyperplane().clone(), fit.intercept())
        };
        Ok(Self { means, scales, weights, intercept })
    }

    /// The value at these features.
    ///
    /// # Panics
    /// If they are not as many as those of the fit.
    pub fn predict(&self, features: ArrayView1<'_, f64>) -> f64 {
        ((&features - &self.means) / &self.scales).dot(&self.weights) + self.intercept
    }

    /// The weight of each feature: the change of the value for one standard deviation of it.
    pub fn weights(&self) -> &Array1<f64> {
        &self.weights
    }
}

/// Checks what a regression is fitted to.
pub(crate) fn check(features: ArrayView2<'_, f64>, values: &[f64]) -> Result<()> {
    let wrong = |expected, received: String| Err(Error::Predictor { expected, received });
    let (n, width) = features.dim();
    if n < 2 || width == 0 {
        return wrong("at least two rows and one feature", format!("{n} rows of {width} features"));
    }
    if values.len() != n {
        return wrong("a value per row", format!("{} values of {n} rows", values.len()));
    }
    if !features.iter().chain(values).all(|value| value.is_finite()) {
        return wrong("finite values", "others".into());
    }
    Ok(())
}

/// Rows of features as a matrix; none if they have different lengths.
pub fn matrix(rows: &[Vec<f64>]) -> Option<Array2<f64>> {
    let width = rows.first()?.len();
    let all = rows.iter().flatten().copied().collect();
    Array2::from_shape_vec((rows.len(), width), all).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `StandardScaler` and `ElasticNet(alpha=0.05, l1_ratio=0.5, tol=1e-14, max_iter=10**6)` of scikit-learn 1.9.
    #[test]
    fn weights_and_predictions_are_those_of_scikit_learn() {
        let rows: Vec<Vec<f64>> = (0..12)
            .map(|i| {
                let i = f64::from(i);
                vec![i.sin(), (0.5 * i).cos(), 0.3 * i, 2.0]
            })
            .collect();
        let values: Vec<f64> =
            rows.iter().enumerate().map(|(i, row)| 2.0 * row[0] - row[2] + (i as f64 * 1.7).sin()).collect();
        let fit = ElasticNet::fit(matrix(&rows).unwrap().view(), &values, 0.05).unwrap();
        let expected = [1.426_022_388_436_404_7, 0.0, -1.106_382_655_168_510_8, 0.0];
        for (weight, expected) in fit.weights().iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-6, "{:?}", fit.weights());
        }
        let at = fit.predict(ArrayView1::from(&[0.5, 0.5, 0.5, 2.0]));
        assert!((at - 0.581_555_26).abs() < 1e-7, "{at}");
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let rows = matrix(&[vec![1.0], vec![f64::NAN]]).unwrap();
        assert!(ElasticNet::fit(rows.view(), &[1.0, 2.0], 0.1).is_err());
        let rows = matrix(&[vec![1.0], vec![2.0]]).unwrap();
        assert!(ElasticNet::fit(rows.view(), &[1.0], 0.1).is_err());
        assert!(ElasticNet::fit(rows.view(), &[1.0, 2.0], -1.0).is_err());
        assert!(matrix(&[vec![1.0], vec![2.0, 3.0]]).is_none());
    }
}
