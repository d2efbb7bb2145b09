//! Least squares with any number of explaining quantities.

use statrs::distribution::ContinuousCDF;

use crate::Estimate;
use crate::least_squares::{Factor, gram};
use crate::line::student;

/// The least-squares fit of y = Σ βⱼ·xⱼ, with textbook standard errors. An intercept is an x that is 1 in every row.
///
/// With the matrix X of n rows and p columns: β = (XᵀX)⁻¹Xᵀy, σ² = Σ residual²/(n − p), se(βⱼ) = √(σ²·(XᵀX)⁻¹ⱼⱼ), intervals
/// βⱼ ± t(n − p)·se(βⱼ), R² = 1 − Σ residual²/Σ(y − ȳ)². Source: Draper & Smith, *Applied Regression Analysis* (3rd ed. 1998), ch. 5.
/// Assumes rows that are independent, with errors of one variance and none in X.
///
/// ```
/// use ragbias_stats::LinearModel;
///
/// // y = 1 + 2x
/// let rows: Vec<Vec<f64>> = (0..5).map(|i| vec![1.0, f64::from(i)]).collect();
/// let fit = LinearModel::fit(&rows, &[1.0, 3.0, 5.0, 7.0, 9.0]).unwrap();
/// assert!((fit.coefficients[0] - 1.0).abs() < 1e-9 && (fit.coefficients[1] - 2.0).abs() < 1e-9);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LinearModel {
    /// β, one per column.
    pub coefficients: Vec<f64>,
    /// se(β), one per column.
    pub standard_errors: Vec<f64>,
    /// Σ residual².
    pub residual_sum: f64,
    /// R²; none if all y are equal. It may be negative if the columns do not span an intercept.
    pub r_squared: Option<f64>,
    /// n − p.
    freedom: usize,
}

impl LinearModel {
    /// The fit to rows of x and their y; none if there are not more rows than columns, rows of different lengths or as many rows as y,
    /// values that are not finite, or columns that are linearly dependent.
    pub fn fit(rows: &[Vec<f64>], y: &[f64]) -> Option<Self> {
        let (n, p) = (rows.len(), rows.first()?.len());
        let finite = rows.iter().flatten().chain(y).all(|value| value.is_finite());
        if n != y.len() || p == 0 || n <= p || !finite || rows.iter().any(|row| row.len() != p) {
            return None;
        }
        let factor = Factor::of(&gram(rows, p))?;
        let right: Vec<f64> =
            (0..p).map(|j| rows.iter().zip(y).map(|(row, y)| row[j] * y).sum::<f64>()).collect();
        let coefficients = factor.solve(&right);
        let fitted = |row: &[f64]| row.iter().zip(&coefficients).map(|(x, beta)| x * beta).sum::<f64>();
        let residual_sum: f64 = rows.iter().zip(y).map(|(row, y)| (y - fitted(row)).powi(2)).sum();
        let mean = y.iter().sum::<f64>() / n as f64;
        let total: f64 = y.iter().map(|y| (y - mean).powi(2)).sum();
        let variance = residual_sum / (n - p) as f64;
        let standard_errors = factor.inverse().diag().iter().map(|d| (variance * d).sqrt()).collect();
        let r_squared = (total > 1e-18).then(|| 1.0 - residual_sum / total);
        Some(Self { coefficients, standard_errors, residual_sum, r_squared, freedom: n - p })
    }

    /// A coefficient with its 95% interval by Student's t with n − p degrees of freedom.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn interval(&self, column: usize) -> Estimate {
        let (value, error) = (self.coefficients[column], self.standard_errors[column]);
        let half = student(self.freedom as f64).inverse_cdf(0.975) * error;
        Estimate { value, low: value - half, high: value + half }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twelve systems: three LLMs with four prompts each.
    const RELIANCE: [f64; 12] = [0.55, 0.60, 0.72, 0.81, 0.62, 0.70, 0.78, 0.90, 0.70, 0.83, 0.88, 0.97];
    const S: [f64; 12] = [0.31, 0.42, 0.47, 0.66, 0.50, 0.52, 0.70, 0.83, 0.49, 0.64, 0.78, 0.81];

    /// A column per LLM, and one of the reliance if asked for.
    fn of_llms(reliance: bool) -> Vec<Vec<f64>> {
        let llm = |system: usize, llm: usize| f64::from(u8::from(system / 4 == llm));
        let row = |i: usize| (0..3).map(|j| llm(i, j)).chain(reliance.then_some(RELIANCE[i])).collect();
        (0..12).map(row).collect()
    }

    #[test]
    fn coefficients_errors_and_intervals_are_those_of_statsmodels() {
        // scripts/reference/reliance.py
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        let rows: Vec<Vec<f64>> = RELIANCE.iter().map(|x| vec![1.0, *x]).collect();
        let plain = LinearModel::fit(&rows, &S).unwrap();
        near(plain.coefficients[0], -0.333_246_234_803_121_65);
        near(plain.coefficients[1], 1.228_361_458_900_381_7);
        near(plain.standard_errors[0], 0.095_981_027_057_748_69);
        near(plain.standard_errors[1], 0.125_453_783_758_969_98);
        near(plain.interval(1).low, 0.948_833_009_178_336_1);
        near(plain.interval(1).high, 1.507_889_908_622_427_3);
        near(plain.r_squared.unwrap(), 0.905_544_950_698_443_3);
        near(LinearModel::fit(&of_llms(false), &S).unwrap().residual_sum, 0.202_375);
        let both = LinearModel::fit(&of_llms(true), &S).unwrap();
        near(both.coefficients[1], -0.292_794_358_135_731_85);
        near(both.coefficients[3], 1.240_392_477_514_308_7);
        near(both.standard_errors[3], 0.120_503_598_679_224_51);
        near(both.interval(3).low, 0.962_510_680_653_033_1);
        near(both.r_squared.unwrap(), 0.953_584_292_849_922);
    }

    #[test]
    fn the_fit_of_one_quantity_is_the_line() {
        use crate::{Line, Points};
        let line = Line::fit(&Points::new(RELIANCE.to_vec(), S.to_vec()).unwrap()).unwrap();
        let rows: Vec<Vec<f64>> = RELIANCE.iter().map(|x| vec![1.0, *x]).collect();
        let model = LinearModel::fit(&rows, &S).unwrap();
        assert!((line.slope - model.coefficients[1]).abs() < 1e-9, "{line:?} {model:?}");
        assert!((line.sensitivity().low - model.interval(1).low).abs() < 1e-9, "{line:?} {model:?}");
    }

    #[test]
    fn what_does_not_determine_a_fit_has_none() {
        let rows = |xs: &[f64]| xs.iter().map(|x| vec![1.0, *x]).collect::<Vec<_>>();
        assert!(LinearModel::fit(&rows(&[0.5, 0.5, 0.5]), &[1.0, 2.0, 3.0]).is_none(), "one x");
        assert!(LinearModel::fit(&rows(&[0.1, 0.5]), &[1.0, 2.0]).is_none(), "no residual");
        assert!(LinearModel::fit(&rows(&[0.1, 0.2, 0.5]), &[1.0, 2.0]).is_none(), "another number of y");
        assert!(LinearModel::fit(&rows(&[0.1, 0.2, f64::NAN]), &[1.0, 2.0, 3.0]).is_none());
        assert!(LinearModel::fit(&[], &[]).is_none());
        let flat = LinearModel::fit(&rows(&[0.1, 0.2, 0.5]), &[1.0, 1.0, 1.0]).unwrap();
        assert_eq!(flat.r_squared, None);
    }
}
