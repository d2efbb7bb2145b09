use ndarray::{Array1, Array2, ArrayView1, ArrayViewMut1, s};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::counts::{Biases, TopicCounts};
use crate::deming::ErrorCovariance;
use crate::draws::Units;
use crate::resamples::{Coefficients, Draw, Resamples};
use crate::{ConflictFit, Error, Line, Points, Resampled, Result};

/// Fits the line of a family, with intervals from draws of topics and embedders.
///
/// A draw takes as many topics as there are, with replacement, the same ones for every embedder and for L_b; recomputes
/// E_b, R_b and L_b; takes as many embedders as there are, with replacement; and fits R_b = β0 + s·E_b again. The questions
/// of a topic stay together, because they are not independent (Field & Welsh, J. R. Stat. Soc. B 69 (2007) 369–390), and so
/// do the embedders' answers to them. Drawing topics accounts for another choice of questions, drawing embedders for another
/// family made in the same way. `docs/statistics.md` describes how draws become intervals.
///
/// Assumes that topics are exchangeable, and embedders too. With outcomes of fewer than five topics, draws understate the spread.
///
/// ```
/// use ragbias_stats::{JointBootstrap, Points, TargetStatus};
///
/// let (embedder_bias, rag_bias) = (vec![-0.8, -0.4, 0.0, 0.4, 0.8], vec![-0.51, -0.29, -0.12, 0.11, 0.29]);
/// let fit = JointBootstrap::default().fit_points(Points::new(embedder_bias, rag_bias)?, 0.0)?;
/// assert!(fit.sensitivity.low > 0.4 && fit.sensitivity.high < 0.6);
/// assert_eq!(fit.target.status, TargetStatus::Ok); // R_b = 0 at an E_b of about +0.2
/// # Ok::<(), ragbias_stats::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JointBootstrap {
    pub(crate) draws: usize,
    seed: u64,
    keep_embedders: bool,
}

impl Default for JointBootstrap {
    /// 10,000 draws, seed 0, embedders resampled.
    fn default() -> Self {
        Self::new(10_000, 0)
    }
}

/// Number of draws whose topics are summed in one matrix product.
pub(crate) const BATCH: usize = 64;

impl JointBootstrap {
    /// | parameter | purpose | range |
    /// | --- | --- | --- |
    /// | `draws` | resamples; with 10,000 the interval's ends err by about 1% of its width | 200 and more; less is taken as 200 |
    /// | `seed` | the same seed gives the same draws | any |
    pub fn new(draws: usize, seed: u64) -> Self {
        Self { draws: draws.max(200), seed, keep_embedders: false }
    }

    /// Draws only topics: intervals for the line through these same embedders, rather than through a family like theirs.
    #[must_use]
    pub fn keeping_embedders(self) -> Self {
        Self { keep_embedders: true, ..self }
    }

    /// The line through the embedders of these outcomes.
    ///
    /// # Errors
    /// Embedders that determine no line, see [`Points::new`]; draws most of which have none.
    pub fn fit(&self, counts: &TopicCounts) -> Result<ConflictFit> {
        let points = counts.points()?;
        let line = Line::fit(&points)?;
        let (sums, all) = (counts.sums(), counts.llm_bias());
        let (n, topics) = (points.len(), sums.nrows());
        let fixed = Array1::ones(n);
        let estimate = Coefficients::of(&line, all);
        let mut draws = Vec::with_capacity(self.draws);
        let mut errors = Errors::default();
        let (mut topic_weights, mut embedder_weights) =
            (Array2::<f64>::zeros((BATCH, topics)), Array2::<f64>::zeros((BATCH, n)));
        for start in (0..self.draws).step_by(BATCH) {
            topic_weights.fill(0.0);
            embedder_weights.fill(0.0);
            let rows = BATCH.min(self.draws - start);
            for row in 0..rows {
                let mut rng = self.rng(start + row);
                draw(&mut rng, topic_weights.row_mut(row));
                draw(&mut rng, embedder_weights.row_mut(row));
            }
            let drawn = topic_weights.slice(s![..rows, ..]).dot(sums);
            for (row, weights) in drawn.rows().into_iter().zip(embedder_weights.rows()) {
                let Some(Biases { embedder, rag, llm }) = counts.biases(row) else {
                    draws.push(None);
                    continue;
                };
                errors.add(&points, &embedder, &rag);
                let topics = weighted(&embedder, &rag, fixed.view(), llm);
                draws.push(if self.keep_embedders {
                    topics.map(|topics| Draw { both: topics, topics, embedders: estimate })
                } else {
                    let both = weighted(&embedder, &rag, weights, llm);
                    let embedders = weighted(points.embedder_bias(), points.rag_bias(), weights, all);
                    both.zip(topics).zip(embedders).map(|((both, topics), embedders)| Draw {
                        both,
                        topics,
                        embedders,
                    })
                });
            }
        }
        let units = Units { topics: Some(topics), embedders: (!self.keep_embedders).then_some(n) };
        let resampled = if self.keep_embedders { Resampled::Topics } else { Resampled::TopicsAndEmbedders };
        let resamples = Resamples { draws, units }.checked()?;
        ConflictFit::new(points, line, all, resampled, resamples, errors.covariance(n, topics))
    }

