use linfa::Dataset;
use linfa::traits::Fit;
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2};
use ragbias_core::Bias;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::{Error, Result};

/// A value with its 95% interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value. A bootstrap interval may exclude it.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl From<Bias> for Estimate {
    fn from(bias: Bias) -> Self {
        Self { value: bias.value(), low: bias.low(), high: bias.high() }
    }
}

impl Estimate {
    /// Whether the interval contains this value.
    pub fn covers(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// The interval from `low` to `high`, widened to contain the value.
    pub(crate) fn within(value: f64, low: f64, high: f64) -> Self {
        Self { value, low: low.min(value), high: high.max(value) }
    }

    /// The smallest interval that contains both.
    pub(crate) fn or_wider(self, other: Self) -> Self {
        Self { value: self.value, low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// The estimate of the quantity minus a constant.
    pub(crate) fn minus(self, constant: f64) -> Self {
        Self { value: self.value - constant, low: self.low - constant, high: self.high - constant }
    }
}

/// E_b and R_b of at least three embedders, in [−1, 1], at least two of them with different E_b.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    embedder_bias: Vec<f64>,
    rag_bias: Vec<f64>,
}

impl Points {
    /// One E_b and one R_b per embedder, in the same order.
    ///
    /// # Errors
    /// Lists of different lengths, values outside [−1, 1] or not finite, fewer than three embedders, or embedders that
    /// all have the same E_b.
    pub fn new(embedder_bias: Vec<f64>, rag_bias: Vec<f64>) -> Result<Self> {
        let (expected, received) = (embedder_bias.len(), rag_bias.len());
        if expected != received {
            return Err(Error::Lengths { expected, received });
        }
        for (quantity, values) in [("E_b", &embedder_bias), ("R_b", &rag_bias)] {
            if let Some(bad) = values.iter().position(|value| !(-1.0..=1.0).contains(value)) {
                let place = format!("{quantity} of embedder number {}", bad + 1);
                return Err(Error::Range { place, received: values[bad] });
            }
        }
        if expected < 3 {
            return Err(Error::TooFew { what: "embedders with an R_b", expected: 3, received: expected });
        }
        let points = Self { embedder_bias, rag_bias };
        let (low, high) = points.range();
        // Counts of the same questions, summed in another order, may differ in the last bit.
        if high - low < 1e-9 {
            return Err(Error::SameBias { embedders: expected, value: low });
        }
        Ok(points)
    }

    /// E_b of every embedder.
    pub fn embedder_bias(&self) -> &[f64] {
        &self.embedder_bias
    }

    /// R_b of every embedder.
    pub fn rag_bias(&self) -> &[f64] {
        &self.rag_bias
    }

    /// How many embedders.
    pub fn len(&self) -> usize {
        self.rag_bias.len()
    }

    /// Never: there are at least three.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The smallest and the largest E_b.
    pub fn range(&self) -> (f64, f64) {
        let fold = |start, pick: fn(f64, f64) -> f64| self.embedder_bias.iter().copied().fold(start, pick);
        (fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max))
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (f64, f64)> {
        self.embedder_bias.iter().copied().zip(self.rag_bias.iter().copied())
    }
}

/// The least-squares line R_b = β0 + s·E_b through embedders, with textbook standard errors.
///
/// With n embedders, x = E_b, S = Σ(x − x̄)² and σ² = Σ residual² / (n − 2): se(s) = √(σ²/S),
/// se(β0) = √(σ²(1/n + x̄²/S)), cov(β0, s) = −x̄σ²/S, leverage h(x) = 1/n + (x − x̄)²/S, R² = 1 − Σ residual² / Σ(y − ȳ)²;
/// intervals are value ± t(n − 2)·se. Source: Draper & Smith, *Applied Regression Analysis* (3rd ed. 1998), ch. 1–3. This
/// assumes independent embedders, with errors of one variance and none in E_b. Embedders of one family answer the
/// same questions, so these errors are too small; report those of [`JointBootstrap`](crate::JointBootstrap).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// s.
    pub slope: f64,
    /// β0.
    pub intercept: f64,
    /// R², in [0, 1]; none if all R_b are equal.
    pub r_squared: Option<f64>,
    n: usize,
    mean: f64,
    /// S.
    squares: f64,
    /// σ².
    variance: f64,
}

impl Line {
    /// The line through these points.
    ///
    /// # Errors
    /// Those of the regression, which checked points never cause.
    pub fn fit(points: &Points) -> Result<Self> {
        let n = points.len();
        let (coefficients, intercept) = least_squares(points, |x| [x])?;
        let slope = coefficients[0];
        let mean = points.embedder_bias.iter().sum::<f64>() / n as f64;
        let squares = points.embedder_bias.iter().map(|x| (x - mean).powi(2)).sum();
        let residuals: f64 = points.pairs().map(|(x, y)| (y - intercept - slope * x).powi(2)).sum();
        let total = total_squares(points);
        let r_squared = (total > 1e-18).then(|| (1.0 - residuals / total).clamp(0.0, 1.0));
        Ok(Self { slope, intercept, r_squared, n, mean, squares, variance: residuals / (n - 2) as f64 })
    }

