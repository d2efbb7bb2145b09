//! Ridge-penalised multinomial logistic regression.

use std::collections::VecDeque;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use crate::{Error, Result};

/// A linear classifier of vectors: how well a property can be read from them.
///
/// Minimises Σ_i −log softmax(W·x_i + b)_{y_i} + λ/2·‖W‖²; intercepts b are not penalised. With λ = 1/C this is scikit-learn's
/// `LogisticRegression(C)`. The minimum is found by L-BFGS (Liu & Nocedal, *On the limited memory BFGS method for large scale
/// optimization*, Math. Program. 45 (1989) 503–528, <https://doi.org/10.1007/BF01589116>), until no entry of the gradient exceeds 10⁻⁷.
#[derive(Debug, Clone, PartialEq)]
pub struct RidgeLogistic {
    /// `(classes, dim)`.
    weights: Array2<f64>,
    /// `(classes,)`; they sum to 0.
    intercepts: Array1<f64>,
}

/// The greatest entry of the gradient at the minimum.
const TOLERANCE: f64 = 1e-7;
/// Pairs of steps and changes of the gradient that are kept.
const MEMORY: usize = 20;
/// Steps after which the fit is given up.
const STEPS: usize = 5_000;

impl RidgeLogistic {
    /// Fits the classifier to `(n, dim)` finite vectors, with the class of each, from 0 up to `classes`.
    ///
    /// # Errors
    /// [`Error::Probe`] for fewer than two classes, a class without a vector, another number of classes than of vectors, λ that is not
    /// above 0, vectors that are not finite, or a minimum that is not found.
    pub fn fit(vectors: ArrayView2<'_, f64>, class_of: &[usize], classes: usize, ridge: f64) -> Result<Self> {
        let wrong = |expected, received: String| Err(Error::Probe { expected, received });
        let (n, dim) = vectors.dim();
        if class_of.len() != n || n == 0 || dim == 0 {
            return wrong("a class per vector", format!("{} classes of {n} vectors", class_of.len()));
        }
        if !(ridge > 0.0 && ridge.is_finite()) {
            return wrong("a ridge above 0", ridge.to_string());
        }
        if classes < 2 || (0..classes).any(|class| !class_of.contains(&class)) {
            return wrong("at least two classes, each with a vector", format!("{classes} classes"));
        }
        if class_of.iter().any(|&class| class >= classes) || !vectors.iter().all(|value| value.is_finite()) {
            return wrong("finite vectors of known classes", "others".into());
        }
        let objective = |parameters: &Array1<f64>| {
            let (weights, intercepts) = parts(parameters.view(), classes, dim);
            value_and_gradient(vectors, class_of, weights, intercepts, ridge)
        };
        let Some(minimum) = minimise(Array1::zeros(classes * (dim + 1)), objective) else {
            return wrong("a minimum of the loss", format!("none within {STEPS} steps"));
        };
        let (weights, intercepts) = parts(minimum.view(), classes, dim);
        Ok(Self { weights: weights.to_owned(), intercepts: intercepts.to_owned() })
    }

    /// The likeliest class of each vector, `(n, dim)`; the first of equals.
    ///
    /// # Panics
    /// If the vectors have another dimension than those of the fit.
    pub fn classes(&self, vectors: ArrayView2<'_, f64>) -> Vec<usize> {
        let scores = vectors.dot(&self.weights.t()) + &self.intercepts;
        let best = |row: ArrayView1<'_, f64>| {
            row.iter()
                .enumerate()
                .fold(0, |best, (class, &score)| if score > row[best] { class } else { best })
        };
        scores.axis_iter(Axis(0)).map(best).collect()
    }

    /// W, `(classes, dim)`.
    pub fn weights(&self) -> &Array2<f64> {
        &self.weights
    }

    /// b, `(classes,)`.
    pub fn intercepts(&self) -> &Array1<f64> {
        &self.intercepts
    }
}

