//! What a trigger does to a system's ranking of twins, and of all documents.

use std::collections::BTreeMap;

use ndarray::ArrayView1;
use ragbias::core::Embeddings;
use ragbias::stats::JudgedRanking;
use serde::{Deserialize, Serialize};

use super::contests::{Contests, Side};
use crate::error::Result;

/// Cosines that differ by no more than this are equal.
const ROUNDING: f32 = 1e-6;

/// How a trigger relates to a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Made {
    /// Optimised on it, alone or with others.
    ForIt,
    /// Optimised on others.
    ForOthers,
    /// Drawn.
    Random,
}

/// A trigger that a system is judged with, in the documents of one side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Trial {
    /// The words, or the hash of a change of pixels.
    pub(super) trigger: String,
    pub(super) made: Made,
    /// What it was optimised on.
    pub(super) ensemble: String,
    pub(super) side: Side,
}

/// What a system does, question by question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Ranked {
    /// +1 if the pole's twin is nearer to the question than the other, −1 if the other is, 0 if neither.
    pub(super) leans: Vec<i32>,
    /// nDCG@10 over the documents of all questions.
    pub(super) ndcg10: Vec<f64>,
}

/// A system without a trigger, and with each trial's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct JudgedSystem {
    pub(super) name: String,
    pub(super) before: Ranked,
    pub(super) trials: Vec<(Trial, Ranked)>,
}

/// Judges a system by the unit vectors of questions, and of the documents of a side without a trigger or with a trial's.
pub(super) fn judged(
    name: &str,
    contests: &Contests,
    questions: &Embeddings,
    trials: &[Trial],
    documents: impl Fn(Side, Option<&Trial>) -> Result<Embeddings>,
) -> Result<JudgedSystem> {
    let (pole, other) = (documents(Side::Pole, None)?, documents(Side::Other, None)?);
    let ranked = |pole: &Embeddings, other: &Embeddings| ranked(contests, questions, pole, other);
    let mut judged = JudgedSystem { name: name.into(), before: ranked(&pole, &other), trials: Vec::new() };
    for trial in trials {
        let with = documents(trial.side, Some(trial))?;
        let after = match trial.side {
            Side::Pole => ranked(&with, &other),
            Side::Other => ranked(&pole, &with),
        };
        judged.trials.push((trial.clone(), after));
    }
    Ok(judged)
}

/// The leans and nDCG@10 of unit vectors.
fn ranked(contests: &Contests, questions: &Embeddings, pole: &Embeddings, other: &Embeddings) -> Ranked {
    let documents: BTreeMap<&str, ArrayView1<'_, f32>> = (contests.iter().enumerate())
        .flat_map(|(row, contest)| {
            [(contest.pole.id.as_str(), pole.row(row)), (contest.other.id.as_str(), other.row(row))]
        })
        .collect();
    let (mut leans, mut ndcg10) = (Vec::new(), Vec::new());
    for (row, contest) in contests.iter().enumerate() {
        let question = questions.row(row);
        leans.push(lean(question.dot(&pole.row(row)), question.dot(&other.row(row))));
        let scored = documents.iter().map(|(id, vector)| (*id, question.dot(vector)));
        // Documents of the corpus that are not judged here cannot be found.
        let grades = contest.grades.iter().filter(|(id, _)| documents.contains_key(id.as_str()));
        let grades = grades.map(|(id, grade)| (id.clone(), *grade)).collect();
        ndcg10.push(JudgedRanking::new(scored, &grades).ndcg(10));
    }
    Ranked { leans, ndcg10 }
}

fn lean(pole: f32, other: f32) -> i32 {
    if (pole - other).abs() <= ROUNDING {
        0
    } else if pole > other {
        1
    } else {
        -1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_twin_is_first_and_equal_ones_are_neither() {
        assert_eq!([lean(0.5, 0.4), lean(0.4, 0.5), lean(0.5, 0.5 + 5e-7)], [1, -1, 0]);
    }
}
