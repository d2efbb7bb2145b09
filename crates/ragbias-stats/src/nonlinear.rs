//! Nonlinear least squares.

use ndarray::Array2;
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::Estimate;
use crate::least_squares::{Factor, gram};

/// Steps without a better fit after which the search ends.
const DAMPINGS: usize = 40;

/// The minimum of a sum of squares, Σ rᵢ(θ)², by Levenberg and Marquardt's damped Gauss–Newton steps.
///
/// The Jacobian is by central differences. A step solves (JᵀJ + λ·diag JᵀJ)·δ = −Jᵀr; λ falls tenfold after a better fit and rises tenfold
/// after a worse one. The result is a local minimum: [`NonlinearLeastSquares::best_of`] tries several starts. Source: Marquardt, *An
/// Algorithm for Least-Squares Estimation of Nonlinear Parameters*, J. SIAM 11 (1963) 431–441,
/// <https://doi.org/10.1137/0111030>.
///
/// ```
/// use ragbias_stats::NonlinearLeastSquares;
///
/// // y = 3·e^(−x/2), without noise.
/// let points: Vec<(f64, f64)> = (0..9).map(|i| (f64::from(i), 3.0 * (-f64::from(i) / 2.0).exp())).collect();
/// let fit = NonlinearLeastSquares::from_start(&[1.0, 1.0], |theta| {
///     points.iter().map(|(x, y)| theta[0] * (-x / theta[1]).exp() - y).collect()
/// }).unwrap();
/// assert!((fit.parameters[0] - 3.0).abs() < 1e-8 && (fit.parameters[1] - 2.0).abs() < 1e-8);
/// assert!(fit.identified());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct NonlinearLeastSquares {
    /// θ at the minimum.
    pub parameters: Vec<f64>,
    /// Σ rᵢ².
    pub residual_sum: f64,
    /// Standard errors, √(σ²·(JᵀJ)⁻¹ᵢᵢ) with σ² = Σ rᵢ²/(n − p); none if the data do not identify all parameters, or n ≤ p.
    pub standard_errors: Option<Vec<f64>>,
    /// n − p.
    freedom: usize,
}

impl NonlinearLeastSquares {
    /// The best of the minima that are found from several starts; none if from no start the residuals are finite.
    pub fn best_of(starts: &[Vec<f64>], residuals: impl Fn(&[f64]) -> Vec<f64>) -> Option<Self> {
        let fits = starts.iter().filter_map(|start| Self::from_start(start, &residuals));
        fits.min_by(|a, b| a.residual_sum.total_cmp(&b.residual_sum))
    }

    /// The minimum that is found from a start; none if the residuals there are not finite.
    pub fn from_start(start: &[f64], residuals: impl Fn(&[f64]) -> Vec<f64>) -> Option<Self> {
        let mut theta = start.to_vec();
        let mut rest = residuals(&theta);
        let mut sum = squares(&rest);
        if !sum.is_finite() {
            return None;
        }
        let mut damping = 1e-3;
        for _ in 0..500 {
            let jacobian = jacobian(&theta, &residuals);
            let normal = gram(&jacobian, theta.len());
            let slope = products(&jacobian, &rest);
            let mut moved = false;
            for _ in 0..DAMPINGS {
                let step = damped(&normal, damping)
                    .and_then(|normal| Factor::of(&normal))
                    .map(|factor| factor.solve(&slope));
                let there: Option<Vec<f64>> =
                    step.map(|step| theta.iter().zip(step).map(|(theta, step)| theta - step).collect());
                let better = there.and_then(|there| {
                    let rest = residuals(&there);
                    let sum_there = squares(&rest);
                    (sum_there < sum).then_some((there, rest, sum_there))
                });
                let Some((there, rest_there, sum_there)) = better else {
                    damping *= 10.0;
                    continue;
                };
                moved = sum - sum_there > 1e-15 * sum;
                (theta, rest, sum) = (there, rest_there, sum_there);
                damping = (damping / 10.0).max(1e-12);
                break;
            }
            if !moved {
                break;
            }
        }
        let freedom = rest.len().saturating_sub(theta.len());
        let standard_errors = standard_errors(&theta, &residuals, sum, freedom);
        Some(Self { parameters: theta, residual_sum: sum, standard_errors, freedom })
    }

    /// A parameter with its 95% interval, from its standard error and Student's t with n − p degrees of freedom; none if it is not identified.
    pub fn interval(&self, parameter: usize) -> Option<Estimate> {
        let (error, value) = (self.standard_errors.as_ref()?[parameter], self.parameters[parameter]);
        let t = StudentsT::new(0.0, 1.0, self.freedom as f64).ok()?.inverse_cdf(0.975);
        Some(Estimate { value, low: value - t * error, high: value + t * error })
    }

