use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use crate::line::{least_squares, total_squares};
use crate::{Line, Points, Result};

/// |E_b| or |R_b| above this is close to the end of its range, where the relation cannot stay linear.
pub const SATURATION: f64 = 0.95;

/// Whether a line fits, and how strongly it depends on single embedders.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Linearity {
    /// The line against a parabola; none with fewer than four embedders or three values of E_b.
    pub lack_of_fit: Option<LackOfFit>,
    /// The largest |s − s without one embedder|.
    pub largest_change: f64,
    /// Root mean square of R_b minus its prediction by the line through all other embedders.
    pub prediction_error: f64,
    /// The largest leverage; two or three times 2/n is high, and at 1 the line depends on a single embedder.
    pub largest_leverage: f64,
    /// Embedders with |E_b| or |R_b| above [`SATURATION`].
    pub saturated: usize,
}

/// F test of the line against a parabola.
///
/// F = (Σr² of the line − Σr² of the parabola) / (Σr² of the parabola / (n − 3)), p from F(1, n − 3). A small p indicates
/// curvature. Source: Draper & Smith, *Applied Regression Analysis* (3rd ed. 1998), §6.1, the extra sum of squares.
/// Assumes independent embedders, which members of one family are not: p tends to be too small.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LackOfFit {
    /// Coefficient of E_b².
    pub curvature: f64,
    /// F.
    pub f: f64,
    /// Its p value.
    pub p: f64,
}

impl Linearity {
    /// The diagnostics of a line through points. Those without one embedder follow from the leverages: r / (1 − h), and
    /// s − s₍ᵢ₎ = (x − x̄)·r / ((1 − h)·S). Source: Cook & Weisberg, *Residuals and Influence in Regression* (1982), §2.2.
    ///
    /// # Errors
    /// Those of the regression, which checked points never cause.
    pub fn of(points: &Points, line: &Line) -> Result<Self> {
        let (mut change, mut squared, mut predicted, mut leverage) = (0.0_f64, 0.0, 0_usize, 0.0_f64);
        for (x, y) in points.pairs() {
            let h = line.leverage(x);
            leverage = leverage.max(h);
            // Without an embedder of leverage 1 all others have the same E_b, and no line.
            if 1.0 - h > 1e-9 {
                let residual = (y - line.at(x)) / (1.0 - h);
                change = change.max(((x - line.mean()) * residual / line.squares()).abs());
                squared += residual * residual;
                predicted += 1;
            }
        }
        let near_the_end = |(x, y): &(f64, f64)| x.abs() > SATURATION || y.abs() > SATURATION;
        Ok(Self {
            lack_of_fit: LackOfFit::of(points, line)?,
            largest_change: change,
            prediction_error: (squared / predicted.max(1) as f64).sqrt(),
            largest_leverage: leverage.min(1.0),
            saturated: points.pairs().filter(near_the_end).count(),
        })
    }
}

impl LackOfFit {
    fn of(points: &Points, line: &Line) -> Result<Option<Self>> {
        let mut values = points.embedder_bias().to_vec();
        values.sort_by(f64::total_cmp);
        values.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
        let n = points.len();
        if n < 4 || values.len() < 3 {
            return Ok(None);
        }
        // Centred on the mean, where E_b and its square are least correlated.
        let terms = |x: f64| [x - line.mean(), (x - line.mean()).powi(2)];
        let ([slope, curvature], intercept) = least_squares(points, terms)?;
        let parabola = |x: f64| {
            let [linear, square] = terms(x);
            intercept + slope * linear + curvature * square
        };
        let squares =
            |model: &dyn Fn(f64) -> f64| points.pairs().map(|(x, y)| (y - model(x)).powi(2)).sum::<f64>();
        let (straight, bent) = (squares(&|x| line.at(x)), squares(&parabola));
        // Points on a line up to rounding show no curvature.
        if straight <= 1e-18 * total_squares(points).max(1.0) {
            return Ok(Some(Self { curvature, f: 0.0, p: 1.0 }));
        }
        let degrees = (n - 3) as f64;
        let f = ((straight - bent).max(0.0) * degrees / bent).min(f64::MAX);
        let distribution =
            FisherSnedecor::new(1.0, degrees).expect("degrees of freedom above 0; this is a bug");
        Ok(Some(Self { curvature, f, p: distribution.sf(f) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(x: &[f64], y: &[f64]) -> Linearity {
        let points = Points::new(x.to_vec(), y.to_vec()).unwrap();
        Linearity::of(&points, &Line::fit(&points).unwrap()).unwrap()
    }

    #[test]
    fn points_on_a_line_do_not_bend_and_points_on_a_parabola_do() {
        let x = [-0.9, -0.5, -0.1, 0.2, 0.6, 0.96];
        let straight = of(&x, &x.map(|x| 0.5 * x - 0.1));
        assert_eq!(straight.lack_of_fit.unwrap().p, 1.0);
        assert!(straight.largest_change < 1e-12 && straight.prediction_error < 1e-12, "{straight:?}");
        assert_eq!(straight.saturated, 1);
        let bent = of(&x, &x.map(|x| 0.5 * x * x));
        assert!(bent.lack_of_fit.unwrap().p < 1e-6, "{bent:?}");
        assert!((bent.lack_of_fit.unwrap().curvature - 0.5).abs() < 1e-9, "{bent:?}");
    }

    #[test]
    fn a_line_that_hangs_on_one_embedder_says_so() {
        let hanging = of(&[0.0, 0.0, 0.0, 0.8], &[0.1, 0.0, -0.1, 0.4]);
        assert_eq!(hanging.largest_leverage, 1.0);
        assert!(hanging.lack_of_fit.is_none() && hanging.prediction_error.is_finite(), "{hanging:?}");
    }
}
