use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::draws::quantile;
use crate::labelled::{Confusion, LabelledTopics, TopicDraws, level};
use crate::{Error, Estimate, Result};

/// How a scorer finds one pole, over the texts that it scored.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PoleErrors {
    /// Share of the texts of this gold lean that it finds, in [0, 1]; none without such texts.
    pub recall: Option<Estimate>,
    /// Share of the texts that it gives this lean whose gold lean it is, in [0, 1]; none if it gives it to no text.
    pub precision: Option<Estimate>,
}

/// How often a scorer errs, by its verdicts on labelled texts, with 95% intervals.
///
/// Everything is over the scored texts; `coverage` says how many these are. **Cohen's κ** is (p₀ − pₑ)/(1 − pₑ), p₀ the share of equal
/// leans and pₑ the share expected if label and verdict were independent with the frequencies seen (Cohen, *A coefficient of
/// agreement for nominal scales*, Educ. Psychol. Meas. 20 (1960) 37–46): 1 is agreement, 0 is chance.
///
/// Intervals are expanded percentiles of a bootstrap over topics (Hesterberg, Am. Stat. 69 (2015) 371–386), widened to contain the
/// value if all texts of a kind have one verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScorerErrors {
    /// Number of labelled texts.
    pub n: usize,
    /// Number of topics.
    pub topics: usize,
    /// Share of the labelled texts that are scored, in [0, 1].
    pub coverage: f64,
    /// Share of the scored texts whose lean equals the label, in [0, 1].
    pub accuracy: Estimate,
    /// Cohen's κ, in [−1, 1]; none if all labels and verdicts are the same one.
    pub kappa: Option<Estimate>,
    /// The negative pole.
    pub negative: PoleErrors,
    /// The positive pole.
    pub positive: PoleErrors,
    /// Number of texts by gold lean (rows −1, 0, +1) and scored lean (columns −1, 0, +1, unscored).
    pub confusion: Confusion,
}

impl ScorerErrors {
    /// From labelled texts, with `draws` resamples.
    ///
    /// # Errors
    /// [`Error::TooFew`] for fewer than two topics with a scored text.
    pub fn of(labelled: &LabelledTopics, draws: usize, seed: u64) -> Result<Self> {
        let scored = labelled.scored();
        if scored.len() < 2 {
            let (what, received) = ("topics with a scored text", scored.len());
            return Err(Error::TooFew { what, expected: 2, received });
        }
        let confusion = labelled.total();
        let level = level(scored.len());
        let topics = scored.len();
        let resampled = TopicDraws::new(scored, [Some(0), Some(1), Some(2)]);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let drawn: Vec<Counts> = (0..draws.max(100)).map(|_| resampled.draw(&mut rng)).collect();
        let total = confusion.map(|row| [row[0], row[1], row[2]].map(|count| count as f64));
        let estimate = |statistic: &dyn Fn(&Counts) -> Option<f64>| {
            let value = statistic(&total)?;
            let mut values: Vec<f64> = drawn.iter().filter_map(statistic).collect();
            values.sort_by(f64::total_cmp);
            (!values.is_empty())
                .then(|| Estimate::within(value, quantile(&values, level), quantile(&values, 1.0 - level)))
        };
        let pole = |lean: usize| PoleErrors {
            recall: estimate(&|counts| share(counts[lean][lean], counts[lean].iter().sum())),
            precision: estimate(&|counts| {
                share(counts[lean][lean], counts.iter().map(|row| row[lean]).sum())
            }),
        };
        let n: usize = confusion.iter().flatten().sum();
        let unscored: usize = confusion.iter().map(|row| row[3]).sum();
        Ok(Self {
            n,
            topics,
            coverage: (n - unscored) as f64 / n as f64,
            accuracy: estimate(&accuracy).expect("a text is scored; this is a bug"),
            kappa: estimate(&kappa),
            negative: pole(0),
            positive: pole(2),
            confusion,
        })
    }

    /// Whether κ is above 0 with its whole interval; a scorer for which it is not may be guessing.
    pub fn better_than_chance(&self) -> bool {
        self.kappa.is_some_and(|kappa| kappa.low > 0.0)
    }
}

type Counts = [[f64; 3]; 3];

fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

fn accuracy(counts: &Counts) -> Option<f64> {
    share((0..3).map(|lean| counts[lean][lean]).sum(), counts.iter().flatten().sum())
}