/// W and b of all parameters.
fn parts(
    parameters: ArrayView1<'_, f64>,
    classes: usize,
    dim: usize,
) -> (ArrayView2<'_, f64>, ArrayView1<'_, f64>) {
    let (weights, intercepts) = parameters.split_at(Axis(0), classes * dim);
    (weights.into_shape_with_order((classes, dim)).expect("contiguous; this is a bug"), intercepts)
}

/// The penalised loss and its gradient: with residuals R = softmax − one-hot, ∂W = Rᵀ·X + λ·W and ∂b the sums of R's columns.
fn value_and_gradient(
    vectors: ArrayView2<'_, f64>,
    class_of: &[usize],
    weights: ArrayView2<'_, f64>,
    intercepts: ArrayView1<'_, f64>,
    ridge: f64,
) -> (f64, Array1<f64>) {
    let mut residuals = vectors.dot(&weights.t()) + intercepts;
    let mut value = 0.5 * ridge * weights.iter().map(|w| w * w).sum::<f64>();
    for (mut row, &class) in residuals.axis_iter_mut(Axis(0)).zip(class_of) {
        let largest = row.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        let own = row[class] - largest;
        row.mapv_inplace(|score| (score - largest).exp());
        let total = row.sum();
        value += total.ln() - own;
        row /= total;
        row[class] -= 1.0;
    }
    let of_weights = residuals.t().dot(&vectors) + &weights * ridge;
    let gradient = of_weights.iter().copied().chain(residuals.sum_axis(Axis(0))).collect();
    (value, gradient)
}

/// The minimum of a convex function by L-BFGS with a backtracking line search; none if it is not found.
fn minimise(
    mut at: Array1<f64>,
    objective: impl Fn(&Array1<f64>) -> (f64, Array1<f64>),
) -> Option<Array1<f64>> {
    let (mut value, mut gradient) = objective(&at);
    let mut pairs: VecDeque<(Array1<f64>, Array1<f64>)> = VecDeque::new();
    for _ in 0..STEPS {
        if gradient.iter().all(|entry| entry.abs() <= TOLERANCE) {
            return Some(at);
        }
        let mut direction = -direction_of(&pairs, &gradient);
        let mut slope = direction.dot(&gradient);
        if slope >= 0.0 {
            pairs.clear();
            direction = -&gradient;
            slope = -gradient.dot(&gradient);
        }
        let mut length = if pairs.is_empty() { 1.0 / gradient.dot(&gradient).sqrt().max(1.0) } else { 1.0 };
        let (next, next_value, next_gradient) = loop {
            let next = &at + &(&direction * length);
            let (next_value, next_gradient) = objective(&next);
            // At the minimum, the value's changes are lost in rounding, but the gradient's are not.
            let is_flat = next_value <= value + 1e-13 * value.abs()
                && next_gradient.dot(&next_gradient) < gradient.dot(&gradient);
            if next_value <= value + 1e-4 * length * slope || is_flat {
                break (next, next_value, next_gradient);
            }
            length *= 0.5;
            if length < 1e-12 {
                return None;
            }
        };
        let (step, change) = (&next - &at, &next_gradient - &gradient);
        if step.dot(&change) > 1e-300 {
            pairs.push_back((step, change));
            if pairs.len() > MEMORY {
                pairs.pop_front();
            }
        }
        (at, value, gradient) = (next, next_value, next_gradient);
    }
    None
}

