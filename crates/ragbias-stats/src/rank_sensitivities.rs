use std::collections::BTreeMap;

use ndarray::Array2;
use ragbias_core::{Lean, Verdict};
use serde::{Deserialize, Serialize};
use statrs::distribution::ContinuousCDF;

use crate::least_squares::{Factor, gram};
use crate::line::student;
use crate::{Error, Estimate, Result};

/// Fewest topics for an interval.
const MIN_TOPICS: usize = 5;

/// One question answered from one embedder's documents.
#[derive(Debug, Clone, PartialEq)]
pub struct RankedAnswer<'a> {
    /// The question.
    pub question: &'a str,
    /// Its topic.
    pub topic: &'a str,
    /// The verdict on the document at each rank, best first.
    pub documents: &'a [Verdict],
    /// The lean of the answer.
    pub answer: Option<Lean>,
}

/// How strongly answers follow the document at each rank: answer = a_q + Σⱼ sⱼ·leanⱼ, so that R_b = a + Σⱼ sⱼ·E_b,j, with E_b,j the mean
/// lean of the documents at rank j.
///
/// Least squares over all answers. Where questions are answered from the documents of several embedders, every question has a level a_q
/// of its own (the within estimator: means of a question are subtracted from both sides); otherwise all share one. Standard errors are
/// robust to heteroscedasticity and to dependence within topics: V = G/(G − 1)·(n − 1)/(n − K)·(XᵀX)⁻¹(Σ_g X_gᵀe_g e_gᵀX_g)(XᵀX)⁻¹ for G
/// topics, intervals from Student's t with G − 1 degrees of freedom. K counts the columns of X; levels of questions lie within
/// topics and are not counted. Source: Cameron & Miller, *A Practitioner's Guide to Cluster-Robust Inference*, J. Human Resources 50
/// (2015), §II and III.B, <https://doi.org/10.3368/jhr.50.2.317>. With few topics the intervals tend to be too narrow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankSensitivities {
    /// Number of answers.
    pub n: usize,
    /// Number of questions.
    pub questions: usize,
    /// Number of topics.
    pub topics: usize,
    /// Answers that were left out: without a score, or with a document without one.
    pub left_out: usize,
    /// Whether each question has a level of its own.
    pub within_questions: bool,
    /// s₁ to s_k.
    pub sensitivities: Vec<Estimate>,
    /// Variance inflation of each sⱼ, at least 1: by how much its variance grows because the lean of rank j goes with those of the others.
    /// Source: Belsley, Kuh & Welsch, *Regression Diagnostics* (1980), ch. 3.
    pub variance_inflation: Vec<f64>,
    /// Σⱼ sⱼ: by how much R_b would change with the lean of all documents together.
    pub sum: Estimate,
    /// Share of the variance within questions, or of all, that the leans explain; none if no answer differs.
    pub r_squared: Option<f64>,
}

/// An answer whose documents all have a score.
struct Row<'a> {
    question: &'a str,
    topic: &'a str,
    leans: Vec<f64>,
    answer: f64,
}

