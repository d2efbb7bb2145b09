use linfa_linalg::eigh::EighInto;
use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::{Error, Result};

/// Least-squares concept erasure: the smallest affine change of vectors after which no linear classifier tells two classes apart.
///
/// With x a vector, z its class (0 or 1), μ the mean of all x, Σ their covariance and σ = Cov(x, z), let W = (Σ^½)⁺, the pseudo-inverse
/// of the root of Σ, and u = Wσ/‖Wσ‖. Then x ↦ x − a·bᵀ(x − μ) with a = W⁺u and b = Wu is the change with the least E‖r(x) − x‖² after
/// which Cov(r(x), z) = 0. Both classes then have the same mean, and no linear classifier has a lower convex loss than a constant.
/// a is the direction between the means of the classes; b, with bᵀa = 1, is Fisher's linear discriminant.
///
/// Source: Belrose, Schneider-Joseph, Ravfogel, Cotterell, Raff, Biderman, *LEACE: Perfect linear concept erasure in closed form*,
/// `NeurIPS` 2023, theorem 4.3, <https://arxiv.org/abs/2306.03819>. σ and Σ are estimated from the vectors it is fitted on, so that the
/// means are exactly equal on these, and nearly so on others of their kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Leace {
    mean: Array1<f64>,
    direction: Array1<f64>,
    discriminant: Array1<f64>,
}

/// How Σ is estimated from n vectors of dimension d.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shrinkage {
    /// S, the sample covariance with n − 1 in the denominator. Where n is not well above d, b follows the noise of the sample.
    None,
    /// α·S + β·I, with n in the denominator of S: β = (1 − α)·tr S/d and α = 1 − (tr S)²·‖I·tr S/d‖²/n / (‖S‖²·‖I·tr S/d‖² − ((tr S)²/d)²),
    /// at least 0. Source: Bodnar, Gupta, Parolya, *On the strong convergence of the optimal linear shrinkage estimator for large
    /// dimensional covariance matrix*, Journal of Multivariate Analysis 132 (2014), <https://arxiv.org/abs/1308.2608>.
    Linear,
}

impl Leace {
    /// Fits to vectors, `(n, d)`, and whether each is of the positive class.
    ///
    /// # Errors
    /// Fewer than two vectors of either class, numbers of vectors and classes that differ, a value that is not finite, classes of equal means.
    pub fn fit(vectors: ArrayView2<'_, f64>, positive: &[bool], shrinkage: Shrinkage) -> Result<Self> {
        let n = vectors.nrows();
        let positives = positive.iter().filter(|&&positive| positive).count();
        let refused = |expected, received: String| Err(Error::Erasure { expected, received });
        if n != positive.len() {
            return refused("a class for each", format!("{n} vectors and {} classes", positive.len()));
        }
        if positives < 2 || n - positives < 2 {
            let received = format!("{positives} positive and {} negative vectors", n - positives);
            return refused("at least 2 of each", received);
        }
        if let Some(value) = vectors.iter().find(|value| !value.is_finite()) {
            return refused("finite values", format!("a value is {value}"));
        }
        let count = n as f64;
        let mean = vectors.sum_axis(Axis(0)) / count;
        let centred = &vectors - &mean;
        let share = positives as f64 / count;
        let class: Array1<f64> =
            positive.iter().map(|&positive| f64::from(u8::from(positive)) - share).collect();
        let cross = centred.t().dot(&class) / (count - 1.0);
        let spectrum = Spectrum::of(&centred, shrinkage)?;
        let whitened = spectrum.scaled(&cross, |value| 1.0 / value.sqrt());
        let length = whitened.dot(&whitened).sqrt();
        // Wσ is a correlation: the scale of the vectors cancels.
        if length < 1e-9 {
            return refused("classes of different means", "both classes have the same mean".into());
        }
        let unit = whitened / length;
        Ok(Self {
            direction: spectrum.scaled(&unit, f64::sqrt),
            discriminant: spectrum.scaled(&unit, |value| 1.0 / value.sqrt()),
            mean,
        })
    }

