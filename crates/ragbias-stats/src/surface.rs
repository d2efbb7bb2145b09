use ndarray::{Array2, s};
use serde::{Deserialize, Serialize};
use statrs::distribution::ContinuousCDF;

use crate::counts::{Biases, TopicCounts};
use crate::draws::{Distribution, Draws, Units};
use crate::joint::{BATCH, JointBootstrap, draw};
use crate::least_squares::{Factor, gram};
use crate::line::student;
use crate::{Error, Estimate, Result};

/// Coefficients of the surface.
const TERMS: usize = 4;

/// How R_b follows the embedder's bias and the corpus's: R_b = β0 + s·E_b + c·C_b + m·E_b·C_b over pairs of a corpus and an embedder.
///
/// Least squares over all pairs. With the matrix X of the columns 1, E_b, C_b, E_b·C_b: β = (XᵀX)⁻¹Xᵀy, σ² = Σ residual²/(n − 4), the
/// plain standard errors are the roots of the diagonal of σ²(XᵀX)⁻¹, and R² is 1 − Σ residual²/Σ(y − ȳ)². Source: Draper & Smith,
/// *Applied Regression Analysis* (3rd ed. 1998), ch. 5. These errors take pairs for independent, which they are not: they share
/// questions. The intervals are those of draws of topics, in which E_b and R_b of every pair are computed again and the surface is
/// fitted again, as in a [`JointBootstrap`] that keeps its embedders. C_b is kept: it is a property of the corpora as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Surface {
    /// Number of pairs of a corpus and an embedder.
    pub n: usize,
    /// β0: R_b where E_b = C_b = 0.
    pub intercept: Estimate,
    /// s: how strongly R_b follows E_b in a corpus of C_b = 0.
    pub sensitivity: Estimate,
    /// c: how strongly R_b follows C_b where E_b = 0.
    pub corpus_effect: Estimate,
    /// m: how much s changes with C_b.
    pub interaction: Estimate,
    /// Plain standard errors of β0, s, c and m: too small, as pairs share questions.
    pub plain_errors: [f64; TERMS],
    /// Plain t intervals of β0, s, c and m.
    pub plain_intervals: [Estimate; TERMS],
    /// R²; none if all R_b are equal.
    pub r_squared: Option<f64>,
    /// Number of topics.
    pub topics: usize,
    /// Number of draws that have a surface.
    pub draws: usize,
}

/// A surface of least squares.
struct Fit {
    coefficients: [f64; TERMS],
    /// Diagonal of (XᵀX)⁻¹.
    inverse: [f64; TERMS],
}

impl JointBootstrap {
    /// The surface through pairs of a corpus and an embedder: each embedder of the counts is one pair, with the C_b of its corpus.
    ///
    /// # Errors
    /// Another number of C_b than of pairs; a C_b outside [−1, 1]; fewer than six pairs; pairs that determine no surface, such as those
    /// of one C_b or of one E_b in each corpus; draws most of which have none.
    pub fn fit_surface(&self, counts: &TopicCounts, corpus_bias: &[f64]) -> Result<Surface> {
        let Biases { embedder, rag, .. } = counts.all();
        let n = rag.len();
        if corpus_bias.len() != n {
            return Err(Error::Lengths { expected: n, received: corpus_bias.len() });
        }
        if let Some(bad) = corpus_bias.iter().position(|value| !(-1.0..=1.0).contains(value)) {
            let place = format!("C_b of pair number {}", bad + 1);
            return Err(Error::Range { place, received: corpus_bias[bad] });
        }
        if n < TERMS + 2 {
            let what = "pairs of a corpus and an embedder";
            return Err(Error::TooFew { what, expected: TERMS + 2, received: n });
        }
        let fit = Fit::of(&embedder, corpus_bias, &rag).ok_or(Error::NoSurface { pairs: n })?;
        let drawn = self.surfaces(counts, corpus_bias);
        if 2 * drawn.len() < self.draws {
            return Err(Error::NoLine { draws: self.draws, received: drawn.len() });
        }
        let units = Units { topics: Some(counts.topics().len()), embedders: None };
        let interval = |term: usize| {
            let (estimate, both) =
                (fit.coefficients[term], drawn.iter().map(|drawn| drawn[term]).collect::<Vec<_>>());
            let draws = Draws { estimate, topics: both.clone(), embedders: vec![estimate; both.len()], both };
            Distribution::new(draws, units).interval()
        };
        let (errors, r_squared) = fit.errors(&embedder, corpus_bias, &rag);
        let critical = student((n - TERMS) as f64).inverse_cdf(0.975);
        let plain_intervals = std::array::from_fn(|term| {
            let (value, half) = (fit.coefficients[term], critical * errors[term]);
            Estimate { value, low: value - half, high: value + half }
        });
        Ok(Surface {
            n,
            intercept: interval(0),
            sensitivity: interval(1),
            corpus_effect: interval(2),
            interaction: interval(3),
            plain_errors: errors,
            plain_intervals,
            r_squared,
            topics: counts.topics().len(),
            draws: drawn.len(),
        })
    }

