use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::draws::quantile;
use crate::labelled::{LEANS, LabelledTopics, ScoredTopics, TopicDraws, level};
use crate::{Error, Estimate, Result};

/// A bias corrected for the errors of its scorer, by inverting the matrix of its misclassifications.
///
/// M is the matrix of P(scored lean | gold lean) over the scored texts of the labelled sample, o the share of each lean in the
/// measurement. With gold leans −1, 0 and +1 in the sample, the corrected shares π solve Mᵀπ = o, and the bias is π₊ − π₋, in [−1, 1].
/// With two of them, it is assumed that the measured texts are of these two kinds: the mean of o and the means m_a, m_b of the rows
/// of M give π_a = (ō − m_b)/(m_a − m_b), which for a scorer of ±1 is the estimator of Rogan & Gladen, *Estimating prevalence from
/// the results of a screening test*, Am. J. Epidemiol. 107 (1978) 71–76; the matrix form is that of Levy & Kass, *A three-population
/// model for sequential screening for bacteriuria*, Am. J. Epidemiol. 91 (1970) 148–154, for any number of states.
///
/// It assumes that the scorer errs as often on the measured texts as on the labelled ones of the same gold lean; which leans
/// are how frequent among the labelled ones does not matter.
///
/// The interval is an expanded percentile interval over draws of topics of both samples, independently, so that it includes the
/// error of the calibration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoganGladen {
    draws: usize,
    seed: u64,
}

impl RoganGladen {
    /// `draws` resamples, at least 100.
    pub fn new(draws: usize, seed: u64) -> Self {
        Self { draws: draws.max(100), seed }
    }

    /// The corrected bias of a measurement.
    ///
    /// # Errors
    /// [`Error::TooFew`] for fewer than two topics in either sample, or two gold leans; [`Error::Uninformative`] if verdicts and
    /// labels are not positively related in at least 97.5% of the draws.
    pub fn correct(&self, measured: &ScoredTopics, labelled: &LabelledTopics) -> Result<Estimate> {
        let (rows, scored) = (measured.topics(), labelled.scored());
        let fewest = |what: &'static str, received: usize| match received {
            0 | 1 => Err(Error::TooFew { what, expected: 2, received }),
            _ => Ok(()),
        };
        fewest("measured topics with a scored text", rows.len())?;
        fewest("labelled topics with a scored text", scored.len())?;
        let mut confusion = [[0.0; 3]; 3];
        for topic in &scored {
            add(&mut confusion, topic);
        }
        let states: Vec<usize> = (0..3).filter(|&gold| confusion[gold].iter().sum::<f64>() > 0.0).collect();
        fewest("gold leans of scored texts", states.len())?;
        let units = rows.len().min(scored.len());
        let mut shares = [[0.0; 3]];
        for topic in rows {
            add(&mut shares, &[*topic]);
        }
        let value = solve(&shares[0], &confusion, &states).ok_or(Error::Uninformative)?;
        let measured = TopicDraws::new(rows.iter().map(|topic| [*topic]).collect(), [None]);
        let labelled = TopicDraws::new(scored, [Some(0), Some(1), Some(2)]);
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut values: Vec<f64> = (0..self.draws)
            .filter_map(|_| {
                let [shares] = measured.draw(&mut rng);
                solve(&shares, &labelled.draw(&mut rng), &states)
            })
            .collect();
        if (values.len() as f64) < 0.975 * self.draws as f64 {
            return Err(Error::Uninformative);
        }
        values.sort_by(f64::total_cmp);
        let level = level(units);
        Ok(Estimate::within(value, quantile(&values, level), quantile(&values, 1.0 - level)))
    }
}

