use serde::{Deserialize, Serialize};

use crate::Points;

/// The line with measurement error in E_b taken into account; the least-squares line treats E_b as exact.
///
/// Errors in E_b bias the least-squares slope towards 0 (attenuation); errors shared by E_b and R_b bias it towards
/// their own slope: since the answers of a question follow its document, an embedder that happened to retrieve more of one
/// pole also answered more of it, and hardly any attenuation remains. Both are corrected for here.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ErrorsInVariables {
    /// Deming's slope; none if the line is vertical. It treats all scatter around the line as measurement error, so
    /// it overstates s if embedders differ in more than E_b.
    pub deming: Option<f64>,
    /// Variance of the errors of R_b divided by that of E_b; 1 if unknown.
    pub error_ratio: f64,
    /// Reliability of E_b, the share of its variance that is not error; none if the errors are unknown.
    pub reliability: Option<f64>,
    /// s corrected for the known errors only.
    pub corrected: Option<f64>,
}

/// Variances and covariance of the errors of E_b and R_b per embedder, minus the part common to all embedders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErrorCovariance {
    /// Of E_b, σ_uu.
    pub embedder: f64,
    /// Of R_b, σ_ee.
    pub rag: f64,
    /// Of both, σ_ue.
    pub between: f64,
}

impl ErrorsInVariables {
    /// From points and, if known, their errors.
    ///
    /// With the moments m of the points (divisor n − 1) and Σ of the errors, Deming's slope is
    /// (m_xy − λσ_ue) / (m_xx − λσ_uu), λ the smaller root of |m − λΣ| = 0; for uncorrelated errors of equal variance
    /// it is the total least squares line. The corrected slope is (m_xy − σ_ue) / (m_xx − σ_uu), the reliability
    /// 1 − σ_uu / m_xx. Sources: Deming, *Statistical Adjustment of Data* (1943); Fuller, *Measurement Error Models*
    /// (1987), §1.3 (errors known up to a scale) and §2.2 (errors known, with additional scatter). Assumes errors of the same
    /// variance for all embedders.
    pub fn of(points: &Points, errors: Option<ErrorCovariance>) -> Self {
        let unknown = ErrorCovariance { embedder: 1.0, rag: 1.0, between: 0.0 };
        let sigma = errors.unwrap_or(unknown);
        let [xx, xy, yy] = moments(points);
        let b = f64::midpoint(xx * sigma.rag, yy * sigma.embedder) - xy * sigma.between;
        let a = sigma.embedder * sigma.rag - sigma.between * sigma.between;
        let c = xx * yy - xy * xy;
        // This form also holds for errors on a line, a = 0; without errors λ does not matter.
        let divisor = b + (b * b - a * c).max(0.0).sqrt();
        let lambda = if divisor > 0.0 { c.max(0.0) / divisor } else { 0.0 };
        let slope = |weight: f64| {
            let rest = xx - weight * sigma.embedder;
            (rest > 1e-12 * xx).then(|| (xy - weight * sigma.between) / rest)
        };
        Self {
            deming: slope(lambda),
            error_ratio: if sigma.embedder > 0.0 { (sigma.rag / sigma.embedder).min(f64::MAX) } else { 1.0 },
            reliability: errors.map(|_| (1.0 - sigma.embedder / xx).max(0.0)),
            corrected: errors.and_then(|_| slope(1.0)),
        }
    }
}

/// Variance of E_b, covariance, variance of R_b.
fn moments(points: &Points) -> [f64; 3] {
    let n = points.len() as f64;
    let (x, y) = points.pairs().fold((0.0, 0.0), |sum, (x, y)| (sum.0 + x / n, sum.1 + y / n));
    points.pairs().fold([0.0; 3], |[xx, xy, yy], (px, py)| {
        let (dx, dy) = (px - x, py - y);
        [xx + dx * dx / (n - 1.0), xy + dx * dy / (n - 1.0), yy + dy * dy / (n - 1.0)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points() -> Points {
        Points::new(vec![-0.7, -0.4, 0.1, 0.3, 0.8], vec![-0.5, -0.35, -0.1, 0.1, 0.15]).unwrap()
    }

    #[test]
    fn errors_that_share_nothing_attenuate_and_errors_along_the_line_do_not() {
        let of = |embedder, rag, between| {
            ErrorsInVariables::of(&points(), Some(ErrorCovariance { embedder, rag, between }))
        };
        let exact = of(0.0, 0.01, 0.0);
        let ols = exact.corrected.unwrap();
        assert_eq!((exact.reliability, exact.deming), (Some(1.0), Some(ols)));
        let noisy = of(0.03, 0.01, 0.0);
        assert!((noisy.corrected.unwrap() * noisy.reliability.unwrap() - ols).abs() < 1e-12, "{noisy:?}");
        let along = of(0.03, 0.03 * ols * ols, 0.03 * ols);
        assert!((along.corrected.unwrap() - ols).abs() < 1e-12, "{along:?}");
    }

    #[test]
    fn errors_as_large_as_the_differences_leave_no_corrected_slope() {
        let errors = ErrorCovariance { embedder: 9.0, rag: 1.0, between: 0.0 };
        let swamped = ErrorsInVariables::of(&points(), Some(errors));
        assert_eq!((swamped.corrected, swamped.reliability), (None, Some(0.0)));
    }
}