    /// The coefficients of every draw of topics that has a surface.
    fn surfaces(&self, counts: &TopicCounts, corpus_bias: &[f64]) -> Vec<[f64; TERMS]> {
        let (sums, mut found) = (counts.sums(), Vec::with_capacity(self.draws));
        let mut weights = Array2::<f64>::zeros((BATCH, sums.nrows()));
        for start in (0..self.draws).step_by(BATCH) {
            weights.fill(0.0);
            let rows = BATCH.min(self.draws - start);
            for row in 0..rows {
                draw(&mut self.rng(start + row), weights.row_mut(row));
            }
            for drawn in weights.slice(s![..rows, ..]).dot(sums).rows() {
                let surface =
                    counts.biases(drawn).and_then(|drawn| Fit::of(&drawn.embedder, corpus_bias, &drawn.rag));
                found.extend(surface.map(|fit| fit.coefficients));
            }
        }
        found
    }
}

fn terms(x: f64, c: f64) -> [f64; TERMS] {
    [1.0, x, c, x * c]
}

impl Fit {
    /// By the normal equations and their Cholesky factor; none if the columns are (nearly) linearly dependent.
    fn of(embedder: &[f64], corpus: &[f64], rag: &[f64]) -> Option<Self> {
        let rows = || embedder.iter().zip(corpus).map(|(x, c)| terms(*x, *c));
        let mut right = [0.0; TERMS];
        for (row, y) in rows().zip(rag) {
            for (sum, term) in right.iter_mut().zip(row) {
                *sum += term * y;
            }
        }
        let factor = Factor::of(&gram(rows(), TERMS))?;
        let (solution, inverse) = (factor.solve(&right), factor.inverse());
        Some(Self {
            coefficients: std::array::from_fn(|term| solution[term]),
            inverse: std::array::from_fn(|term| inverse[[term, term]]),
        })
    }

