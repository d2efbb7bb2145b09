//! Intervals of a mean over two kinds of units at once.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Estimate;
use crate::draws::quantile;

/// The mean of values that two kinds of units cross in, such as seeds and topics, with a 95% percentile interval from resampling both.
///
/// `values[i][j]` is the value of unit i of the first kind and unit j of the second; every row has as many. Rows and columns are drawn with
/// replacement, independently. Source: Owen, *The pigeonhole bootstrap*, Ann. Appl. Stat. 1 (2007) 386–411,
/// <https://doi.org/10.1214/07-AOAS122>, by which the interval is at least as wide as it should be. With one row only columns are resampled,
/// and the interval is of that one unit.
///
/// None for fewer than two columns, rows of different length, and values that are not finite.
pub fn crossed_mean(values: &[Vec<f64>], draws: usize, seed: u64) -> Option<Estimate> {
    let (rows, columns) = (values.len(), values.first()?.len());
    let is_whole = values.iter().all(|row| row.len() == columns && row.iter().all(|value| value.is_finite()));
    if columns < 2 || !is_whole {
        return None;
    }
    let count = (rows * columns) as f64;
    let mean = values.iter().flatten().sum::<f64>() / count;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut times, mut drawn) = (vec![0_u32; columns], vec![0.0; draws.max(100)]);
    for draw in &mut drawn {
        times.fill(0);
        for _ in 0..columns {
            times[rng.random_range(0..columns)] += 1;
        }
        let of_row = |row: &Vec<f64>| -> f64 { row.iter().zip(&times).map(|(v, &t)| v * f64::from(t)).sum() };
        let total: f64 = (0..rows).map(|_| of_row(&values[rng.random_range(0..rows)])).sum();
        *draw = total / count;
    }
    drawn.sort_by(f64::total_cmp);
    Some(Estimate::within(mean, quantile(&drawn, 0.025), quantile(&drawn, 0.975)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_has_the_variances_of_rows_and_of_columns() {
        // Effects of ±1 of 50 rows and ±2 of 100 columns: variances of the mean 1/50 and 4/100.
        let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
        let values: Vec<Vec<f64>> =
            (0..50).map(|i| (0..100).map(|j| 3.0 + sign(i) + 2.0 * sign(j)).collect()).collect();
        let estimate = crossed_mean(&values, 4000, 0).unwrap();
        let error = (1.0_f64 / 50.0 + 4.0 / 100.0).sqrt();
        assert!((estimate.value - 3.0).abs() < 1e-12);
        let width = (estimate.high - estimate.low) / (2.0 * 1.96 * error);
        assert!((width - 1.0).abs() < 0.05, "{width}");
    }

    #[test]
    fn equal_values_have_no_width_and_one_column_no_interval() {
        let estimate = crossed_mean(&[vec![0.5; 4], vec![0.5; 4]], 200, 0).unwrap();
        assert_eq!((estimate.low, estimate.high), (0.5, 0.5));
        assert!(crossed_mean(&[vec![0.5]], 200, 0).is_none());
        assert!(crossed_mean(&[vec![0.5, f64::NAN]], 200, 0).is_none());
        assert!(crossed_mean(&[vec![0.5, 0.5], vec![0.5]], 200, 0).is_none());
    }
}
