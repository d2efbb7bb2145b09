use serde::{Deserialize, Serialize};
use statrs::distribution::ContinuousCDF;

use crate::labelled::{LEANS, LabelledTopics, ScoredTopics};
use crate::line::student;
use crate::{Error, Estimate, Result};

/// A bias by prediction-powered inference: the scorer's verdicts on many texts, corrected by what it got wrong on labelled ones.
///
/// With labels Y and verdicts f on n labelled texts, and verdicts f̃ on N measured ones,
///
/// ```text
/// θ = mean(λf̃) + mean(Y − λf),   λ = cov(Y, f) / ((1 + n/N)·var(f and f̃)), within [0, 1]
/// ```
///
/// which is unbiased for every λ; this one makes the variance smallest. Source: Angelopoulos, Duchi & Zrnic, *PPI++: Efficient
/// prediction-powered inference*, <https://arxiv.org/abs/2311.01453>; λ, θ and, where every text is its own topic, the variance before
/// the correction for few topics are those of the Python package `ppi-python`.
///
/// It assumes that the labelled texts are a random sample of the same texts as the measured ones, so that labels and verdicts have the
/// same distribution in both. `shift_p` tests what can be seen of that: whether the scorer's mean verdict is the same.
///
/// The interval is θ ± t·√V with V the sum of the cluster-robust variances of both means, Σ over topics of squared sums of
/// residuals, times C/(C − 1), and Satterthwaite's degrees of freedom.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PredictionPowered {
    /// The corrected bias with its 95% interval, in [−1, 1].
    #[serde(flatten)]
    pub estimate: Estimate,
    /// λ, in [0, 1]: how much the verdicts count; 0 if only the labels do.
    pub lambda: f64,
    /// Two-sided p value of the hypothesis that mean verdicts on labelled and measured texts are the same.
    pub shift_p: f64,
}

/// Mean of a quantity, with its variance over topics.
struct Mean {
    value: f64,
    /// Σ of squared sums of residuals over n².
    variance: f64,
    topics: usize,
}

impl Mean {
    /// From sums and numbers of texts by topic.
    fn of(topics: &[(f64, f64)]) -> Self {
        let (sum, n) = topics.iter().fold((0.0, 0.0), |(sum, n), topic| (sum + topic.0, n + topic.1));
        let value = sum / n;
        let squares: f64 = topics.iter().map(|(sum, n)| (sum - n * value).powi(2)).sum();
        Self { value, variance: squares / (n * n), topics: topics.len() }
    }

    /// The variance, corrected for few topics.
    fn corrected(&self) -> f64 {
        let topics = self.topics as f64;
        self.variance * topics / (topics - 1.0)
    }
}

/// t quantile and p value of a sum of independent means.
fn degrees(means: [&Mean; 2]) -> f64 {
    let parts = means.map(|mean| (mean.corrected(), mean.topics as f64 - 1.0));
    let below: f64 = parts.iter().map(|(variance, degrees)| variance * variance / degrees).sum();
    let above: f64 = parts.iter().map(|(variance, _)| variance).sum();
    if below > 0.0 { above * above / below } else { parts[0].1.min(parts[1].1) }
}

