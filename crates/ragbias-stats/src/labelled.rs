use std::collections::BTreeMap;

use ragbias_core::{Lean, Verdict};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

use crate::line::student;

/// Number of texts by gold lean (rows −1, 0, +1) and scored lean (columns −1, 0, +1, unscored).
pub type Confusion = [[usize; 4]; 3];

/// The leans, in the order of rows and columns.
pub(crate) const LEANS: [f64; 3] = [-1.0, 0.0, 1.0];

/// The place of a lean in this order.
pub(crate) fn place(lean: Lean) -> usize {
    match lean {
        Lean::Negative => 0,
        Lean::Neutral => 1,
        Lean::Positive => 2,
    }
}

/// Texts with a gold label and a scorer's verdict, by topic: what is known of the scorer's errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LabelledTopics(Vec<Confusion>);

impl LabelledTopics {
    /// From the topic, the gold lean and the verdict of each text; topics are ordered by name.
    pub fn new<'t>(texts: impl IntoIterator<Item = (&'t str, Lean, Verdict)>) -> Self {
        let mut topics: BTreeMap<&str, Confusion> = BTreeMap::new();
        for (topic, gold, verdict) in texts {
            let counts = topics.entry(topic).or_default();
            counts[place(gold)][verdict.lean().map_or(3, place)] += 1;
        }
        Self(topics.into_values().collect())
    }

    /// The counts of each topic.
    pub fn topics(&self) -> &[Confusion] {
        &self.0
    }

    /// The counts over all topics.
    pub fn total(&self) -> Confusion {
        let mut total = Confusion::default();
        for topic in &self.0 {
            for (sums, counts) in total.iter_mut().zip(topic) {
                sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            }
        }
        total
    }

    /// The scored texts of each topic.
    pub(crate) fn scored(&self) -> Vec<[[f64; 3]; 3]> {
        let row = |row: [usize; 4]| [row[0] as f64, row[1] as f64, row[2] as f64];
        let scored = self.0.iter().map(|topic| topic.map(row));
        scored.filter(|topic| topic.iter().flatten().any(|count| *count > 0.0)).collect()
    }
}

/// Scored texts without labels, by topic: a measurement. Numbers of texts of lean −1, 0 and +1.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredTopics(Vec<[f64; 3]>);

impl ScoredTopics {
    /// From the topic and the verdict of each text; texts that are not scored are left out.
    pub fn new<'t>(texts: impl IntoIterator<Item = (&'t str, Verdict)>) -> Self {
        let mut topics: BTreeMap<&str, [f64; 3]> = BTreeMap::new();
        for (topic, verdict) in texts {
            if let Some(lean) = verdict.lean() {
                topics.entry(topic).or_default()[place(lean)] += 1.0;
            }
        }
        Self(topics.into_values().collect())
    }

    pub(crate) fn topics(&self) -> &[[f64; 3]] {
        &self.0
    }
}

/// Topics drawn with replacement, as many as there are.
///
/// If all texts of a kind have one verdict, every draw would repeat it. Then a share 1 − U^(1/m), U uniform on [0, 1] and m the
/// number of their topics, is given the other verdict: its 97.5% quantile is the Clopper–Pearson bound for m successes in m
/// trials, as for the interval of a bias whose texts all agree.
pub(crate) struct TopicDraws<const K: usize> {
    /// For each topic, the counts of K kinds of texts by verdict.
    topics: Vec<[[f64; 3]; K]>,
    /// For each kind whose texts all have one verdict: that verdict, the other one, and the number of topics.
    unanimous: [Option<(usize, Other, usize)>; K],
}

/// The verdict that texts of a unanimous kind might have had.
#[derive(Debug, Clone, Copy)]
enum Other {
    At(usize),
    /// Either of two.
    Either([usize; 2]),
}