impl RankSensitivities {
    /// Fits answers given the same number of documents each.
    ///
    /// # Errors
    /// Answers with other numbers of documents; fewer than five topics; too few answers; ranks whose leans determine one another, or are
    /// always the same.
    pub fn of<'a>(answers: impl IntoIterator<Item = RankedAnswer<'a>>) -> Result<Self> {
        let (mut rows, mut left_out, mut ranks) = (Vec::new(), 0, None);
        for answer in answers {
            let expected = *ranks.get_or_insert(answer.documents.len());
            if answer.documents.len() != expected {
                let (question, received) = (answer.question.into(), answer.documents.len());
                return Err(Error::Documents { question, expected, received });
            }
            let leans = answer.documents.iter().map(|verdict| verdict.lean().map(Lean::value)).collect();
            match (leans, answer.answer) {
                (Some(leans), Some(lean)) => rows.push(Row {
                    question: answer.question,
                    topic: answer.topic,
                    leans,
                    answer: lean.value(),
                }),
                _ => left_out += 1,
            }
        }
        Self::fit(rows, ranks.unwrap_or(0), left_out)
    }

    fn fit(mut rows: Vec<Row<'_>>, ranks: usize, left_out: usize) -> Result<Self> {
        let mut by_question: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, row) in rows.iter().enumerate() {
            by_question.entry(row.question).or_default().push(index);
        }
        let questions = by_question.len();
        let within_questions = rows.len() > questions;
        if within_questions {
            for own in by_question.values() {
                subtract_means(&mut rows, own);
            }
        } else {
            let all: Vec<usize> = (0..rows.len()).collect();
            subtract_means(&mut rows, &all);
        }
        let mut by_topic: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, row) in rows.iter().enumerate() {
            by_topic.entry(row.topic).or_default().push(index);
        }
        let (n, topics) = (rows.len(), by_topic.len());
        let columns = ranks + usize::from(!within_questions);
        let enough = |what, expected, received| {
            if received < expected { Err(Error::TooFew { what, expected, received }) } else { Ok(()) }
        };
        enough("topics with an answer", MIN_TOPICS, topics)?;
        enough("answers whose documents are scored", columns + 2, n)?;

        let gram = gram(rows.iter().map(|row| &row.leans), ranks);
        let undetermined = || Error::UndeterminedRanks { ranks };
        let inverse = Factor::of(&gram).ok_or_else(undetermined)?.inverse();
        let right: Vec<f64> =
            (0..ranks).map(|j| rows.iter().map(|row| row.leans[j] * row.answer).sum()).collect();
        let solution = inverse.dot(&ndarray::Array1::from(right));
        let residual = |row: &Row<'_>| {
            row.answer - row.leans.iter().zip(&solution).map(|(lean, s)| lean * s).sum::<f64>()
        };
        let mut meat = Array2::<f64>::zeros((ranks, ranks));
        for own in by_topic.values() {
            let mut score = vec![0.0; ranks];
            for row in own.iter().map(|index| &rows[*index]) {
                let left = residual(row);
                score.iter_mut().zip(&row.leans).for_each(|(sum, lean)| *sum += lean * left);
            }
            for i in 0..ranks {
                for j in 0..ranks {
                    meat[[i, j]] += score[i] * score[j];
                }
            }
        }
        let correction = topics as f64 / (topics - 1) as f64 * (n - 1) as f64 / (n - columns) as f64;
        let covariance = inverse.dot(&meat).dot(&inverse) * correction;
        let critical = student((topics - 1) as f64).inverse_cdf(0.975);
        let estimate = |value: f64, variance: f64| {
            let half = critical * variance.max(0.0).sqrt();
            Estimate { value, low: value - half, high: value + half }
        };
        let total: f64 = rows.iter().map(|row| row.answer.powi(2)).sum();
        let rest: f64 = rows.iter().map(|row| residual(row).powi(2)).sum();
        Ok(Self {
            n,
            questions,
            topics,
            left_out,
            within_questions,
            sensitivities: (0..ranks).map(|j| estimate(solution[j], covariance[[j, j]])).collect(),
            variance_inflation: (0..ranks).map(|j| gram[[j, j]] * inverse[[j, j]]).collect(),
            sum: estimate(solution.sum(), covariance.sum()),
            r_squared: (total > 1e-12).then(|| 1.0 - rest / total),
        })
    }
}

