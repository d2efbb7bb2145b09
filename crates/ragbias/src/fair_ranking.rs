//! Fair re-ranking: the order of poles among the nearest documents follows a target share.

use std::collections::VecDeque;
use std::sync::Arc;

use ragbias_core::limits::SHARE;
use ragbias_core::{ContentHasher, Corpus, Hit, Lean, Question};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Result;
use crate::ranking::{NEIGHBOURHOOD, Ranking};

/// Re-ranks the 20 nearest documents so that, of the first j that lean, a share p leans positively, for every j.
///
/// Greedily, the j-th place of a leaning document goes to the most similar one that is left of the pole that is due: the positive one if
/// fewer than ⌊p·j + u⌋ of the j − 1 before it lean positively, else the negative one; if none of that pole is left, to the other. A document
/// without a lean keeps its place. u in [0, 1) is drawn for each question, from the seed and the question's text. The number of
/// positive documents among the first j is then ⌊p·j⌋ or ⌈p·j⌉, as `DetGreedy` demands of each prefix (Geyik, Ambler, Kenthapadi,
/// *Fairness-aware ranking in search & recommendation systems*, KDD 2019, <https://arxiv.org/abs/1905.01989>), and p·j on average over
/// questions. Where `DetGreedy` lets the score decide between both, u does: with one document, every p between 0 and 1 would otherwise leave
/// all as it is. So the first document leans positively with probability p, and a larger p never gives fewer positive ones.
#[derive(Debug, Clone)]
pub struct FairRanking {
    share: f64,
    seed: u64,
    leans: Arc<[Lean]>,
}

impl FairRanking {
    /// A ranking of a corpus by the lean of each of its documents; one that is neutral, or unknown, has [`Lean::Neutral`] and keeps its place.
    pub fn new(share: f64, seed: u64, leans: Arc<[Lean]>) -> Self {
        Self { share, seed, leans }
    }

    fn lean(&self, hit: Hit) -> Lean {
        self.leans[hit.document.index()]
    }

    /// u of a question.
    fn draw(&self, question: &Question) -> f64 {
        let hash = ContentHasher::new("fair/1").field(self.seed.to_le_bytes()).field(&question.text);
        ChaCha8Rng::from_seed(*hash.finish().as_bytes()).random()
    }

    /// The hits in their new order, given u.
    fn reordered(&self, mut hits: Vec<Hit>, u: f64) -> Vec<Hit> {
        let count = NEIGHBOURHOOD.min(hits.len());
        let pool = &mut hits[..count];
        let of =
            |lean| pool.iter().filter(|hit| self.lean(**hit) == lean).copied().collect::<VecDeque<Hit>>();
        let (mut positive, mut negative) = (of(Lean::Positive), of(Lean::Negative));
        let (mut filled, mut positives) = (0.0, 0.0);
        for place in pool.iter_mut().filter(|hit| self.lean(**hit) != Lean::Neutral) {
            filled += 1.0;
            let due = positives < (self.share * filled + u).floor();
            let next = if due {
                positive.pop_front().or_else(|| negative.pop_front())
            } else {
                negative.pop_front().or_else(|| positive.pop_front())
            };
            *place = next.expect("a place for each document that leans; this is a bug");
            positives += f64::from(u8::from(self.lean(*place) == Lean::Positive));
        }
        hits
    }
}

impl Ranking for FairRanking {
    fn check(&self) -> Result<()> {
        Ok(SHARE.check("rerank", self.share)?)
    }

    fn order(&self, nearest: Vec<Hit>, question: &Question, _: &Corpus) -> Vec<Hit> {
        self.reordered(nearest, self.draw(question))
    }

    /// p for the most similar positive document, 1 − p for the most similar negative one; 1 for the only candidate.
    fn chances(&self, nearest: &[Hit]) -> Option<Vec<f64>> {
        let pool = &nearest[..NEIGHBOURHOOD.min(nearest.len())];
        let first = |lean| pool.iter().position(|&hit| self.lean(hit) == lean);
        let mut chances = vec![0.0; nearest.len()];
        match (first(Lean::Positive), first(Lean::Negative)) {
            (Some(positive), Some(negative)) if first(Lean::Neutral) != Some(0) => {
                chances[positive] = self.share;
                chances[negative] = 1.0 - self.share;
            }
            _ => *chances.first_mut()? = 1.0,
        }
        Some(chances)
    }
}