    /// Whether the data identify all parameters: JᵀJ at the minimum is not singular, and there are more points than parameters.
    pub fn identified(&self) -> bool {
        self.standard_errors.is_some()
    }
}

fn squares(residuals: &[f64]) -> f64 {
    residuals.iter().map(|residual| residual * residual).sum()
}

/// Rows of ∂rᵢ/∂θⱼ.
fn jacobian(theta: &[f64], residuals: &impl Fn(&[f64]) -> Vec<f64>) -> Vec<Vec<f64>> {
    let columns: Vec<Vec<f64>> = (0..theta.len())
        .map(|j| {
            let width = f64::EPSILON.cbrt() * theta[j].abs().max(1e-3);
            let at = |sign: f64| {
                let mut there = theta.to_vec();
                there[j] += sign * width;
                residuals(&there)
            };
            at(1.0).iter().zip(at(-1.0)).map(|(up, down)| (up - down) / (2.0 * width)).collect()
        })
        .collect();
    (0..columns[0].len()).map(|row| columns.iter().map(|column| column[row]).collect()).collect()
}

/// Jᵀr.
fn products(jacobian: &[Vec<f64>], residuals: &[f64]) -> Vec<f64> {
    let mut slope = vec![0.0; jacobian[0].len()];
    for (row, residual) in jacobian.iter().zip(residuals) {
        for (slope, partial) in slope.iter_mut().zip(row) {
            *slope += partial * residual;
        }
    }
    slope
}

/// JᵀJ with its diagonal raised; none if it is not finite.
fn damped(normal: &Array2<f64>, damping: f64) -> Option<Array2<f64>> {
    let mut damped = normal.clone();
    for i in 0..damped.nrows() {
        damped[[i, i]] += damping * normal[[i, i]].max(1e-12);
    }
    damped.iter().all(|value| value.is_finite()).then_some(damped)
}

fn standard_errors(
    theta: &[f64],
    residuals: &impl Fn(&[f64]) -> Vec<f64>,
    sum: f64,
    freedom: usize,
) -> Option<Vec<f64>> {
    if freedom == 0 {
        return None;
    }
    let normal = gram(jacobian(theta, residuals), theta.len());
    if !normal.iter().all(|value| value.is_finite()) {
        return None;
    }
    let inverse = Factor::of(&normal)?.inverse();
    let variance = sum / freedom as f64;
    let errors: Vec<f64> = (0..theta.len()).map(|i| (variance * inverse[[i, i]]).sqrt()).collect();
    errors.iter().all(|error| error.is_finite()).then_some(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Misra1a of NIST's reference data sets for nonlinear regression: y = b₁·(1 − e^(−b₂·x)), certified values.
    #[test]
    fn the_certified_values_of_misra1a_are_found_from_both_starts() {
        let x =
            [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0];
        let y = [
            10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78,
        ];
        let residuals = |theta: &[f64]| -> Vec<f64> {
            x.iter().zip(y).map(|(x, y)| theta[0] * (1.0 - (-theta[1] * x).exp()) - y).collect()
        };
        for start in [[500.0, 0.0001], [250.0, 0.0005]] {
            let fit = NonlinearLeastSquares::from_start(&start, residuals).unwrap();
            assert!((fit.parameters[0] / 2.389_421_291_8e2 - 1.0).abs() < 1e-6, "{fit:?}");
            assert!((fit.parameters[1] / 5.501_564_318_1e-4 - 1.0).abs() < 1e-6, "{fit:?}");
            assert!((fit.residual_sum / 1.245_513_889_4e-1 - 1.0).abs() < 1e-6, "{fit:?}");
            let errors = fit.standard_errors.unwrap();
            assert!((errors[0] / 2.707_007_524_1 - 1.0).abs() < 1e-5, "{errors:?}");
            assert!((errors[1] / 7.266_868_883_4e-6 - 1.0).abs() < 1e-5, "{errors:?}");
        }
    }

    #[test]
    fn parameters_that_only_appear_as_a_product_are_not_identified() {
        let fit = NonlinearLeastSquares::from_start(&[1.0, 1.0], |theta| {
            (1..9).map(|x| theta[0] * theta[1] * f64::from(x) - 6.0 * f64::from(x)).collect()
        })
        .unwrap();
        assert!(!fit.identified(), "{fit:?}");
        assert!((fit.parameters[0] * fit.parameters[1] - 6.0).abs() < 1e-6, "{fit:?}");
    }
}
