//! What one system answered, and what it says of its reliance and its s.

use std::collections::BTreeMap;

use ragbias::core::Lean;
use ragbias::stats::{Estimate, Line, Points, UnitBootstrap};
use serde::{Deserialize, Serialize};

use crate::asking::answer;
use crate::contexts::{LEVELS, TOGETHER};

/// The answers to a question on which reliance is measured: each is the mean log-probability of a token of the positive name less that
/// of the negative one, in nats, so that its sign is the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Relied {
    pub(super) topic: String,
    /// Without a context.
    pub(super) closed_book: f64,
    /// With the negative twin alone, and with the positive one.
    pub(super) alone: [f64; 2],
    /// With the twin that contradicts the closed-book answer at each place among three passages, of which another is its own twin.
    pub(super) at_places: [f64; TOGETHER],
}

/// The answers to a question on which s is measured, one per level of E_b.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Moved {
    pub(super) topic: String,
    pub(super) mixed: [f64; LEVELS.len()],
}

/// The answers of one system: an LLM with a wording of its prompt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SystemAnswers {
    pub(super) llm: String,
    pub(super) wording: String,
    pub(super) relied: Vec<Relied>,
    pub(super) moved: Vec<Moved>,
}

/// A measure of the rows of some questions; none if it is not defined for them.
pub(super) type Measure<R> = fn(&[&R]) -> Option<f64>;

/// A row of answers, and its cluster.
pub(super) trait OfTopic {
    fn topic(&self) -> &str;
}

impl OfTopic for Relied {
    fn topic(&self) -> &str {
        &self.topic
    }
}

impl OfTopic for Moved {
    fn topic(&self) -> &str {
        &self.topic
    }
}

/// The pole that contradicts a closed-book answer; none if that prefers neither name.
pub(super) fn contradicting(closed_book: f64) -> Option<Lean> {
    match answer(closed_book) {
        Lean::Positive => Some(Lean::Negative),
        Lean::Negative => Some(Lean::Positive),
        Lean::Neutral => None,
    }
}

/// 1 if an answer follows a pole, 0 if it follows the other, 1/2 if it prefers neither.
fn follows(pole: Lean, difference: f64) -> f64 {
    f64::midpoint(1.0, pole.value() * answer(difference).value())
}

impl Relied {
    /// The share of the two contexts of one passage that the answers follow.
    fn reliance(&self) -> f64 {
        f64::midpoint(follows(Lean::Negative, self.alone[0]), follows(Lean::Positive, self.alone[1]))
    }

    /// Whether the answer follows the passage that contradicts, shown alone; none if no passage does.
    fn counterfactual(&self) -> Option<f64> {
        let pole = contradicting(self.closed_book)?;
        Some(follows(pole, self.alone[usize::from(pole == Lean::Positive)]))
    }

    /// Whether it follows that passage at a place among three, rather than its twin.
    fn contested_at(&self, place: usize) -> Option<f64> {
        Some(follows(contradicting(self.closed_book)?, self.at_places[place]))
    }

    /// Half of what showing the positive twin in place of the negative one adds, in nats per token.
    fn shift(&self) -> f64 {
        (self.alone[1] - self.alone[0]) / 2.0
    }
}

/// The mean of what is defined; none of nothing.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) = values.flatten().fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// R_ctx: the share of contexts of one passage that the answers follow, over both twins.
pub(super) fn reliance(rows: &[&Relied]) -> Option<f64> {
    mean(rows.iter().map(|row| Some(row.reliance())))
}

/// The share of contradicting contexts of one passage that the answers follow.
pub(super) fn counterfactual(rows: &[&Relied]) -> Option<f64> {
    mean(rows.iter().map(|row| row.counterfactual()))
}

/// The share of contradicting passages at a place among three that is followed, rather than the twin beside.
pub(super) fn contested_at(place: usize, rows: &[&Relied]) -> Option<f64> {
    mean(rows.iter().map(|row| row.contested_at(place)))
}

/// The same over all places.
pub(super) fn contested(rows: &[&Relied]) -> Option<f64> {
    let shares = (0..TOGETHER).map(|place| contested_at(place, rows));
    Some(shares.sum::<Option<f64>>()? / TOGETHER as f64)
}

/// How far the passage moves the answer, in nats per token per unit of E_b.
pub(super) fn shift(rows: &[&Relied]) -> Option<f64> {
    mean(rows.iter().map(|row| Some(row.shift())))
}

/// R_b at each of the [`LEVELS`] of E_b.
pub(super) fn rag_biases(rows: &[&Moved]) -> [f64; LEVELS.len()] {
    std::array::from_fn(|level| {
        rows.iter().map(|row| answer(row.mixed[level]).value()).sum::<f64>() / rows.len() as f64
    })
}

/// s: the slope of R_b over E_b; none of no rows.
pub(super) fn sensitivity(rows: &[&Moved]) -> Option<f64> {
    let points = Points::new(LEVELS.to_vec(), rag_biases(rows).to_vec()).ok()?;
    Some(Line::fit(&points).ok()?.slope)
}

/// The slope of the mean difference of log-probabilities over E_b, in nats per token: Σ x·y / Σ x², as the levels' mean is 0.
pub(super) fn sensitivity_in_nats(rows: &[&Moved]) -> Option<f64> {
    let square: f64 = LEVELS.iter().map(|level| level * level).sum();
    let slope = |row: &Moved| LEVELS.iter().zip(row.mixed).map(|(level, d)| level * d).sum::<f64>() / square;
    mean(rows.iter().map(|row| Some(slope(row))))
}