    /// R_b on the line at this E_b.
    pub fn at(&self, embedder_bias: f64) -> f64 {
        self.intercept + self.slope * embedder_bias
    }

    /// h: the weight of an embedder with this E_b in its own prediction, from 1/n to 1.
    pub fn leverage(&self, embedder_bias: f64) -> f64 {
        1.0 / self.n as f64 + (embedder_bias - self.mean).powi(2) / self.squares
    }

    /// Variance of β0, covariance of β0 and s, variance of s.
    pub fn covariance(&self) -> Covariance {
        let slope = self.variance / self.squares;
        Covariance {
            intercept: self.variance / self.n as f64 + slope * self.mean.powi(2),
            between: -self.mean * slope,
            slope,
        }
    }

    /// s with its t interval.
    pub fn sensitivity(&self) -> Estimate {
        self.interval(self.slope, self.covariance().slope)
    }

    /// β0 with its t interval.
    pub fn zero_intercept(&self) -> Estimate {
        self.interval(self.intercept, self.covariance().intercept)
    }

    /// The 97.5% quantile of t with n − 2 degrees of freedom.
    pub fn critical(&self) -> f64 {
        student((self.n - 2) as f64).inverse_cdf(0.975)
    }

    /// S.
    pub(crate) fn squares(&self) -> f64 {
        self.squares
    }

    /// x̄.
    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }

    fn interval(&self, value: f64, variance: f64) -> Estimate {
        let half = self.critical() * variance.sqrt();
        Estimate { value, low: value - half, high: value + half }
    }
}

/// Variances and covariance of the two coefficients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Covariance {
    /// Of β0.
    pub intercept: f64,
    /// Of β0 and s.
    pub between: f64,
    /// Of s.
    pub slope: f64,
}

/// Coefficients of the given functions of E_b, and the intercept.
pub(crate) fn least_squares<const K: usize>(
    points: &Points,
    terms: impl Fn(f64) -> [f64; K],
) -> Result<([f64; K], f64)> {
    let rows: Vec<[f64; K]> = points.embedder_bias.iter().map(|x| terms(*x)).collect();
    let records = Array2::from_shape_fn((rows.len(), K), |(i, k)| rows[i][k]);
    let fitted =
        LinearRegression::new().fit(&Dataset::new(records, Array1::from_vec(points.rag_bias.clone())))?;
    Ok((std::array::from_fn(|k| fitted.params()[k]), fitted.intercept()))
}

/// Σ(y − ȳ)².
pub(crate) fn total_squares(points: &Points) -> f64 {
    let mean = points.rag_bias.iter().sum::<f64>() / points.len() as f64;
    points.rag_bias.iter().map(|y| (y - mean).powi(2)).sum()
}

/// Student's t.
pub(crate) fn student(degrees: f64) -> StudentsT {
    StudentsT::new(0.0, 1.0, degrees).expect("degrees of freedom above 0; this is a bug")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_that_have_no_line_are_refused_with_the_place() {
        let refused = |x: &[f64], y: &[f64]| Points::new(x.to_vec(), y.to_vec()).unwrap_err().to_string();
        assert_eq!(
            refused(&[0.0, 0.1, 0.2], &[0.0, 1.5, 0.0]),
            "R_b of embedder number 2: expected a number in [-1, 1], received 1.5"
        );
        assert!(refused(&[f64::NAN, 0.1, 0.2], &[0.0; 3]).starts_with("E_b of embedder number 1"));
        assert_eq!(
            refused(&[0.0, 0.1], &[0.0, 0.1]),
            "embedders with an R_b: expected at least 3, received 2"
        );
        assert!(refused(&[0.3; 3], &[0.0, 0.1, 0.2]).starts_with("all 3 embedders have the same E_b, 0.3"));
        assert!(refused(&[0.3; 3], &[0.0]).contains("each of 3 embedders, received 1"));
    }

    #[test]
    fn a_flat_line_has_no_r_squared() {
        let line = Line::fit(&Points::new(vec![-0.5, 0.0, 0.5], vec![0.25; 3]).unwrap()).unwrap();
        assert!(line.slope.abs() < 1e-15 && (line.intercept - 0.25).abs() < 1e-15, "{line:?}");
        assert_eq!(line.r_squared, None);
    }
}