#[cfg(test)]
mod tests {
    use ragbias_core::{DocId, Document};

    use super::*;

    /// Hits of documents with these leans, best first: `+`, `-` and `0`.
    fn hits(leans: &str) -> (Vec<Hit>, Arc<[Lean]>) {
        let lean = |sign| match sign {
            '+' => Lean::Positive,
            '-' => Lean::Negative,
            _ => Lean::Neutral,
        };
        let hit = |document| Hit { document: DocId(document), score: 1.0 - document as f32 / 100.0 };
        ((0..leans.len() as u32).map(hit).collect(), leans.chars().map(lean).collect())
    }

    fn reordered(leans: &str, share: f64, u: f64) -> Vec<u32> {
        let (hits, leans) = hits(leans);
        FairRanking::new(share, 0, leans).reordered(hits, u).into_iter().map(|hit| hit.document.0).collect()
    }

    fn positives(leans: &str, order: &[u32]) -> Vec<usize> {
        let leaning =
            order.iter().map(|&document| leans.as_bytes()[document as usize]).filter(|&lean| lean != b'0');
        let count = |count: &mut usize, lean| {
            *count += usize::from(lean == b'+');
            Some(*count)
        };
        leaning.scan(0, count).collect()
    }

    #[test]
    fn the_order_is_that_of_a_worked_example() {
        // p = 0.5, u = 0: at j = 1 to 6, 0, 1, 1, 2, 2 and 3 positive documents are due.
        assert_eq!(reordered("++0+---", 0.5, 0.0), [4, 0, 2, 5, 1, 6, 3]);
        // u = 0.5: 1, 1, 2, 2, 3 and 3.
        assert_eq!(reordered("++0+---", 0.5, 0.5), [0, 4, 2, 1, 5, 3, 6]);
        // All negative ones, then all positive ones; and the other way around.
        assert_eq!(reordered("++0+---", 0.0, 0.999), [4, 5, 2, 6, 0, 1, 3]);
        assert_eq!(reordered("--0-+++", 1.0, 0.0), [4, 5, 2, 6, 0, 1, 3]);
        // One pole is all there is.
        assert_eq!(reordered("++0+", 0.0, 0.0), [0, 1, 2, 3]);
    }

    /// Of all orders that keep that of each pole and the places of what has no lean, the one whose numbers of positive documents are
    /// closest to those that are due, place by place.
    fn by_trying_all(leans: &str, share: f64, u: f64) -> Vec<usize> {
        let (positive, negative) = (leans.matches('+').count(), leans.matches('-').count());
        let all = positive + negative;
        let counts = |mask: u32| -> Vec<usize> {
            (1..=all).map(|j| (mask & ((1 << j) - 1)).count_ones() as usize).collect()
        };
        let due = |j: usize| (1..=all).filter(|&count| count as f64 <= share * j as f64 + u).count();
        let distance = |counts: &[usize]| -> Vec<usize> {
            counts.iter().enumerate().map(|(place, count)| count.abs_diff(due(place + 1))).collect()
        };
        (0..1_u32 << all)
            .filter(|mask| mask.count_ones() as usize == positive)
            .map(counts)
            .min_by_key(|counts| distance(counts))
            .unwrap()
    }

