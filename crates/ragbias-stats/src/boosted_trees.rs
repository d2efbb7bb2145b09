//! A regression by boosted trees.

use ndarray::{ArrayView1, ArrayView2};
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::xgboost::{XGRegressor, XGRegressorParameters};

use crate::elastic_net::check;
use crate::{Error, Result};

type Model = XGRegressor<f64, f64, DenseMatrix<f64>, Vec<f64>>;

/// Trees of depth 2, each fitted to what those before it leave: steps and pairs of features, where a line has slopes.
///
/// 200 trees at a learning rate of 0.1, the squares of their leaves penalised with 1; the values start at their mean. Source: Chen & Guestrin,
/// *XGBoost* (2016), <https://arxiv.org/abs/1603.02754>.
pub struct BoostedTrees {
    /// The mean of the values: the trees are fitted to the rest.
    mean: f64,
    trees: Model,
}

impl BoostedTrees {
    /// Fits trees to `(n, features)` finite values, with the value of each row.
    ///
    /// # Errors
    /// [`Error::Predictor`] for fewer than two rows, or values that are not finite.
    pub fn fit(features: ArrayView2<'_, f64>, values: &[f64]) -> Result<Self> {
        check(features, values)?;
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let rest: Vec<f64> = values.iter().map(|value| value - mean).collect();
        let settings =
            XGRegressorParameters::default().with_n_estimators(200).with_max_depth(2).with_learning_rate(0.1);
        let settings = settings.with_base_score(0.0).with_lambda(1.0).with_min_child_weight(1);
        let trees = Model::fit(&dense(features)?, &rest, settings.with_subsample(1.0)).map_err(wrong)?;
        Ok(Self { mean, trees })
    }

    /// The value at these features.
    ///
    /// # Errors
    /// [`Error::Predictor`] if they are not as many as those of the fit.
    pub fn predict(&self, features: ArrayView1<'_, f64>) -> Result<f64> {
        let row = features.insert_axis(ndarray::Axis(0));
        let values = self.trees.predict(&dense(row)?).map_err(wrong)?;
        Ok(self.mean + values.first().copied().unwrap_or_default())
    }
}

fn dense(features: ArrayView2<'_, f64>) -> Result<DenseMatrix<f64>> {
    let (rows, columns) = features.dim();
    DenseMatrix::new(rows, columns, features.iter().copied().collect(), false).map_err(wrong)
}

fn wrong(error: smartcore::error::Failed) -> Error {
    Error::Predictor { expected: "boosted trees", received: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elastic_net::{ElasticNet, matrix};

    #[test]
    fn trees_find_a_step_of_two_features_that_no_line_has() {
        // +1 where both features are above 0, else −1.
        let rows: Vec<Vec<f64>> =
            (0..64).map(|i| vec![f64::from(i % 8) - 3.5, f64::from(i / 8) - 3.6, 0.0]).collect();
        let values: Vec<f64> = rows.iter().map(|row| row[0].min(row[1]).signum()).collect();
        let features = matrix(&rows).unwrap();
        let (trees, line) = (
            BoostedTrees::fit(features.view(), &values).unwrap(),
            ElasticNet::fit(features.view(), &values, 0.01).unwrap(),
        );
        for (features, signs) in [([0.5, 0.4, 0.0], 1.0), ([2.5, -0.6, 0.0], -1.0), ([-0.5, 2.4, 0.0], -1.0)]
        {
            let at = ArrayView1::from(&features);
            let (tree, line) = (trees.predict(at).unwrap(), line.predict(at));
            assert!((tree - signs).abs() < 0.1 && (line - signs).abs() > 0.3, "{features:?}: {tree}, {line}");
        }
    }

    #[test]
    fn values_that_are_all_equal_are_predicted_everywhere() {
        let features = matrix(&[vec![0.0], vec![1.0], vec![2.0]]).unwrap();
        let trees = BoostedTrees::fit(features.view(), &[0.25; 3]).unwrap();
        assert_eq!(trees.predict(ArrayView1::from(&[7.0])).unwrap(), 0.25);
    }
}