impl PredictionPowered {
    /// The corrected bias of a measurement. `own` is its uncorrected bias, whose interval is used if all measured verdicts are the
    /// same, so that their variance is unknown.
    ///
    /// # Errors
    /// [`Error::TooFew`] for fewer than two topics in either sample.
    pub fn correct(measured: &ScoredTopics, labelled: &LabelledTopics, own: Estimate) -> Result<Self> {
        let scored = labelled.scored();
        for (what, received) in [
            ("measured topics with a scored text", measured.topics().len()),
            ("labelled topics with a scored text", scored.len()),
        ] {
            if received < 2 {
                return Err(Error::TooFew { what, expected: 2, received });
            }
        }
        let lambda = lambda(measured, &scored);
        let measured_by = |weight: f64| -> Vec<(f64, f64)> {
            let sums = |topic: &[f64; 3]| (weight * (topic[2] - topic[0]), topic.iter().sum());
            measured.topics().iter().map(sums).collect()
        };
        let labelled_by = |of: &dyn Fn(f64, f64) -> f64| -> Vec<(f64, f64)> {
            (scored.iter())
                .map(|topic| {
                    each(topic)
                        .fold((0.0, 0.0), |(sum, n), (y, f, count)| (sum + count * of(y, f), n + count))
                })
                .collect()
        };
        let imputed = Mean::of(&measured_by(lambda));
        let rectifier = Mean::of(&labelled_by(&|y, f| y - lambda * f));
        let value = imputed.value + rectifier.value;
        let half = student(degrees([&imputed, &rectifier])).inverse_cdf(0.975)
            * (imputed.corrected() + rectifier.corrected()).sqrt();
        let agrees =
            measured.topics().iter().all(|topic| topic.iter().filter(|count| **count > 0.0).count() == 1)
                && imputed.variance < 1e-24;
        let side = |own: f64| if agrees { half.hypot(lambda * own) } else { half };
        let estimate = Estimate {
            value: value.clamp(-1.0, 1.0),
            low: (value - side(own.value - own.low)).clamp(-1.0, 1.0),
            high: (value + side(own.high - own.value)).clamp(-1.0, 1.0),
        };
        let (here, there) = (Mean::of(&measured_by(1.0)), Mean::of(&labelled_by(&|_, f| f)));
        let error = (here.corrected() + there.corrected()).sqrt();
        let apart = (here.value - there.value).abs();
        let shift_p = if error > 0.0 {
            2.0 * student(degrees([&here, &there])).cdf(-apart / error)
        } else {
            f64::from(u8::from(apart < 1e-12))
        };
        Ok(Self { estimate, lambda, shift_p })
    }
}

/// Label, verdict and number of texts of each cell.
fn each(topic: &[[f64; 3]; 3]) -> impl Iterator<Item = (f64, f64, f64)> {
    (topic.iter().zip(LEANS)).flat_map(|(row, y)| row.iter().zip(LEANS).map(move |(count, f)| (y, f, *count)))
}