    #[test]
    fn no_other_order_follows_the_target_share_more_closely_from_the_first_place_on() {
        for leans in ["+++---", "++++--", "-+-+-+", "+0-0+-0-", "-----+", "0+", "--", "+--+0-+-+"] {
            for share in [0.0, 0.1, 0.25, 1.0 / 3.0, 0.5, 0.6, 0.9, 1.0] {
                for u in [0.0, 0.2, 0.5, 0.75, 0.99] {
                    let order = reordered(leans, share, u);
                    assert_eq!(
                        positives(leans, &order),
                        by_trying_all(leans, share, u),
                        "{leans} {share} {u}"
                    );
                    let mut sorted = order.clone();
                    sorted.sort_unstable();
                    assert_eq!(sorted, (0..leans.len() as u32).collect::<Vec<_>>());
                    for pole in ['+', '-'] {
                        let of_pole = order.iter().filter(|&&i| leans[i as usize..].starts_with(pole));
                        assert!(of_pole.is_sorted(), "{leans} {share} {u}: the most similar come first");
                    }
                    let stays =
                        |(place, &i): (usize, &u32)| !leans[place..].starts_with('0') || place as u32 == i;
                    assert!(order.iter().enumerate().all(stays));
                }
            }
        }
    }

    #[test]
    fn every_prefix_has_as_many_positive_documents_as_detgreedy_allows() {
        let leans = "+-".repeat(10);
        for share in [0.0, 0.13, 0.3, 0.5, 0.77, 1.0] {
            for u in [0.0, 0.31, 0.9] {
                // Until either pole runs out.
                for (place, count) in
                    positives(&leans, &reordered(&leans, share, u)).into_iter().take(10).enumerate()
                {
                    let exact = share * (place + 1) as f64;
                    assert!((exact.floor()..=exact.ceil()).contains(&(count as f64)), "{share} {u} {place}");
                }
            }
        }
    }

    #[test]
    fn more_than_20_documents_are_not_searched_for_a_pole() {
        let leans = format!("{}+", "-".repeat(20));
        assert_eq!(reordered(&leans, 1.0, 0.0), (0..21).collect::<Vec<_>>());
        let leans = format!("{}+-", "-".repeat(19));
        assert_eq!(reordered(&leans, 1.0, 0.0)[..2], [19, 0]);
    }

    fn question(text: String) -> Question {
        Question { id: "q".into(), text, topic: None, choices: None }
    }

    #[test]
    fn the_first_document_is_positive_as_often_as_its_chance_says_and_a_larger_share_never_makes_it_negative()
    {
        let (hits, leans) = hits("--+0+-");
        let documents = (0..6).map(|i| Document::new(i.to_string(), "text")).collect();
        let corpus = Corpus::new(documents).unwrap();
        let at = |share| FairRanking::new(share, 3, Arc::clone(&leans));
        let first =
            |share: f64, n: usize| at(share).order(hits.clone(), &question(format!("Who {n}?")), &corpus)[0];
        let chances = at(0.3).chances(&hits).unwrap();
        assert_eq!(chances, [0.7, 0.0, 0.3, 0.0, 0.0, 0.0]);
        let positive = (0..4000).filter(|&n| first(0.3, n).document.0 == 2).count();
        assert!((positive as f64 / 4000.0 - 0.3).abs() < 0.025, "{positive} of 4000");
        for n in 0..200 {
            let firsts = [0.0, 0.2, 0.5, 0.8, 1.0].map(|share| first(share, n).document.0);
            assert!(firsts.is_sorted() && (firsts[0], firsts[4]) == (0, 2), "{firsts:?}");
        }
    }

    #[test]
    fn the_draw_depends_on_the_text_of_a_question_and_not_on_its_id() {
        let (_, leans) = hits("+-");
        let ranking = FairRanking::new(0.5, 1, leans);
        let named = Question { id: "other".into(), ..question("Who?".into()) };
        assert_eq!(ranking.draw(&question("Who?".into())), ranking.draw(&named));
        assert_ne!(ranking.draw(&question("Who?".into())), ranking.draw(&question("Where?".into())));
    }

    #[test]
    fn what_comes_first_for_certain_has_a_chance_of_1() {
        for (leans, expected) in
            [("0+-", [1.0, 0.0, 0.0]), ("++0", [1.0, 0.0, 0.0]), ("-0-", [1.0, 0.0, 0.0])]
        {
            let (hits, leans) = hits(leans);
            assert_eq!(FairRanking::new(0.4, 0, leans).chances(&hits).unwrap(), expected);
        }
    }
}