    /// μ, `(d,)`.
    pub fn mean(&self) -> &Array1<f64> {
        &self.mean
    }

    /// a, `(d,)`: what is subtracted.
    pub fn direction(&self) -> &Array1<f64> {
        &self.direction
    }

    /// b, `(d,)`: how much of it, bᵀ(x − μ).
    pub fn discriminant(&self) -> &Array1<f64> {
        &self.discriminant
    }
}

/// Eigenvalues and eigenvectors of a covariance.
struct Spectrum {
    /// `(d,)`; those that are 0 but for rounding are 0.
    values: Array1<f64>,
    /// `(d, d)`, a column for each value.
    vectors: Array2<f64>,
}

impl Spectrum {
    /// Of the covariance of vectors with mean 0, `(n, d)`.
    fn of(centred: &Array2<f64>, shrinkage: Shrinkage) -> Result<Self> {
        let (n, d) = (centred.nrows() as f64, centred.ncols() as f64);
        let scatter = centred.t().dot(centred);
        let sample = scatter / if shrinkage == Shrinkage::None { n - 1.0 } else { n };
        let (trace, squares) = (sample.diag().sum(), sample.iter().map(|value| value * value).sum::<f64>());
        let (values, vectors) = sample.eigh_into()?;
        let values = match shrinkage {
            Shrinkage::None => values,
            Shrinkage::Linear => {
                let sphere = trace * trace / d;
                let spread = squares * sphere - sphere * sphere;
                let kept = if spread > 0.0 { 1.0 - trace * trace * sphere / n / spread } else { 0.0 };
                let kept = kept.max(0.0);
                values.mapv(|value| kept * value + (1.0 - kept) * trace / d)
            }
        };
        let largest = values.iter().copied().fold(0.0, f64::max);
        let least = largest * d * f64::EPSILON;
        Ok(Self { values: values.mapv(|value| if value > least { value } else { 0.0 }), vectors })
    }