    /// The plain standard errors, and R².
    fn errors(&self, embedder: &[f64], corpus: &[f64], rag: &[f64]) -> ([f64; TERMS], Option<f64>) {
        let n = rag.len() as f64;
        let mean = rag.iter().sum::<f64>() / n;
        let (mut residual, mut total) = (0.0, 0.0);
        for ((x, c), y) in embedder.iter().zip(corpus).zip(rag) {
            let predicted: f64 = terms(*x, *c).iter().zip(self.coefficients).map(|(term, b)| term * b).sum();
            residual += (y - predicted).powi(2);
            total += (y - mean).powi(2);
        }
        let variance = residual / (n - TERMS as f64);
        let errors = self.inverse.map(|diagonal| (variance * diagonal).sqrt());
        (errors, (total > 1e-18).then(|| 1.0 - residual / total))
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::Lean;

    use super::*;
    use crate::QuestionOutcome;

    fn lean(value: i64) -> Lean {
        match value {
            1 => Lean::Positive,
            -1 => Lean::Negative,
            _ => Lean::Neutral,
        }
    }

    /// 12 topics of 5 questions, 3 corpora with 4 embedders each; scripts/reference/surface.py draws the same leans.
    fn counts() -> (TopicCounts, Vec<f64>) {
        let mut outcomes = Vec::new();
        let names: Vec<String> = (0..12).map(|pair| format!("{pair:02}")).collect();
        let topics: Vec<String> = (0..12).map(|topic| format!("t{topic:02}")).collect();
        let corpus = [-0.4, 0.0, 0.5];
        for (pair, name) in (0_i64..).zip(&names) {
            for (topic, topic_name) in (0_i64..).zip(&topics) {
                for question in 0..5 {
                    let mixed =
                        (7 * pair + 11 * topic * topic + 5 * question * (pair + 1) + 3 * topic * pair) % 12;
                    let level = 2 * (pair % 4) + pair / 4 * 2;
                    let document = if mixed < level {
                        1
                    } else if mixed > 10 {
                        0
                    } else {
                        -1
                    };
                    let answer = if (mixed + topic) % 3 == 0 {
                        document
                    } else {
                        ((topic + question + pair / 4) % 3) - 1
                    };
                    outcomes.push(QuestionOutcome {
                        embedder: name,
                        topic: topic_name,
                        document: Some(lean(document)),
                        answer: Some(lean(answer)),
                        llm: Some(lean((topic + question) % 3 - 1)),
                    });
                }
            }
        }
        let biases = (0..12).map(|pair| corpus[pair / 4]).collect();
        (TopicCounts::new(outcomes).unwrap(), biases)
    }

    #[test]
    fn coefficients_errors_and_intervals_are_those_of_statsmodels() {
        let (counts, corpus) = counts();
        let surface = JointBootstrap::new(20_000, 1).fit_surface(&counts, &corpus).unwrap();
        let estimates = [surface.intercept, surface.sensitivity, surface.corpus_effect, surface.interaction];
        for (term, estimate) in estimates.into_iter().enumerate() {
            assert!((estimate.value - COEFFICIENTS[term]).abs() < 1e-6, "{term}: {estimate:?}");
            assert!((surface.plain_errors[term] - ERRORS[term]).abs() < 1e-6, "{term}");
            let plain = surface.plain_intervals[term];
            assert!(
                (plain.low - INTERVALS[term].0).abs() < 1e-6 && (plain.high - INTERVALS[term].1).abs() < 1e-6
            );
            // Another generator of random numbers: the ends of 20,000 draws err by some percent of the width.
            let (low, high) = BOOTSTRAP[term];
            let tolerance = 0.04 * (high - low);
            assert!(
                (estimate.low - low).abs() < tolerance && (estimate.high - high).abs() < tolerance,
                "{term}: {estimate:?}"
            );
        }
        assert!((surface.r_squared.unwrap() - R_SQUARED).abs() < 1e-6);
        assert_eq!((surface.n, surface.topics, surface.draws), (12, 12, 20_000));
    }

    // scripts/reference/surface.py
    const COEFFICIENTS: [f64; TERMS] = [0.026_562_043_4, 0.331_609_475_2, -0.334_025_009_1, -0.048_492_647_8];
    const ERRORS: [f64; TERMS] = [0.050_226_098_2, 0.100_196_740_1, 0.135_364_052_4, 0.248_145_137_2];
    const INTERVALS: [(f64, f64); TERMS] = [
        (-0.089_259_546_7, 0.142_383_633_5),
        (0.100_555_378_1, 0.562_663_572_3),
        (-0.646_175_073_6, -0.021_874_944_5),
        (-0.620_716_360_3, 0.523_731_064_8),
    ];
    const R_SQUARED: f64 = 0.603_707_555_2;
    const BOOTSTRAP: [(f64, f64); TERMS] =
        [(-0.037_849, 0.088_641), (0.172_558, 0.519_494), (-0.511_237, -0.135_638), (-0.556_479, 0.376_821)];

    #[test]
    fn pairs_that_determine_no_surface_are_refused_by_name() {
        let (counts, corpus) = counts();
        let fit = |corpus: &[f64]| {
            JointBootstrap::new(200, 0).fit_surface(&counts, corpus).unwrap_err().to_string()
        };
        assert!(fit(&[0.2; 12]).contains("12 pairs of a corpus and an embedder determine no surface"));
        assert!(fit(&corpus[1..]).contains("received 11"));
        assert!(fit(&[vec![2.0], corpus[1..].to_vec()].concat()).contains("C_b of pair number 1"));
    }

    #[test]
    fn a_surface_without_scatter_is_found_exactly() {
        let (x, c): (Vec<f64>, Vec<f64>) =
            (0..20).map(|i| (f64::from(i % 5) / 5.0 - 0.4, f64::from(i / 5) / 4.0 - 0.3)).unzip();
        let y: Vec<f64> = x.iter().zip(&c).map(|(x, c)| 0.1 + 0.4 * x - 0.2 * c + 0.3 * x * c).collect();
        let fit = Fit::of(&x, &c, &y).unwrap();
        for (found, expected) in fit.coefficients.into_iter().zip([0.1, 0.4, -0.2, 0.3]) {
            assert!((found - expected).abs() < 1e-12);
        }
    }
}
