//! Whether a service can tell planted documents from its own, and what leaving them out costs.

use std::collections::BTreeMap;

use ragbias::stats::{JudgedRanking, UnitBootstrap};

use super::collection::Collection;
use super::edited::Edited;
use super::edits::{Edit, containment};
use super::search::Search;
use crate::methods::{clusters, topic_mean};
use crate::report::{Finding, Report, Table, shown};

/// How suspicious a defence finds documents: the greater, the more.
pub(super) struct Suspicion<'a> {
    /// What it looks at.
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
    /// Of each document of the corpus; none where that was not measured.
    pub(super) own: Vec<Option<f64>>,
    /// Of what was planted in each way, with its topic.
    pub(super) planted: Vec<(String, Vec<(&'a str, f64)>)>,
    /// The questions over whose first documents it was measured.
    pub(super) rows: Vec<usize>,
}

/// Edited documents by their edit, with their suspicion.
pub(super) fn by_edit<'a>(
    scored: impl Iterator<Item = (&'a Edited, f64)>,
) -> Vec<(String, Vec<(&'a str, f64)>)> {
    let mut ways: Vec<(String, Vec<(&str, f64)>)> =
        Edit::ALL.iter().map(|edit| (edit.name().to_owned(), Vec::new())).collect();
    for (edited, suspicion) in scored {
        if let Some((_, of)) = ways.iter_mut().find(|(way, _)| way == edited.edit.name()) {
            of.push((&edited.topic, suspicion));
        }
    }
    ways.retain(|(_, of)| !of.is_empty());
    ways
}

/// That of a service which knows what is asked: the share of a question's words in a document, most over all questions.
pub(super) fn shared_words<'a>(collection: &Collection, edited: &'a [Edited]) -> Suspicion<'a> {
    let most = |text: &str| {
        let shares = collection.questions.iter().map(|question| containment(&question.text, text));
        shares.fold(0.0, f64::max)
    };
    Suspicion {
        name: "shared words",
        meaning: "the share of a question's words in a document, most over all questions",
        own: (0..collection.len()).map(|place| Some(most(&collection.text(place)))).collect(),
        planted: by_edit(edited.iter().map(|one| (one, most(&one.text)))),
        rows: (0..collection.questions.len()).collect(),
    }
}

/// The columns of what [`Suspicion::find`] adds to a table.
pub(super) fn table() -> Table {
    let columns = [
        "defence",
        "against",
        "documents",
        "area under the curve",
        "own left out, of those measured",
        "nDCG@10 change",
    ];
    Table::new("Defences, where each catches 95%", &columns)
}

impl Suspicion<'_> {
    /// Adds, for each way of planting, the area under the curve, and what it costs to leave out what is as suspicious as 95% of the planted.
    pub(super) fn find(
        &self,
        collection: &Collection,
        search: &Search,
        seed: u64,
        report: &mut Report,
        table: &mut Table,
    ) {
        let own: Vec<f64> = self.own.iter().copied().flatten().collect();
        for (way, planted) in &self.planted {
            let topics = clusters(planted.iter().map(|(topic, _)| *topic));
            let auc = UnitBootstrap::new(topics.len(), seed).estimate(|units| {
                let rows = units.iter().flat_map(|&unit| topics[unit].iter());
                Some(area(&own, &rows.map(|&row| planted[row].1).collect::<Vec<_>>()))
            });
            let what = format!("area under the curve of {}, against {way}", self.name);
            let meaning = format!("{}; 0.5 tells nothing, 1 all", self.meaning);
            report.findings.push(Finding::new(what, auc, topics.len(), "topics", meaning));

            let threshold = catching(planted.iter().map(|(_, suspicion)| *suspicion));
            let left_out = own.iter().filter(|own| **own >= threshold).count();
            let changes = self.changes(threshold, collection, search);
            let (change, n) = topic_mean(changes.iter().copied(), seed);
            let what = format!("nDCG@10 change by {}, where it catches 95% of {way}", self.name);
            let meaning =
                format!("it leaves out {left_out} of {} own documents that were measured", own.len());
            report.findings.push(Finding::new(what, change, n, "topics", meaning));
            table.push([
                self.name.to_owned(),
                way.clone(),
                planted.len().to_string(),
                auc.map_or("not identified".into(), shown),
                format!("{left_out} of {}", own.len()),
                change.map_or("not identified".into(), shown),
            ]);
        }
    }

    /// The change of each judged question's nDCG@10, with its topic, if documents from this suspicion are left out.
    fn changes<'c>(
        &self,
        threshold: f64,
        collection: &'c Collection,
        search: &Search,
    ) -> Vec<(&'c str, f64)> {
        let is_kept = |place: usize| self.own[place].is_none_or(|own| own < threshold);
        let change = |&row: &usize| {
            let with = ndcg(row, collection, search, is_kept)?;
            Some((collection.topic(row), with - ndcg(row, collection, search, |_| true)?))
        };
        self.rows.iter().filter_map(change).collect()
    }
}

/// nDCG@10 of a question over the documents that are kept; none without judgements.
pub(super) fn ndcg(
    row: usize,
    collection: &Collection,
    search: &Search,
    is_kept: impl Fn(usize) -> bool,
) -> Option<f64> {
    let grades: &BTreeMap<String, i64> = collection.qrels.as_ref()?.get(&collection.questions[row].id)?;
    let kept = (0..collection.len()).filter(|&place| is_kept(place));
    let scored =
        kept.map(|place| (collection.corpus.documents()[place].id.as_str(), search.score(row, place)));
    Some(JudgedRanking::new(scored, grades).ndcg(10))
}

/// The greatest threshold at which 95% of these are caught; those at the threshold are.
fn catching(suspicions: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = suspicions.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 20).copied().unwrap_or(f64::INFINITY)
}

/// The probability that a value of `above` is greater than one of `below`, ties counting half: Mann and Whitney's statistic.
fn area(below: &[f64], above: &[f64]) -> f64 {
    let mut sorted = below.to_vec();
    sorted.sort_by(f64::total_cmp);
    let wins = above.iter().map(|value| {
        let less = sorted.partition_point(|other| other < value);
        let not_more = sorted.partition_point(|other| other <= value);
        f64::midpoint(less as f64, not_more as f64)
    });
    wins.sum::<f64>() / (below.len() * above.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_that_of_all_pairs() {
        let (below, above) = ([0.1, 0.4, 0.4, 0.9], [0.4, 0.5, 1.0]);
        let pairs = above.iter().flat_map(|a| {
            below.iter().map(move |b: &f64| {
                if a > b {
                    1.0
                } else if a == b {
                    0.5
                } else {
                    0.0
                }
            })
        });
        assert!((area(&below, &above) - pairs.sum::<f64>() / 12.0).abs() < 1e-12);
        assert!((area(&below, &below) - 0.5).abs() < 1e-12, "the same distribution tells nothing");
    }

    #[test]
    fn the_threshold_lets_at_most_a_twentieth_pass() {
        let suspicions = |count: usize| (0..count).map(|i| i as f64);
        assert_eq!(catching(suspicions(100)), 5.0);
        assert_eq!(catching(suspicions(19)), 0.0);
        assert_eq!(catching(suspicions(0)), f64::INFINITY);
    }
}