fn lambda(measured: &ScoredTopics, scored: &[[[f64; 3]; 3]]) -> f64 {
    let (mut n, mut y, mut f, mut yf, mut ff) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (label, verdict, count) in scored.iter().flat_map(each) {
        n += count;
        y += count * label;
        f += count * verdict;
        yf += count * label * verdict;
        ff += count * verdict * verdict;
    }
    let (mut others, mut f_others, mut ff_others) = (0.0, 0.0, 0.0);
    for topic in measured.topics() {
        for (count, verdict) in topic.iter().zip(LEANS) {
            others += count;
            f_others += count * verdict;
            ff_others += count * verdict * verdict;
        }
    }
    let covariance = yf / n - y / n * (f / n);
    let all = n + others;
    let mean = (f + f_others) / all;
    let variance = (ff + ff_others - all * mean * mean) / (all - 1.0);
    if variance <= 0.0 {
        return 0.0;
    }
    (covariance / ((1.0 + n / others) * variance)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use ragbias_core::{Lean, Verdict};

    use super::*;

    const NAMES: [Lean; 3] = [Lean::Negative, Lean::Neutral, Lean::Positive];

    fn labelled(cells: [[usize; 3]; 3]) -> LabelledTopics {
        let mut rows = Vec::new();
        for (gold, row) in NAMES.iter().zip(cells) {
            for (verdict, count) in NAMES.iter().zip(row) {
                rows.extend(std::iter::repeat_n((*gold, Verdict::from(*verdict)), count));
            }
        }
        let names: Vec<String> = (0..rows.len()).map(|row| row.to_string()).collect();
        LabelledTopics::new(
            names.iter().zip(rows).map(|(name, (gold, verdict))| (name.as_str(), gold, verdict)),
        )
    }

    fn measured(counts: [usize; 3]) -> ScoredTopics {
        let verdicts: Vec<Lean> =
            NAMES.iter().zip(counts).flat_map(|(lean, count)| std::iter::repeat_n(*lean, count)).collect();
        let names: Vec<String> = (0..verdicts.len()).map(|row| row.to_string()).collect();
        ScoredTopics::new(names.iter().zip(verdicts).map(|(name, lean)| (name.as_str(), Verdict::from(lean))))
    }

    /// Labelled texts by label and verdict, measured ones by verdict, and θ, λ and the half-width of ppi-python.
    type Case = ([[usize; 3]; 3], [usize; 3], [f64; 3]);

    const CASES: [Case; 3] = [
        (
            [[30, 4, 6], [3, 12, 5], [8, 2, 40]],
            [90, 40, 130],
            [0.117_685_088_270_508_48, 0.425_440_846_964_745_8, 0.144_347_363_055_382_68],
        ),
        (
            [[35, 0, 5], [0, 0, 0], [10, 0, 40]],
            [150, 0, 350],
            [0.366_006_707_778_859_9, 0.637_238_991_669_372, 0.160_758_761_291_827_84],
        ),
        (
            [[20, 2, 18], [4, 9, 7], [15, 5, 30]],
            [300, 100, 300],
            [0.070_191_562_944_074_28, 0.142_433_004_759_489_36, 0.166_024_639_104_580_12],
        ),
    ];

    const ANY: Estimate = Estimate { value: 0.0, low: 0.0, high: 0.0 };

    #[test]
    fn estimate_lambda_and_variance_agree_with_ppi_python() {
        // scripts/reference/calibration.py, ppi-python 0.2.3: ppi_mean_pointestimate, ppi_mean_ci(alpha = 0.05).
        for (cells, counts, [value, lambda, half]) in CASES {
            let (labelled, measured) = (labelled(cells), measured(counts));
            let found = PredictionPowered::correct(&measured, &labelled, ANY).unwrap();
            assert!((found.estimate.value - value).abs() < 1e-9, "{found:?} {value}");
            assert!((found.lambda - lambda).abs() < 1e-9, "{found:?} {lambda}");
            // ppi-python: z·√V without C/(C − 1).
            let sums: Vec<(f64, f64)> =
                measured.topics().iter().map(|topic| (found.lambda * (topic[2] - topic[0]), 1.0)).collect();
            let residuals: Vec<(f64, f64)> = (labelled.scored().iter())
                .map(|topic| {
                    each(topic).fold((0.0, 0.0), |(sum, n), (y, f, count)| {
                        (sum + count * (y - found.lambda * f), n + count)
                    })
                })
                .collect();
            let (imputed, rectifier) = (Mean::of(&sums), Mean::of(&residuals));
            let plain = 1.959_963_984_540_054 * (imputed.variance + rectifier.variance).sqrt();
            assert!((plain - half).abs() < 1e-9, "{plain} {half}");
            let ours = (found.estimate.high - found.estimate.low) / 2.0;
            assert!(ours > plain && ours < 1.05 * plain, "{ours} {plain}");
        }
    }

    #[test]
    fn labels_alone_count_if_the_scorer_guesses() {
        let guesses = labelled([[10, 0, 10], [0; 3], [20, 0, 20]]);
        let found = PredictionPowered::correct(&measured([100, 0, 300]), &guesses, ANY).unwrap();
        assert_eq!(found.lambda, 0.0);
        assert!((found.estimate.value - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_labelled_sample_of_other_texts_shows() {
        let sample = labelled([[40, 0, 10], [0; 3], [10, 0, 40]]);
        let p = |counts| PredictionPowered::correct(&measured(counts), &sample, ANY).unwrap().shift_p;
        assert!(p([150, 0, 150]) > 0.9);
        assert!(p([60, 0, 240]) < 1e-6);
    }

    #[test]
    fn verdicts_that_all_agree_keep_the_uncertainty_of_the_bias() {
        let sample = labelled([[40, 0, 5], [0; 3], [5, 0, 40]]);
        let own = Estimate { value: 1.0, low: 0.8, high: 1.0 };
        let wide = PredictionPowered::correct(&measured([0, 0, 30]), &sample, own).unwrap();
        let narrow = PredictionPowered::correct(&measured([0, 0, 30]), &sample, ANY).unwrap();
        let half = |found: PredictionPowered| found.estimate.value - found.estimate.low;
        assert!((half(wide) - half(narrow).hypot(0.2 * wide.lambda)).abs() < 1e-12, "{wide:?} {narrow:?}");
        assert!(half(wide) > half(narrow));
    }
}
