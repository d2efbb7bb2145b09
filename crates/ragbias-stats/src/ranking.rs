use std::collections::BTreeMap;

/// Normalised discounted cumulative gain of one ranking at a depth: in [0, 1], or `None` where nothing is relevant.
///
/// DCG = Σ gᵢ / log₂(i + 1) over ranks i = 1..k, with the grade itself as gain; the ideal ranks all judged documents by
/// grade. `ranking` holds document ids, best first; `grades` the judged ones, those of 0 and below not relevant. As
/// trec_eval's `ndcg_cut`. Source: Järvelin & Kekäläinen, *Cumulated gain-based evaluation of IR techniques*, ACM TOIS
/// 20 (2002), <https://doi.org/10.1145/582415.582418>.
///
/// ```
/// let grades = [("a".to_string(), 1), ("b".to_string(), 1)].into();
/// let perfect = ragbias_stats::ndcg(&["b", "a", "x"], &grades, 10);
/// assert_eq!(perfect, Some(1.0));
/// ```
pub fn ndcg(ranking: &[&str], grades: &BTreeMap<String, i64>, depth: usize) -> Option<f64> {
    let gain = |rank: usize, grade: i64| grade.max(0) as f64 / ((rank + 2) as f64).log2();
    let mut ideal: Vec<i64> = grades.values().copied().collect();
    ideal.sort_unstable_by(|a, b| b.cmp(a));
    let best: f64 = ideal.iter().take(depth).enumerate().map(|(rank, &grade)| gain(rank, grade)).sum();
    if best == 0.0 {
        return None;
    }
    let dcg: f64 = (ranking.iter().take(depth).enumerate())
        .map(|(rank, document)| gain(rank, grades.get(*document).copied().unwrap_or(0)))
        .sum();
    Some(dcg / best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ndcg_agrees_with_trec_eval() {
        // pytrec_eval-terrier 0.5.11, ndcg_cut_10 of run {d1..d5 in this order} with qrels {d2: 2, d4: 1, d9: 3}.
        let grades = [("d2", 2), ("d4", 1), ("d9", 3)].map(|(d, g)| (d.to_owned(), g)).into();
        let value = ndcg(&["d1", "d2", "d3", "d4", "d5"], &grades, 10).unwrap();
        assert!((value - 0.355_435_950_981).abs() < 1e-9, "{value}");
    }

    #[test]
    fn a_question_without_a_relevant_document_has_no_ndcg() {
        assert_eq!(ndcg(&["a"], &[("a".to_owned(), 0)].into(), 10), None);
    }
}