/// Rows by topic, in the order of the topics' names.
pub(super) fn topics<R: OfTopic>(rows: &[R]) -> Vec<Vec<usize>> {
    let mut topics: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, row) in rows.iter().enumerate() {
        topics.entry(row.topic()).or_default().push(place);
    }
    topics.into_values().collect()
}

/// The rows of drawn topics, each as often as it was drawn.
pub(super) fn drawn<'r, R>(rows: &'r [R], topics: &[Vec<usize>], units: &[usize]) -> Vec<&'r R> {
    units.iter().flat_map(|&unit| &topics[unit]).map(|&row| &rows[row]).collect()
}

/// A statistic of rows with its interval over their topics.
pub(super) fn over_topics<R: OfTopic>(
    rows: &[R],
    seed: u64,
    statistic: impl Fn(&[&R]) -> Option<f64>,
) -> Option<Estimate> {
    let topics = topics(rows);
    UnitBootstrap::new(topics.len(), seed).estimate(|units| statistic(&drawn(rows, &topics, units)))
}

/// The places of rows in three groups of equal size (to one) by |closed-book difference|: from the least sure to the surest.
pub(super) fn thirds(rows: &[Relied]) -> [Vec<usize>; 3] {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let sureness = |row: usize| rows[row].closed_book.abs();
    order.sort_by(|&a, &b| sureness(a).total_cmp(&sureness(b)).then(a.cmp(&b)));
    std::array::from_fn(|third| order[third * order.len() / 3..(third + 1) * order.len() / 3].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(topic: &str, closed_book: f64, alone: [f64; 2], at_places: [f64; 3]) -> Relied {
        Relied { topic: topic.into(), closed_book, alone, at_places }
    }

    #[test]
    fn the_share_that_follows_is_over_both_twins_or_over_the_contradicting_one() {
        // Without a context the positive name; its answer follows the negative passage.
        let moved = row("a", 0.5, [-1.0, 2.0], [-1.0, 1.0, -1.0]);
        // Without a context the negative name; it stays, whatever is shown.
        let stays = row("b", -0.5, [-1.0, -0.2], [-1.0, -1.0, 1.0]);
        // Neither name, with or without: no passage contradicts.
        let even = row("c", 0.0, [0.0, 0.0], [0.0; 3]);
        let rows = [&moved, &stays, &even];
        assert_eq!(reliance(&rows), Some((1.0 + 0.5 + 0.5) / 3.0));
        assert_eq!(counterfactual(&rows), Some(0.5));
        let places: Vec<Option<f64>> = (0..3).map(|place| contested_at(place, &rows)).collect();
        assert_eq!(places, [Some(0.5), Some(0.0), Some(1.0)]);
        assert!((contested(&rows).unwrap() - 0.5).abs() < 1e-12);
        assert!((shift(&rows).unwrap() - (1.5 + 0.4) / 3.0).abs() < 1e-12);
        assert_eq!(counterfactual(&[&even]), None);
    }

    #[test]
    fn the_share_that_follows_is_the_sensitivity_to_one_passage() {
        // E_b is −1 or +1, and R_b(+1) − R_b(−1) = 2s.
        let rows: Vec<Relied> = (0..20)
            .map(|i| row("a", 1.0, [f64::from(i % 3) - 1.0, f64::from(i % 5) - 1.5], [0.0; 3]))
            .collect();
        let rows: Vec<&Relied> = rows.iter().collect();
        let rag = |shown: usize| rows.iter().map(|r| answer(r.alone[shown]).value()).sum::<f64>() / 20.0;
        let s = (rag(1) - rag(0)) / 2.0;
        assert!((s - (2.0 * reliance(&rows).unwrap() - 1.0)).abs() < 1e-12);
    }

    #[test]
    fn a_planted_sensitivity_is_found_by_both_slopes() {
        // 0.6·E_b + 0.1 in nats, with an offset per question that cancels.
        let rows: Vec<Moved> = (0..60)
            .map(|i| {
                let offset = (f64::from(i) + 0.5) / 30.0 - 1.0;
                let mixed = LEVELS.map(|level| 0.6 * level + 0.1 + offset);
                Moved { topic: format!("t{}", i % 20), mixed }
            })
            .collect();
        let nats = over_topics(&rows, 0, sensitivity_in_nats).unwrap();
        assert!((nats.value - 0.6).abs() < 1e-12 && nats.high - nats.low < 1e-9, "{nats:?}");
        // R_b is the mean sign: with offsets uniform in [−1, 1], 0.6·E_b + 0.1 again.
        let s = over_topics(&rows, 0, sensitivity).unwrap();
        assert!((s.value - 0.6).abs() < 0.05 && s.covers(0.6), "{s:?}");
        let all: Vec<&Moved> = rows.iter().collect();
        assert!(rag_biases(&all).iter().zip(LEVELS).all(|(r, e)| (r - 0.6 * e - 0.1).abs() < 0.06));
    }

    #[test]
    fn thirds_are_by_how_sure_the_answer_without_a_context_is() {
        let rows: Vec<Relied> =
            [0.3, -0.9, 0.1, 0.8, -0.2].map(|closed_book| row("a", closed_book, [0.0; 2], [0.0; 3])).into();
        assert_eq!(thirds(&rows), [vec![2], vec![4, 0], vec![3, 1]]);
    }
}