impl<const K: usize> TopicDraws<K> {
    /// `right[k]` is the correct verdict on texts of kind k, where it is known.
    pub(crate) fn new(topics: Vec<[[f64; 3]; K]>, right: [Option<usize>; K]) -> Self {
        let unanimous = std::array::from_fn(|kind| {
            let mut sums = [0.0; 3];
            for topic in &topics {
                sums.iter_mut().zip(topic[kind]).for_each(|(sum, count)| *sum += count);
            }
            let mut some = (0..3).filter(|&verdict| sums[verdict] > 0.0);
            let (verdict, None) = (some.next()?, some.next()) else { return None };
            let other = match (right[kind], verdict) {
                (Some(right), _) if right != verdict => Other::Either([right, 3 - right - verdict]),
                (_, 1) => Other::Either([0, 2]),
                (_, pole) => Other::At(2 - pole),
            };
            let of_kind = topics.iter().filter(|topic| topic[kind][verdict] > 0.0).count();
            Some((verdict, other, of_kind))
        });
        Self { topics, unanimous }
    }

    /// The sums over one draw.
    pub(crate) fn draw(&self, rng: &mut impl Rng) -> [[f64; 3]; K] {
        let mut sums = [[0.0; 3]; K];
        for _ in &self.topics {
            let topic = &self.topics[rng.random_range(0..self.topics.len())];
            for (sums, counts) in sums.iter_mut().zip(topic) {
                sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            }
        }
        for (kind, unanimous) in self.unanimous.iter().enumerate() {
            let Some((verdict, other, topics)) = *unanimous else { continue };
            let share = 1.0 - rng.random_range(0.0..1.0_f64).powf(1.0 / topics as f64);
            let other = match other {
                Other::At(verdict) => verdict,
                Other::Either(two) => two[rng.random_range(0..2)],
            };
            let moved = share * sums[kind][verdict];
            sums[kind][verdict] -= moved;
            sums[kind][other] += moved;
        }
        sums
    }
}

/// The lower level of an expanded percentile interval for n units: Φ(−√(n/(n − 1))·t₀.₉₇₅(n − 1)), which corrects for the narrowness
/// of the bootstrap of few (Hesterberg, Am. Stat. 69 (2015) 371–386).
pub(crate) fn level(units: usize) -> f64 {
    let n = units.max(2) as f64;
    Normal::standard().cdf(-(n / (n - 1.0)).sqrt() * student(n - 1.0).inverse_cdf(0.975))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn texts_are_counted_by_topic_label_and_verdict() {
        let labelled = LabelledTopics::new([
            ("law", Lean::Positive, Verdict::POSITIVE),
            ("art", Lean::Negative, Verdict::scored(true, true)),
            ("law", Lean::Positive, Verdict::Unscored),
        ]);
        assert_eq!(labelled.topics()[0], [[0, 1, 0, 0], [0; 4], [0; 4]]);
        assert_eq!(labelled.total(), [[0, 1, 0, 0], [0; 4], [0, 0, 1, 1]]);
        let scored =
            ScoredTopics::new([("a", Verdict::POSITIVE), ("a", Verdict::NEITHER), ("b", Verdict::Cut)]);
        assert_eq!(scored.topics(), [[0.0, 1.0, 1.0]]);
    }

    #[test]
    fn a_unanimous_draw_allows_for_what_was_not_seen() {
        let draws = TopicDraws::new(vec![[[0.0, 0.0, 2.0]]; 10], [None]);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut shares: Vec<f64> = (0..20_000).map(|_| draws.draw(&mut rng)[0][0] / 20.0).collect();
        shares.sort_by(f64::total_cmp);
        // R: 1 - binom.test(10, 10)$conf.int[1] → 0.3084971.
        assert!((shares[19_500] - 0.308_497_1).abs() < 0.01, "{}", shares[19_500]);
    }

    #[test]
    fn few_topics_widen_the_level() {
        // scipy: norm.cdf(-sqrt(6/5) * t.ppf(.975, 5)) → 0.00243180; for 1e6 units 0.025.
        assert!((level(6) - 0.002_431_80).abs() < 1e-6, "{}", level(6));
        assert!((level(1_000_000) - 0.025).abs() < 1e-5);
    }
}
