use std::collections::BTreeMap;

/// One question's documents in the order of trec_eval, with their relevance grades.
///
/// Documents are ordered by score, and by id among equal scores, the greater one first. A document that is not judged, or
/// judged with a grade of 0 or below, is not relevant; a relevant document that was not retrieved still counts as one
/// to be found. If nothing is relevant, every metric is 0, as in trec_eval.
/// Source: trec_eval 9, <https://github.com/usnistgov/trec_eval>.
///
/// ```
/// use ragbias_stats::JudgedRanking;
///
/// let grades = [("a".to_owned(), 1), ("b".to_owned(), 1)].into();
/// let ranking = JudgedRanking::new([("x", 0.2), ("a", 0.9), ("b", 0.5)], &grades);
/// assert_eq!(ranking.ndcg(10), 1.0);
/// assert_eq!(ranking.recall(1), 0.5);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedRanking {
    /// Gain of each retrieved document, best first: its grade, or 0.
    gains: Vec<i64>,
    /// Gains of all relevant documents, greatest first: the ideal ranking.
    ideal: Vec<i64>,
}

impl JudgedRanking {
    /// `scored`: retrieved documents with their scores, in any order; `grades`: the judged documents.
    ///
    /// Scores are in single precision, as trec_eval keeps them, and finite.
    pub fn new<'d>(scored: impl IntoIterator<Item = (&'d str, f32)>, grades: &BTreeMap<String, i64>) -> Self {
        // −0 ties with 0.
        let mut scored: Vec<(&str, f32)> = scored.into_iter().map(|(id, score)| (id, score + 0.0)).collect();
        scored.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then_with(|| b.0.cmp(a.0)));
        let gains = scored.iter().map(|(id, _)| grades.get(*id).copied().unwrap_or(0).max(0)).collect();
        let mut ideal: Vec<i64> = grades.values().copied().filter(|&grade| grade > 0).collect();
        ideal.sort_unstable_by(|a, b| b.cmp(a));
        Self { gains, ideal }
    }

    /// Normalised discounted cumulative gain of the first `depth` documents, in [0, 1]: trec_eval's `ndcg_cut`.
    ///
    /// DCG = Σ gᵢ / log₂(i + 1) over ranks i = 1..depth, with the grade itself as gain, divided by the DCG of all relevant
    /// documents in the order of their grades. Source: Järvelin & Kekäläinen, *Cumulated gain-based evaluation of IR
    /// techniques*, ACM TOIS 20 (2002), <https://doi.org/10.1145/582415.582418>.
    pub fn ndcg(&self, depth: usize) -> f64 {
        let dcg = |gains: &[i64]| -> f64 {
            let discounted = |(rank, &gain): (usize, &i64)| gain as f64 / ((rank + 2) as f64).log2();
            gains.iter().take(depth).enumerate().map(discounted).sum()
        };
        ratio(dcg(&self.gains), dcg(&self.ideal))
    }

    /// Share of the relevant documents among the first `depth`, in [0, 1].
    pub fn recall(&self, depth: usize) -> f64 {
        let found = self.gains.iter().take(depth).filter(|&&gain| gain > 0).count();
        ratio(found as f64, self.ideal.len() as f64)
    }

    /// 1 / rank of the first relevant document, or 0 if none is among the first `depth`.
    pub fn reciprocal_rank(&self, depth: usize) -> f64 {
        let first = self.gains.iter().take(depth).position(|&gain| gain > 0);
        first.map_or(0.0, |position| 1.0 / (position + 1) as f64)
    }

    /// Average precision over the first `depth` documents, in [0, 1]; its mean over questions is MAP.
    ///
    /// Σ (relevant among the first i) / i over the ranks i of relevant documents, divided by the number of relevant
    /// documents, retrieved or not. A TREC run holds 1000 documents per question; MAP is usually computed at that
    /// depth.
    pub fn average_precision(&self, depth: usize) -> f64 {
        let ranks = (1_usize..).zip(self.gains.iter().take(depth)).filter(|(_, gain)| **gain > 0);
        let precisions = (1_usize..).zip(ranks).map(|(found, (rank, _))| found as f64 / rank as f64);
        ratio(precisions.sum(), self.ideal.len() as f64)
    }
}