    /// The line through points without outcomes: only embedders are drawn, so the intervals do not cover other questions,
    /// and are too narrow.
    ///
    /// # Errors
    /// L_b outside [−1, 1]; draws most of which have no line.
    pub fn fit_points(&self, points: Points, llm_bias: f64) -> Result<ConflictFit> {
        if !(-1.0..=1.0).contains(&llm_bias) {
            return Err(Error::Range { place: "L_b".into(), received: llm_bias });
        }
        let (line, n) = (Line::fit(&points)?, points.len());
        let estimate = Coefficients::of(&line, llm_bias);
        let draws = (0..self.draws)
            .map(|number| {
                let mut weights = Array1::zeros(n);
                draw(&mut self.rng(number), weights.view_mut());
                weighted(points.embedder_bias(), points.rag_bias(), weights.view(), llm_bias)
                    .map(|both| Draw { both, topics: estimate, embedders: both })
            })
            .collect();
        let units = Units { topics: None, embedders: Some(n) };
        let resamples = Resamples { draws, units }.checked()?;
        ConflictFit::new(points, line, llm_bias, Resampled::Embedders, resamples, None)
    }

    /// A random generator per draw, so that the draw with the same number has the same topics in another fit.
    pub(crate) fn rng(&self, number: usize) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(number as u64);
        rng
    }
}

/// How often each of n is drawn in n draws with replacement.
pub(crate) fn draw(rng: &mut ChaCha8Rng, mut weights: ArrayViewMut1<f64>) {
    let n = weights.len();
    for _ in 0..n {
        weights[rng.random_range(0..n)] += 1.0;
    }
}

/// The weighted least-squares line; none if all drawn embedders have the same E_b.
fn weighted(x: &[f64], y: &[f64], weights: ArrayView1<f64>, llm_bias: f64) -> Option<Coefficients> {
    let triples = || x.iter().zip(y).zip(weights).map(|((x, y), w)| (*x, *y, *w));
    let (n, sx, sy) =
        triples().fold((0.0, 0.0, 0.0), |(n, sx, sy), (x, y, w)| (n + w, sx + w * x, sy + w * y));
    let (mean_x, mean_y) = (sx / n, sy / n);
    let (xx, xy, yy) = triples().fold((0.0, 0.0, 0.0), |(xx, xy, yy), (x, y, w)| {
        let (dx, dy) = (x - mean_x, y - mean_y);
        (xx + w * dx * dx, xy + w * dx * dy, yy + w * dy * dy)
    });
    (xx > 1e-12).then(|| {
        let slope = xy / xx;
        let intercept = mean_y - slope * mean_x;
        let r_squared = if yy > 1e-18 { (xy * xy / (xx * yy)).min(1.0) } else { 0.0 };
        Coefficients { slope, intercept, residual: intercept - llm_bias, r_squared }
    })
}

/// Sums over draws of the deviations of an embedder's E_b and R_b from the estimates, minus the mean over embedders.
#[derive(Default)]
struct Errors {
    draws: f64,
    sums: [f64; 3],
}

impl Errors {
    fn add(&mut self, points: &Points, embedder: &[f64], rag: &[f64]) {
        let n = points.len() as f64;
        let shift = |drawn: &[f64], all: &[f64]| drawn.iter().zip(all).map(|(d, a)| d - a).sum::<f64>() / n;
        let (shift_x, shift_y) = (shift(embedder, points.embedder_bias()), shift(rag, points.rag_bias()));
        for ((x, y), (drawn_x, drawn_y)) in points.pairs().zip(embedder.iter().zip(rag)) {
            let (u, e) = (drawn_x - x - shift_x, drawn_y - y - shift_y);
            self.sums[0] += u * u;
            self.sums[1] += e * e;
            self.sums[2] += u * e;
        }
        self.draws += 1.0;
    }

    /// The variance of draws is (T − 1)/T of that of a set of T topics.
    fn covariance(&self, n: usize, topics: usize) -> Option<ErrorCovariance> {
        let topics = topics as f64;
        let scale = topics / (topics - 1.0) / (n as f64 - 1.0) / self.draws;
        let [embedder, rag, between] = self.sums.map(|sum| sum * scale);
        (self.draws > 0.0).then_some(ErrorCovariance { embedder, rag, between })
    }
}