/// Subtracts the means of these rows from their leans and answers.
fn subtract_means(rows: &mut [Row<'_>], own: &[usize]) {
    let Some(first) = own.first() else { return };
    let mut leans = vec![0.0; rows[*first].leans.len()];
    let mut answer = 0.0;
    for row in own.iter().map(|index| &rows[*index]) {
        leans.iter_mut().zip(&row.leans).for_each(|(sum, lean)| *sum += lean);
        answer += row.answer;
    }
    let n = own.len() as f64;
    for index in own {
        let row = &mut rows[*index];
        row.leans.iter_mut().zip(&leans).for_each(|(lean, sum)| *lean -= sum / n);
        row.answer -= answer / n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERDICTS: [Verdict; 3] = [Verdict::NEGATIVE, Verdict::NEITHER, Verdict::POSITIVE];

    struct Answer {
        question: String,
        topic: String,
        documents: Vec<Verdict>,
        lean: Option<Lean>,
    }

    /// 36 questions of 9 topics, with three documents of each of `embedders`; scripts/reference/ranks.py makes the same.
    fn answers(embedders: usize) -> Vec<Answer> {
        let mut answers = Vec::new();
        for question in 0..36_usize {
            for embedder in 0..embedders {
                let mixed =
                    |k: usize| (question * question * (k + 2) + embedder * (5 * k + 3) + question * k) % 11;
                let documents: Vec<usize> = (0..3).map(|rank| mixed(rank) % 3).collect();
                let answer = match mixed(5) {
                    0..=4 => documents[0],
                    5..=6 => documents[1],
                    7 => documents[2],
                    _ => (question + question / 9) % 3,
                };
                answers.push(Answer {
                    question: format!("q{question}"),
                    topic: format!("t{}", question % 9),
                    documents: documents.into_iter().map(|lean| VERDICTS[lean]).collect(),
                    lean: VERDICTS[answer].lean(),
                });
            }
        }
        answers
    }

    fn fit(answers: &[Answer]) -> Result<RankSensitivities> {
        RankSensitivities::of(answers.iter().map(|answer| RankedAnswer {
            question: &answer.question,
            topic: &answer.topic,
            documents: &answer.documents,
            answer: answer.lean,
        }))
    }

    fn check(found: &RankSensitivities, expected: &Reference) {
        for (rank, (value, low, high)) in expected.estimates.into_iter().enumerate() {
            let estimate = found.sensitivities.get(rank).copied().unwrap_or(found.sum);
            for (received, expected) in [(estimate.value, value), (estimate.low, low), (estimate.high, high)]
            {
                assert!((received - expected).abs() < 1e-9, "rank {}: {estimate:?}", rank + 1);
            }
        }
        for (received, expected) in found.variance_inflation.iter().zip(expected.inflation) {
            assert!((received - expected).abs() < 1e-9, "{:?}", found.variance_inflation);
        }
        assert!((found.r_squared.unwrap() - expected.r_squared).abs() < 1e-9);
    }

    /// s₁ to s₃ and their sum with intervals.
    struct Reference {
        estimates: [(f64, f64, f64); 4],
        inflation: [f64; 3],
        r_squared: f64,
    }

    #[test]
    fn estimates_and_intervals_are_those_of_statsmodels() {
        let within = fit(&answers(4)).unwrap();
        check(&within, &WITHIN);
        assert_eq!((within.n, within.questions, within.topics, within.within_questions), (144, 36, 9, true));
        let pooled = fit(&answers(1)).unwrap();
        check(&pooled, &POOLED);
        assert_eq!((pooled.n, pooled.within_questions), (36, false));
    }

    // scripts/reference/ranks.py, statsmodels OLS with cov_type="cluster", use_t=True
    const WITHIN: Reference = Reference {
        estimates: [
            (0.269_362_803_936, 0.189_970_664_102, 0.348_754_943_77),
            (0.254_899_736_311, 0.221_260_383_32, 0.288_539_089_303),
            (0.397_372_077_849, 0.223_685_735_129, 0.571_058_420_57),
            (0.921_634_618_097, 0.807_857_209_412, 1.035_412_026_782),
        ],
        inflation: [1.019_634_045_215, 1.088_274_541_93, 1.105_420_250_05],
        r_squared: 0.395_275_300_967,
    };
    const POOLED: Reference = Reference {
        estimates: [
            (0.204_021_982_166, -0.116_796_348_044, 0.524_840_312_377),
            (0.352_024_460_548, 0.215_812_004_007, 0.488_236_917_088),
            (0.344_656_663_344, 0.118_108_603_396, 0.571_204_723_293),
            (0.900_703_106_059, 0.715_943_743_923, 1.085_462_468_194),
        ],
        inflation: [1.078_119_902_182, 1.281_158_613_423, 1.200_039_510_43],
        r_squared: 0.511_403_106_112,
    };

    #[test]
    fn answers_that_follow_one_rank_have_its_sensitivity_alone() {
        let mut all = answers(4);
        for answer in &mut all {
            answer.lean = answer.documents[1].lean();
        }
        let found = fit(&all).unwrap();
        for (estimate, expected) in found.sensitivities.iter().zip([0.0, 1.0, 0.0]) {
            assert!((estimate.value - expected).abs() < 1e-12, "{found:?}");
        }
        assert_eq!(found.r_squared, Some(1.0));
    }

    #[test]
    fn ranks_that_determine_one_another_are_refused_by_name() {
        let mut all = answers(4);
        for answer in &mut all {
            answer.documents[2] = answer.documents[0].swapped();
        }
        let message = fit(&all).unwrap_err().to_string();
        assert!(message.contains("3 ranks"), "{message}");
        all.truncate(12);
        assert!(
            fit(&all)
                .unwrap_err()
                .to_string()
                .contains("topics with an answer: expected at least 5, received 3")
        );
        all[1].documents.pop();
        assert!(fit(&all).unwrap_err().to_string().contains("`q0`"));
    }

    #[test]
    fn answers_and_documents_without_a_score_are_counted_and_left_out() {
        let mut all = answers(4);
        all[3].lean = None;
        all[17].documents[2] = Verdict::Unscored;
        let found = fit(&all).unwrap();
        assert_eq!((found.left_out, found.n), (2, 142));
    }
}