fn add<const K: usize>(sums: &mut [[f64; 3]; K], topic: &[[f64; 3]; K]) {
    for (sums, counts) in sums.iter_mut().zip(topic) {
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
}

fn shares(counts: &[f64; 3]) -> Option<[f64; 3]> {
    let n: f64 = counts.iter().sum();
    (n > 0.0).then(|| counts.map(|count| count / n))
}

/// Below this, a determinant is rounding alone.
const SINGULAR: f64 = 1e-9;

/// The corrected bias; none if a gold lean has no text, or verdicts are not positively related to labels.
fn solve(measured: &[f64; 3], confusion: &[[f64; 3]; 3], states: &[usize]) -> Option<f64> {
    let observed = shares(measured)?;
    let mut rows = [[0.0; 3]; 3];
    for &gold in states {
        rows[gold] = shares(&confusion[gold])?;
    }
    let bias = if let [low, high] = *states {
        let mean =
            |shares: &[f64; 3]| shares.iter().zip(LEANS).map(|(share, lean)| share * lean).sum::<f64>();
        let apart = mean(&rows[high]) - mean(&rows[low]);
        if apart <= SINGULAR {
            return None;
        }
        let share = (mean(&observed) - mean(&rows[low])) / apart;
        (1.0 - share) * LEANS[low] + share * LEANS[high]
    } else {
        let whole = determinant(&rows);
        if whole <= SINGULAR {
            return None;
        }
        // Cramer's rule: π_g is the determinant with row g of M replaced by what was observed, over that of M.
        let part = |gold: usize| {
            let mut replaced = rows;
            replaced[gold] = observed;
            determinant(&replaced) / whole
        };
        part(2) - part(0)
    };
    Some(bias.clamp(-1.0, 1.0))
}

fn determinant(m: &[[f64; 3]; 3]) -> f64 {
    let minor = |a: usize, b: usize| m[1][a] * m[2][b] - m[1][b] * m[2][a];
    m[0][0] * minor(1, 2) - m[0][1] * minor(0, 2) + m[0][2] * minor(0, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_agrees_with_numpy() {
        // scripts/reference/calibration.py: np.linalg.solve(M.T, o), and the two-state formula.
        let confusion = [[30.0, 4.0, 6.0], [3.0, 12.0, 5.0], [8.0, 2.0, 40.0]];
        let measured = [50.0, 20.0, 130.0];
        let bias = solve(&measured, &confusion, &[0, 1, 2]).unwrap();
        assert!((bias - 0.601_208_459_214_501_5).abs() < 1e-12, "{bias}");
        let two = [[35.0, 0.0, 5.0], [0.0; 3], [10.0, 0.0, 40.0]];
        let bias = solve(&[50.0, 0.0, 130.0], &two, &[0, 2]).unwrap();
        assert!((bias - 0.769_547_325_102_880_8).abs() < 1e-12, "{bias}");
    }

    #[test]
    fn a_scorer_without_errors_is_left_as_it_is_and_one_that_guesses_is_refused() {
        let right = [[40.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 50.0]];
        let bias = solve(&[10.0, 10.0, 20.0], &right, &[0, 1, 2]).unwrap();
        assert!((bias - 0.25).abs() < 1e-12);
        let guesses = [[20.0, 0.0, 20.0], [0.0; 3], [25.0, 0.0, 25.0]];
        assert_eq!(solve(&[10.0, 0.0, 20.0], &guesses, &[0, 2]), None);
        let backwards = [[5.0, 0.0, 35.0], [0.0; 3], [40.0, 0.0, 10.0]];
        assert_eq!(solve(&[10.0, 0.0, 20.0], &backwards, &[0, 2]), None);
    }

    #[test]
    fn swapping_the_poles_negates_the_corrected_bias() {
        let confusion = [[30.0, 4.0, 6.0], [3.0, 12.0, 5.0], [8.0, 2.0, 40.0]];
        let swapped = |row: [f64; 3]| [row[2], row[1], row[0]];
        let other = [swapped(confusion[2]), swapped(confusion[1]), swapped(confusion[0])];
        let measured = [60.0, 30.0, 90.0];
        let bias = solve(&measured, &confusion, &[0, 1, 2]).unwrap();
        let mirrored = solve(&swapped(measured), &other, &[0, 1, 2]).unwrap();
        assert!((bias + mirrored).abs() < 1e-12, "{bias} {mirrored}");
        assert!(bias.abs() > 0.05, "{bias}");
    }
}