/// 0 of 0 is 0.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn grades(judged: &[(&str, i64)]) -> BTreeMap<String, i64> {
        judged.iter().map(|&(id, grade)| (id.to_owned(), grade)).collect()
    }

    #[test]
    fn every_metric_is_that_of_pytrec_eval() {
        // scripts/reference/retrieval_metrics.py rankings
        let text = include_str!("../tests/fixtures/rankings.json");
        let cases: Vec<Value> = serde_json::from_str(text).unwrap();
        assert_eq!(cases.len(), 12);
        for (number, case) in cases.iter().enumerate() {
            let object = |key: &str| case[key].as_object().unwrap();
            let run: Vec<(&str, f32)> = object("run")
                .iter()
                .map(|(id, score)| (id.as_str(), score.as_f64().unwrap() as f32))
                .collect();
            let grades =
                object("qrels").iter().map(|(id, grade)| (id.clone(), grade.as_i64().unwrap())).collect();
            let ranking = JudgedRanking::new(run, &grades);
            for (metric, value) in [
                ("ndcg@10", ranking.ndcg(10)),
                ("recall@1", ranking.recall(1)),
                ("recall@5", ranking.recall(5)),
                ("recall@10", ranking.recall(10)),
                ("recall@100", ranking.recall(100)),
                ("mrr@10", ranking.reciprocal_rank(10)),
                ("map", ranking.average_precision(1000)),
            ] {
                let expected = case["metrics"][metric].as_f64().unwrap();
                assert!((value - expected).abs() < 1e-9, "case {number}, {metric}: {value}, not {expected}");
            }
        }
    }

    #[test]
    fn relevant_documents_that_were_not_retrieved_count_in_the_ideal() {
        // pytrec_eval-terrier 0.5.11, ndcg_cut_10 of run {d1..d5 in this order} with qrels {d2: 2, d4: 1, d9: 3}.
        let run = [("d1", 5.0), ("d2", 4.0), ("d3", 3.0), ("d4", 2.0), ("d5", 1.0)];
        let value = JudgedRanking::new(run, &grades(&[("d2", 2), ("d4", 1), ("d9", 3)])).ndcg(10);
        assert!((value - 0.355_435_950_981).abs() < 1e-9, "{value}");
    }

    #[test]
    fn a_tie_goes_to_the_greater_id_and_zero_has_no_sign() {
        let ranking = JudgedRanking::new([("d10", 0.0), ("d9", -0.0), ("d2", 0.0)], &grades(&[("d10", 1)]));
        assert_eq!(ranking.reciprocal_rank(10), 1.0 / 3.0);
    }

    #[test]
    fn where_nothing_is_relevant_every_metric_is_0() {
        let ranking = JudgedRanking::new([("a", 1.0)], &grades(&[("a", 0), ("b", -1)]));
        let all = [
            ranking.ndcg(10),
            ranking.recall(10),
            ranking.reciprocal_rank(10),
            ranking.average_precision(10),
        ];
        assert_eq!(all, [0.0; 4]);
    }

    proptest! {
        #[test]
        fn the_ideal_ranking_is_perfect_and_no_other_is_better(
            judged in prop::collection::vec((0..4_i64, 0..9_u8), 1..40)
        ) {
            let ids: Vec<String> = (0..judged.len()).map(|i| i.to_string()).collect();
            let grades: BTreeMap<String, i64> =
                ids.iter().cloned().zip(judged.iter().map(|(grade, _)| *grade)).collect();
            prop_assume!(grades.values().any(|&grade| grade > 0));
            let of = |score: fn(&(i64, u8)) -> f32| {
                JudgedRanking::new(ids.iter().map(String::as_str).zip(judged.iter().map(score)), &grades)
            };
            let (best, other) = (of(|(grade, _)| *grade as f32), of(|(_, score)| f32::from(*score)));
            for metric in [JudgedRanking::ndcg, JudgedRanking::reciprocal_rank, JudgedRanking::average_precision] {
                prop_assert!((metric(&best, 100) - 1.0).abs() < 1e-12);
                prop_assert!((0.0..=1.0).contains(&metric(&other, 100)));
            }
            prop_assert_eq!(other.recall(100), 1.0);
        }
    }
}