fn kappa(counts: &Counts) -> Option<f64> {
    let n: f64 = counts.iter().flatten().sum();
    let observed = accuracy(counts)?;
    let column = |lean: usize| counts.iter().map(|row| row[lean]).sum::<f64>();
    let expected = (0..3).map(|lean| counts[lean].iter().sum::<f64>() * column(lean)).sum::<f64>() / (n * n);
    (expected < 1.0).then(|| (observed - expected) / (1.0 - expected))
}

#[cfg(test)]
mod tests {
    use ragbias_core::{Lean, Verdict};

    use super::*;

    /// `cells[gold][scored]` texts, each of its own topic.
    fn texts(cells: [[usize; 4]; 3]) -> LabelledTopics {
        let leans = [Lean::Negative, Lean::Neutral, Lean::Positive];
        let verdicts = [Verdict::NEGATIVE, Verdict::NEITHER, Verdict::POSITIVE, Verdict::Unscored];
        let mut rows = Vec::new();
        for (gold, row) in leans.iter().zip(cells) {
            for (verdict, count) in verdicts.iter().zip(row) {
                rows.extend(
                    (0..count).map(|_| (rows.len().to_string(), *gold, *verdict)).collect::<Vec<_>>(),
                );
            }
        }
        let numbered: Vec<(String, Lean, Verdict)> = rows
            .into_iter()
            .enumerate()
            .map(|(topic, (_, gold, verdict))| (topic.to_string(), gold, verdict))
            .collect();
        LabelledTopics::new(numbered.iter().map(|(topic, gold, verdict)| (topic.as_str(), *gold, *verdict)))
    }

    #[test]
    fn kappa_and_accuracy_agree_with_scikit_learn() {
        // scripts/reference/calibration.py: accuracy_score, cohen_kappa_score, recall_score, precision_score.
        let errors =
            ScorerErrors::of(&texts([[30, 4, 6, 2], [3, 12, 5, 0], [8, 2, 40, 1]]), 4000, 1).unwrap();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        near(errors.accuracy.value, 0.745_454_545_454_545_4);
        near(errors.kappa.unwrap().value, 0.592_052_980_132_450_3);
        near(errors.negative.recall.unwrap().value, 0.75);
        near(errors.negative.precision.unwrap().value, 0.731_707_317_073_170_8);
        near(errors.positive.precision.unwrap().value, 0.784_313_725_490_196_1);
        near(errors.coverage, 110.0 / 113.0);
        assert!(errors.better_than_chance());
        // The interval of a proportion of 110 independent texts: ±1.96·√(p(1 − p)/n), 0.664 to 0.827.
        assert!((errors.accuracy.low - 0.664).abs() < 0.01, "{:?}", errors.accuracy);
        assert!((errors.accuracy.high - 0.827).abs() < 0.01, "{:?}", errors.accuracy);
    }

    #[test]
    fn a_scorer_that_guesses_is_no_better_than_chance() {
        let guessing = ScorerErrors::of(&texts([[20, 0, 20, 0], [0; 4], [21, 0, 19, 0]]), 1000, 1).unwrap();
        assert!(!guessing.better_than_chance(), "{guessing:?}");
        assert!(guessing.kappa.unwrap().value < 0.0);
        let one_sided = ScorerErrors::of(&texts([[0, 0, 30, 0], [0; 4], [0, 0, 30, 0]]), 1000, 1).unwrap();
        assert_eq!(one_sided.kappa.unwrap().value, 0.0);
        assert!(!one_sided.better_than_chance());
        let neither = ScorerErrors::of(&texts([[0, 29, 0, 0], [0; 4], [0, 31, 0, 0]]), 1000, 1).unwrap();
        assert_eq!(neither.kappa.unwrap().value, 0.0);
        assert!(!neither.better_than_chance());
    }

    #[test]
    fn a_scorer_without_an_error_is_not_certain_to_be_right() {
        let errors = ScorerErrors::of(&texts([[20, 0, 0, 0], [0; 4], [0, 0, 20, 0]]), 4000, 1).unwrap();
        assert_eq!(errors.accuracy.value, 1.0);
        assert_eq!(errors.accuracy.high, 1.0);
        assert!(errors.accuracy.low > 0.85 && errors.accuracy.low < 0.97, "{:?}", errors.accuracy);
        assert!(errors.negative.recall.unwrap().low < 0.9);
    }

    #[test]
    fn one_topic_is_too_few() {
        let one = LabelledTopics::new([("a", Lean::Positive, Verdict::POSITIVE); 9]);
        assert!(
            ScorerErrors::of(&one, 100, 0).unwrap_err().to_string().contains("topics with a scored text")
        );
    }
}