    /// A vector multiplied by the matrix with the same eigenvectors and `scale` of the eigenvalues, except for those that are 0.
    fn scaled(&self, vector: &Array1<f64>, scale: impl Fn(f64) -> f64) -> Array1<f64> {
        let mut along = self.vectors.t().dot(vector);
        for (component, &value) in along.iter_mut().zip(&self.values) {
            *component *= if value > 0.0 { scale(value) } else { 0.0 };
        }
        self.vectors.dot(&along)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors and classes, as in `scripts/reference/leace.py`.
    fn fixed(n: usize, d: usize) -> (Array2<f64>, Vec<bool>) {
        let positive: Vec<bool> = (0..n).map(|i| i % 5 < 2).collect();
        let value = |(row, column): (usize, usize)| {
            let noise = 37 * row * row
                + 11 * row * column * column
                + 7 * column * column * column
                + 5 * row * (column + 1);
            let shift = if positive[row] { 0.3 * ((column % 3) as f64 - 1.0) } else { 0.0 };
            (noise % 101) as f64 / 101.0 - 0.5 + shift
        };
        (Array2::from_shape_fn((n, d), value), positive)
    }

    fn erased(leace: &Leace, vectors: &Array2<f64>) -> Array2<f64> {
        let along = (vectors - leace.mean()).dot(leace.discriminant());
        let removed = along.insert_axis(Axis(1)).dot(&leace.direction().clone().insert_axis(Axis(0)));
        vectors - removed
    }

    fn mean(vectors: &Array2<f64>, positive: &[bool], class: bool) -> Array1<f64> {
        let rows: Vec<usize> = (0..positive.len()).filter(|&row| positive[row] == class).collect();
        vectors.select(Axis(0), &rows).mean_axis(Axis(0)).unwrap()
    }

    #[test]
    fn erased_vectors_are_those_of_concept_erasure() {
        for (n, d, shrinkage, rows) in REFERENCE {
            let (vectors, positive) = fixed(n, d);
            let leace = Leace::fit(vectors.view(), &positive, shrinkage).unwrap();
            let erased = erased(&leace, &vectors);
            for (row, expected) in rows {
                for (value, expected) in erased.row(row).iter().zip(expected) {
                    assert!(
                        (value - expected).abs() < 1e-6,
                        "{n} {d} {shrinkage:?}: {value}, expected {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_means_of_both_classes_are_equal_after_erasure_and_differ_before() {
        for (n, d) in [(60, 6), (8, 12)] {
            for shrinkage in [Shrinkage::None, Shrinkage::Linear] {
                let (vectors, positive) = fixed(n, d);
                let apart = |vectors: &Array2<f64>| {
                    let apart = mean(vectors, &positive, true) - mean(vectors, &positive, false);
                    apart.dot(&apart).sqrt()
                };
                let leace = Leace::fit(vectors.view(), &positive, shrinkage).unwrap();
                assert!(apart(&vectors) > 0.3);
                assert!(apart(&erased(&leace, &vectors)) < 1e-9, "{n} {d} {shrinkage:?}");
                assert!((leace.direction().dot(leace.discriminant()) - 1.0).abs() < 1e-9);
                let overall = |vectors: &Array2<f64>| vectors.mean_axis(Axis(0)).unwrap();
                let moved = overall(&erased(&leace, &vectors)) - overall(&vectors);
                assert!(moved.dot(&moved).sqrt() < 1e-12, "the mean of all stays where it is");
            }
        }
    }

    /// Accuracy of logistic regression on the vectors that it is trained on, by gradient descent.
    fn probe(vectors: &Array2<f64>, positive: &[bool]) -> f64 {
        let class: Array1<f64> = positive.iter().map(|&positive| f64::from(u8::from(positive))).collect();
        let (mut weights, mut bias) = (Array1::<f64>::zeros(vectors.ncols()), 0.0);
        for _ in 0..5000 {
            let wrong = (vectors.dot(&weights) + bias).mapv(|score| 1.0 / (1.0 + (-score).exp())) - &class;
            weights = weights - 0.5 * vectors.t().dot(&wrong) / positive.len() as f64;
            bias -= 0.5 * wrong.mean().unwrap();
        }
        let scores = vectors.dot(&weights) + bias;
        let right = scores.iter().zip(positive).filter(|&(&score, &positive)| (score > 0.0) == positive);
        right.count() as f64 / positive.len() as f64
    }

    #[test]
    fn no_linear_probe_beats_the_majority_after_erasure() {
        let (vectors, positive) = fixed(60, 6);
        let majority = 36.0 / 60.0;
        assert!(probe(&vectors, &positive) > majority + 0.1);
        for shrinkage in [Shrinkage::None, Shrinkage::Linear] {
            let leace = Leace::fit(vectors.view(), &positive, shrinkage).unwrap();
            assert_eq!(probe(&erased(&leace, &vectors), &positive), majority);
        }
    }

    #[test]
    fn exchanging_the_classes_changes_nothing() {
        let (vectors, positive) = fixed(60, 6);
        let negative: Vec<bool> = positive.iter().map(|positive| !positive).collect();
        let fit = |classes: &[bool]| Leace::fit(vectors.view(), classes, Shrinkage::Linear).unwrap();
        let moved = erased(&fit(&positive), &vectors) - erased(&fit(&negative), &vectors);
        assert!(moved.iter().all(|difference| difference.abs() < 1e-12));
    }

    #[test]
    fn what_has_no_classes_is_refused() {
        let (vectors, positive) = fixed(60, 6);
        let refused = |vectors: &Array2<f64>, positive: &[bool]| {
            Leace::fit(vectors.view(), positive, Shrinkage::Linear).unwrap_err().to_string()
        };
        assert_eq!(
            refused(&vectors, &positive[1..]),
            "erasure: 60 vectors and 59 classes, expected a class for each"
        );
        assert_eq!(
            refused(&vectors, &[true; 60]),
            "erasure: 60 positive and 0 negative vectors, expected at least 2 of each"
        );
        let same = Array2::from_shape_fn((4, 2), |(row, column)| (row / 2 + column) as f64);
        let error = refused(&same, &[true, false, true, false]);
        assert_eq!(error, "erasure: both classes have the same mean, expected classes of different means");
        let mut broken = vectors;
        broken[[3, 1]] = f64::NAN;
        assert_eq!(refused(&broken, &positive), "erasure: a value is NaN, expected finite values");
    }

    /// n, d, how Σ is estimated, and rows 0 and 7 erased by concept-erasure 0.2.4: `scripts/reference/leace.py`.
    type Reference = (usize, usize, Shrinkage, [(usize, &'static [f64]); 2]);
    const REFERENCE: [Reference; 4] = [
        (
            60,
            6,
            Shrinkage::None,
            [
                (
                    0,
                    &[
                        -0.591_817_686_482,
                        -0.400_123_432_204,
                        0.157_595_219_843,
                        0.260_427_749_086,
                        -0.264_654_461_917,
                        0.229_246_149_21,
                    ],
                ),
                (
                    7,
                    &[
                        -0.140_456_091_1,
                        -0.015_572_845_877,
                        0.034_945_062_741,
                        -0.373_896_814_332,
                        -0.243_314_979_308,
                        0.182_172_265_159,
                    ],
                ),
            ],
        ),
        (
            60,
            6,
            Shrinkage::Linear,
            [
                (
                    0,
                    &[
                        -0.579_472_869_352,
                        -0.398_310_710_691,
                        0.145_921_781_05,
                        0.271_643_429_92,
                        -0.276_531_755_057,
                        0.215_363_265_342,
                    ],
                ),
                (
                    7,
                    &[
                        -0.140_322_688_867,
                        -0.015_553_257,
                        0.034_818_915_647,
                        -0.373_775_613_924,
                        -0.243_443_329_32,
                        0.182_022_242_061,
                    ],
                ),
            ],
        ),
        (
            8,
            12,
            Shrinkage::None,
            [
                (
                    0,
                    &[
                        -0.642_574_263_386,
                        -0.219_059_405_941,
                        0.229_207_926_753,
                        0.168_069_300_97,
                        -0.086_633_663_366,
                        0.180_940_600_02,
                        0.311_633_657_406,
                        0.246_287_128_713,
                        0.075_742_580_218,
                        0.015_841_578_198,
                        0.007_425_742_574,
                        0.016_336_639_624,
                    ],
                ),
                (
                    7,
                    &[
                        -0.360_396_045_564,
                        -0.236_386_138_614,
                        0.219_306_936_654,
                        -0.527_475_253_485,
                        -0.160_891_089_109,
                        0.534_900_996_059,
                        0.150_742_568_297,
                        0.377_475_247_525,
                        0.055_940_600_02,
                        -0.098_019_807_941,
                        -0.393_564_356_436,
                        0.135_148_520_812,
                    ],
                ),
            ],
        ),
        (
            8,
            12,
            Shrinkage::Linear,
            [
                (
                    0,
                    &[
                        -0.645_256_021_832,
                        -0.222_664_599_941,
                        0.231_341_527_046,
                        0.166_420_609_811,
                        -0.086_254_169_261,
                        0.185_751_742_057,
                        0.309_225_978_036,
                        0.246_729_871_836,
                        0.079_309_824_91,
                        0.010_882_855_12,
                        0.004_010_295_626,
                        0.016_867_931_473,
                    ],
                ),
                (
                    7,
                    &[
                        -0.260_764_469_354,
                        -0.102_447_468_119,
                        0.140_040_304_495,
                        -0.466_223_764_142,
                        -0.174_989_896_529,
                        0.356_159_444_879,
                        0.240_191_672_481,
                        0.361_026_638_868,
                        -0.076_588_193_505,
                        0.086_204_612_792,
                        -0.266_675_089_651,
                        0.115_410_186_651,
                    ],
                ),
            ],
        ),
    ];
}
