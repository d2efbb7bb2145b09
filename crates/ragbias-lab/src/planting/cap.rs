//! A cap of one document per author in each result.

use std::collections::BTreeSet;

use ragbias::core::{DocId, Lean};

use super::added::Added;
use super::collection::Collection;
use super::defences::ndcg;
use super::search::Search;
use crate::methods::topic_mean;
use crate::report::{Finding, Report};

/// Documents of a result.
const DEPTH: usize = 10;

/// The first ten: the leans of its documents, and how many of them the author added.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FirstTen {
    leans: Vec<i32>,
    added: usize,
}

impl FirstTen {
    /// The first documents of the corpus's own, with their scores and leans, and of those that were added, at most `cap` of them. Own
    /// documents come before others of their score.
    fn of(own: &[(f32, Option<i32>)], added: &[f32], lean: i32, cap: usize) -> Self {
        let mut added: Vec<f32> = added.to_vec();
        added.sort_by(|a, b| b.total_cmp(a));
        added.truncate(cap);
        let own = own.iter().map(|&(score, lean)| (score, lean, false));
        let mut all: Vec<(f32, Option<i32>, bool)> =
            own.chain(added.into_iter().map(|score| (score, Some(lean), true))).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        all.truncate(DEPTH);
        Self {
            leans: all.iter().filter_map(|(_, lean, _)| *lean).collect(),
            added: all.iter().filter(|(.., added)| *added).count(),
        }
    }

    /// The mean lean; none if nothing is scored.
    fn lean(&self) -> Option<f64> {
        (!self.leans.is_empty()).then(|| f64::from(self.leans.iter().sum::<i32>()) / self.leans.len() as f64)
    }

    fn share(&self) -> f64 {
        self.added as f64 / DEPTH as f64
    }
}

/// Adds what the cap does to the first ten while each author adds `count` documents about each topic, and what it costs.
pub(super) fn find(
    collection: &Collection,
    search: &Search,
    authors: &[Added],
    (towards, count): (Lean, usize),
    seed: u64,
    report: &mut Report,
) {
    let rows = 0..collection.questions.len();
    let own: Vec<Vec<(f32, Option<i32>)>> = (rows.clone())
        .map(|row| {
            let first = search.ranked(row).into_iter().take(DEPTH);
            let lean = |place: usize| collection.leans[place].map(|lean| lean as i32);
            first.map(|place| (search.score(row, place), lean(place))).collect()
        })
        .collect();
    let mut push = |what: String, meaning: &str, value: &dyn Fn(usize) -> Option<f64>| {
        let values = rows.clone().filter_map(|row| Some((collection.topic(row), value(row)?)));
        let (estimate, n) = topic_mean(values, seed);
        report.findings.push(Finding::new(what, estimate, n, "topics", meaning));
    };
    for author in authors {
        let of =
            |row: usize, cap: usize| FirstTen::of(&own[row], author.scores(row, count), towards as i32, cap);
        let without = |row: usize| FirstTen::of(&own[row], &[], towards as i32, 0).lean();
        let name = author.author.name();
        for (cap, how) in [(usize::MAX, "without a cap"), (1, "with one of an author in each result")] {
            push(
                format!("share of the first ten that {count} documents by {name} take, {how}"),
                "of ten places",
                &|row| Some(of(row, cap).share()),
            );
            push(
                format!("lean of the first ten moved by {count} documents by {name}, {how}"),
                "the mean lean of the ten, less that of the corpus as it is",
                &|row| Some(of(row, cap).lean()? - without(row)?),
            );
        }
    }
    if collection.pairs.is_some() {
        push(
            "nDCG@10 change by the cap, if one author has both twins of each passage".into(),
            "0 if every document has its own author",
            &|row| {
                let kept = one_of_each_passage(collection, &search.ranked(row));
                let capped = ndcg(row, collection, search, |place| kept.contains(&place))?;
                Some(capped - ndcg(row, collection, search, |_| true)?)
            },
        );
    }
}

/// The first document of each passage, and those without a twin.
fn one_of_each_passage(collection: &Collection, ranked: &[usize]) -> BTreeSet<usize> {
    let passage = |place: usize| Some(collection.pairs.as_ref()?.passage(DocId(place as u32))?.0);
    let mut seen = BTreeSet::new();
    ranked
        .iter()
        .copied()
        .filter(|&place| passage(place).is_none_or(|passage| seen.insert(passage)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_takes_many_places_without_a_cap_and_one_with_it() {
        let own: Vec<(f32, Option<i32>)> = (0..10).map(|i| (0.5 - 0.01 * i as f32, Some(-1))).collect();
        let added = [0.9, 0.8, 0.7, 0.1];
        let all = FirstTen::of(&own, &added, 1, usize::MAX);
        assert_eq!((all.added, all.lean()), (3, Some(-0.4)));
        let capped = FirstTen::of(&own, &added, 1, 1);
        assert_eq!((capped.added, capped.lean()), (1, Some(-0.8)));
        let none = FirstTen::of(&own, &[0.1], 1, 1);
        assert_eq!((none.added, none.lean()), (0, Some(-1.0)));
        assert_eq!(FirstTen::of(&own, &[0.5], 1, 1).leans[0], -1, "equal scores: the own document first");
        assert_eq!(FirstTen::of(&[(0.5, None)], &[], 1, 1).lean(), None);
    }
}