/// The approximate Newton direction H·g of L-BFGS' two loops.
fn direction_of(pairs: &VecDeque<(Array1<f64>, Array1<f64>)>, gradient: &Array1<f64>) -> Array1<f64> {
    let mut direction = gradient.clone();
    let mut weights = Vec::with_capacity(pairs.len());
    for (step, change) in pairs.iter().rev() {
        let weight = step.dot(&direction) / step.dot(change);
        direction.scaled_add(-weight, change);
        weights.push(weight);
    }
    if let Some((step, change)) = pairs.back() {
        direction *= step.dot(change) / change.dot(change);
    }
    for ((step, change), weight) in pairs.iter().zip(weights.iter().rev()) {
        let other = change.dot(&direction) / step.dot(change);
        direction.scaled_add(weight - other, step);
    }
    direction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors() -> Array2<f64> {
        Array2::from_shape_fn((30, 5), |(i, k)| {
            let (i, k) = (i as f64, k as f64);
            (1.0 + 1.3 * i + 0.7 * k * (i + 1.0)).sin()
        })
    }

    fn class_of() -> Vec<usize> {
        (0..30).map(|j| (3 * j * j + j) % 7 % 3).collect()
    }

    #[test]
    fn the_fit_is_that_of_scikit_learn() {
        // scikit-learn 1.9.1: LogisticRegression(C=2, tol=1e-12, solver="newton-cg").fit(X, y) on the vectors and classes above.
        let weights = [
            [
                0.020_402_370_116_076_21,
                0.124_174_094_127_019_91,
                2.282_594_025_184_388,
                -0.195_067_963_402_393_35,
                -0.258_439_803_525_775_8,
            ],
            [
                0.128_701_947_710_573_7,
                -0.041_303_868_141_091_89,
                -1.730_110_782_225_544_5,
                0.209_889_826_066_607_4,
                0.005_668_318_459_763_037,
            ],
            [
                -0.149_104_317_826_648_87,
                -0.082_870_225_985_927_23,
                -0.552_483_242_958_842_7,
                -0.014_821_862_664_213_52,
                0.252_771_485_066_013_05,
            ],
        ];
        let intercepts = [1.005_982_076_977_818_3, -1.098_520_089_104_628_3, 0.092_538_012_126_814_23];
        let fit = RidgeLogistic::fit(vectors().view(), &class_of(), 3, 0.5).unwrap();
        for (class, expected) in weights.iter().enumerate() {
            for (k, expected) in expected.iter().enumerate() {
                let ours = fit.weights()[[class, k]];
                assert!((ours - expected).abs() < 1e-6, "class {class}, {k}: {ours}, expected {expected}");
            }
            assert!((fit.intercepts()[class] - intercepts[class]).abs() < 1e-6);
        }
        let classes = fit.classes(vectors().view());
        let right = classes.iter().zip(class_of()).filter(|(a, b)| **a == *b).count();
        assert_eq!(right, 23, "0.7666666666666667 of 30");
    }

    #[test]
    fn two_classes_have_the_opposite_weights_of_one_another() {
        let two: Vec<usize> = class_of().iter().map(|&class| usize::from(class == 1)).collect();
        let fit = RidgeLogistic::fit(vectors().view(), &two, 2, 0.25).unwrap();
        // LogisticRegression(C=2) of two classes has one weight vector, the difference of ours, whose penalty is ½·λ of the sum of both.
        let expected = [
            0.147_984_750_347_915_7,
            -0.036_473_558_342_350_26,
            -2.187_636_083_293_622,
            0.255_799_225_737_523_6,
            -0.031_136_394_140_053_03,
        ];
        let twice = RidgeLogistic::fit(vectors().view(), &two, 2, 1.0).unwrap();
        for (k, expected) in expected.iter().enumerate() {
            let ours = twice.weights()[[1, k]] - twice.weights()[[0, k]];
            assert!((ours - expected).abs() < 1e-6, "{k}: {ours}, expected {expected}");
            assert!((fit.weights()[[0, k]] + fit.weights()[[1, k]]).abs() < 1e-6);
        }
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let fit = |classes: &[usize], count, ridge| {
            RidgeLogistic::fit(vectors().view(), classes, count, ridge).unwrap_err().to_string()
        };
        assert!(fit(&class_of()[..3], 3, 1.0).starts_with("probe: 3 classes of 30 vectors"));
        assert!(fit(&class_of(), 4, 1.0).contains("each with a vector"));
        assert!(fit(&class_of(), 3, 0.0).starts_with("probe: 0, expected a ridge above 0"));
    }
}
