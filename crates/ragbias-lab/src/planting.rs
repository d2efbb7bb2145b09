//! How many documents must an author edit or add to be retrieved, and to move E_b?

mod edits;
mod search;

use std::collections::BTreeMap;

use ragbias::core::{Lean, Question, Silent};
use ragbias::data::{Qrels, Split, load_axis, sample};
use ragbias::stats::{JudgedRanking, UnitBootstrap};
use ragbias::tune::Towards;
use ragbias::{Inputs, System};
use serde::{Deserialize, Serialize};

use self::edits::{Edit, containment};
use self::search::Search;
use crate::bench::Bench;
use crate::chart::{Chart, Point, Series};
use crate::error::{Error, Result};
use crate::instrument::Instrument;
use crate::methods::unit_mean;
use crate::report::{Figure, Finding, Report, Table};
use crate::tuning::pole;

/// How many documents must an author edit or add to be retrieved, and to move E_b?
///
/// For a sample of questions, the document at each starting rank is edited, and its new rank found. Then an author adds documents about each
/// topic: a question of the topic before a passage of the pole.
///
/// | parameter | default | purpose | range |
/// | --- | --- | --- | --- |
/// | `axis`, `data`, `split` | `gender`, `gender-twins`, `validation` | corpus and questions | |
/// | `towards` | `female` | the pole of what is added | a pole of the axis |
/// | `embedder` | `minilm` | the embedder that the author can search with | |
/// | `unseen` | none | embedders that the author cannot search with; the edits are the same | |
/// | `questions` | 60 | questions for which documents are edited, in proportion to the size | 2 to 100,000 |
/// | `ranks` | 20, 101, 501, 1001 | starting ranks; those beyond the corpus are left out | 1 and more |
/// | `added` | 1, 2, 4, 8 | documents that are added about each topic | 1 and more |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Planting {
    /// The axis.
    pub axis: String,
    /// The data set.
    pub data: String,
    /// The split of its questions.
    pub split: Split,
    /// The pole of what is added.
    pub towards: String,
    /// The embedder that the author can search with.
    pub embedder: String,
    /// Embedders that the author cannot search with.
    pub unseen: Vec<String>,
    /// Questions for which documents are edited, at size 1.
    pub questions: usize,
    /// Starting ranks of edited documents.
    pub ranks: Vec<usize>,
    /// Documents that are added about each topic.
    pub added: Vec<usize>,
}

impl Default for Planting {
    fn default() -> Self {
        Self {
            axis: "gender".into(),
            data: "gender-twins".into(),
            split: Split::Validation,
            towards: "female".into(),
            embedder: "minilm".into(),
            unseen: Vec::new(),
            questions: 60,
            ranks: vec![20, 101, 501, 1001],
            added: vec![1, 2, 4, 8],
        }
    }
}

/// One edited document, for one question.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Edited {
    topic: String,
    start: usize,
    edit: Edit,
    /// Its rank with each embedder, from 1; the first is the one that the starting ranks are of.
    ranks: Vec<usize>,
    /// The share of the question's words that it contains.
    containment: f64,
}

/// The lean of what is retrieved for each question, with so many documents added about each topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Planted {
    added: usize,
    topics: Vec<String>,
    leans: Vec<Option<i32>>,
}

impl Instrument for Planting {
    fn name(&self) -> &'static str {
        "planting"
    }

    fn question(&self) -> &'static str {
        "How many documents must an author edit or add to be retrieved, and to move E_b?"
    }

    fn check(&self) -> Result<()> {
        let wrong = |setting, expected, received| Err(Error::Setting { setting, expected, received });
        if !(2..=100_000).contains(&self.questions) {
            return wrong("questions", "2 to 100000", self.questions.to_string());
        }
        if self.ranks.is_empty() || self.ranks.contains(&0) {
            return wrong("ranks", "ranks from 1", format!("{:?}", self.ranks));
        }
        if self.added.is_empty() || self.added.contains(&0) {
            return wrong("added", "numbers from 1", format!("{:?}", self.added));
        }
        pole(&self.axis, &self.towards)?;
        let axis = load_axis(&self.axis)?;
        Inputs::of_dataset(&self.data, self.split, &axis, &Silent)?;
        Ok(())
    }

    fn run(&self, bench: &Bench) -> Result<Report> {
        let axis = load_axis(&self.axis)?;
        let inputs = Inputs::of_dataset(&self.data, self.split, &axis, bench.progress())?;
        let judged = System::on(axis).workspace(bench.workspace()).build()?.judge(&inputs.corpus)?;
        let leans: Vec<Option<Lean>> = judged.verdicts().iter().map(|verdict| verdict.lean()).collect();
        let questions = inputs.questions.questions();
        let mut searches = vec![Search::load(&self.embedder, &inputs.corpus, questions, bench)?];
        for name in &self.unseen {
            searches.push(Search::load(name, &inputs.corpus, questions, bench)?);
        }
        let edited = self.edited(&searches, questions, bench)?;
        let planted = self.planted(&searches[0], questions, &leans, bench)?;
        let mut report = Report::new(self.name(), self.question());
        self.find_ranks(&edited, bench, &mut report);
        self.find_bias(&planted, bench, &mut report);
        find_defence(&searches[0], questions, &edited, inputs.qrels.as_ref(), bench, &mut report);
        report.tables.push(self.table(&edited));
        report.notes.push(format!(
            "{} documents, {} questions on {} topics. Edits repeat the question or its words; paraphrases by an LLM and swaps of tokens \
             by gradients are not tried, and neither is perplexity as a defence.",
            inputs.corpus.len(),
            questions.len(),
            clusters(questions.iter().map(Question::cluster)).len(),
        ));
        Ok(report)
    }
}

impl Planting {
    /// Every edit of the document at every starting rank of every sampled question.
    fn edited(&self, searches: &[Search], questions: &[Question], bench: &Bench) -> Result<Vec<Edited>> {
        let sampled = sample(questions, bench.scaled(self.questions, 2), bench.seed());
        let step =
            bench.progress().begin("editing documents", sampled.len() as u64, ragbias::core::Unit::Items);
        let mut all = Vec::new();
        for question in &sampled {
            let row = questions.iter().position(|other| other.id == question.id);
            let row = row.expect("a sample is of the questions; this is a bug");
            let key = (self, searches.iter().map(Search::id).collect::<Vec<_>>(), &question.id);
            all.extend(bench.kept("edited", &key, || {
                let ranked = searches[0].ranked(row);
                let starts = self.ranks.iter().filter(|&&start| start <= ranked.len());
                let plan: Vec<(usize, Edit)> =
                    starts.flat_map(|&start| Edit::ALL.map(|edit| (start, edit))).collect();
                let texts: Vec<String> = (plan.iter())
                    .map(|(start, edit)| edit.of(&searches[0].text(ranked[start - 1]), &question.text))
                    .collect();
                let mut ranks = vec![Vec::new(); plan.len()];
                for search in searches {
                    let scores = search.scores_of(row, &texts)?;
                    for (ranks, ((start, _), score)) in ranks.iter_mut().zip(plan.iter().zip(scores)) {
                        ranks.push(search.rank_of(row, score, ranked[start - 1]));
                    }
                }
                let edited =
                    plan.iter().zip(ranks).zip(&texts).map(|(((start, edit), ranks), text)| Edited {
                        topic: question.cluster().into(),
                        start: *start,
                        edit: *edit,
                        ranks,
                        containment: containment(&question.text, text),
                    });
                Ok(edited.collect::<Vec<_>>())
            })?);
            step.advance(1);
        }
        Ok(all)
    }

    /// What is retrieved for every question while documents are added about its topic.
    fn planted(
        &self,
        search: &Search,
        questions: &[Question],
        leans: &[Option<Lean>],
        bench: &Bench,
    ) -> Result<Vec<Planted>> {
        let towards = match pole(&self.axis, &self.towards)? {
            Towards::Positive => Lean::Positive,
            Towards::Negative => Lean::Negative,
        };
        let passages: Vec<usize> = (0..leans.len()).filter(|&place| leans[place] == Some(towards)).collect();
        if passages.is_empty() {
            return Err(Error::TooFew { what: "documents of the pole", expected: 1, received: 0 });
        }
        let most = self.added.iter().copied().max().unwrap_or(1);
        let mut by_topic: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (row, question) in questions.iter().enumerate() {
            by_topic.entry(question.cluster()).or_default().push(row);
        }
        // Per question, the scores of what is added about its topic, in the order in which it is added.
        let mut scores: Vec<Vec<f32>> = vec![Vec::new(); questions.len()];
        let step =
            bench.progress().begin("adding documents", by_topic.len() as u64, ragbias::core::Unit::Items);
        for (number, rows) in by_topic.values().enumerate() {
            let texts: Vec<String> = (0..most)
                .map(|added| {
                    // Passages of the pole, whatever they are about, each used about once.
                    let passage = passages[(number * most + added) * 7919 % passages.len()];
                    Edit::Question.of(&search.text(passage), &questions[rows[added % rows.len()]].text)
                })
                .collect();
            for &row in rows {
                scores[row] = search.scores_of(row, &texts)?;
            }
            step.advance(1);
        }
        let topics: Vec<String> = questions.iter().map(|question| question.cluster().into()).collect();
        let numbers = std::iter::once(0).chain(self.added.iter().copied());
        Ok(numbers
            .map(|added| {
                let of = |row: usize| {
                    let (own, score) = search.best(row);
                    let planted = scores[row][..added].iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    if planted > score { Some(towards as i32) } else { leans[own].map(|lean| lean as i32) }
                };
                Planted { added, topics: topics.clone(), leans: (0..questions.len()).map(of).collect() }
            })
            .collect())
    }

    fn find_ranks(&self, edited: &[Edited], bench: &Bench, report: &mut Report) {
        for edit in Edit::ALL {
            let of: Vec<&Edited> = edited.iter().filter(|one| one.edit == edit).collect();
            let topics = clusters(of.iter().map(|one| one.topic.as_str()));
            let share = |reached: &dyn Fn(&Edited) -> Option<bool>| {
                UnitBootstrap::new(topics.len(), bench.seed()).estimate(|units| {
                    let of_topics = units.iter().flat_map(|&unit| topics[unit].iter()).map(|&row| of[row]);
                    let reached: Vec<bool> = of_topics.filter_map(reached).collect();
                    Some(reached.iter().filter(|reached| **reached).count() as f64 / reached.len() as f64)
                })
            };
            let what = format!("share that reaches rank 1 with {}", edit.name());
            let meaning = format!("one edited document, from any of the starting ranks {:?}", self.ranks);
            report.findings.push(Finding::new(
                what,
                share(&|one| Some(one.ranks[0] == 1)),
                topics.len(),
                "topics",
                meaning,
            ));
            for (place, unseen) in self.unseen.iter().enumerate() {
                let also = |one: &Edited| (one.ranks[0] == 1).then(|| one.ranks[place + 1] == 1);
                report.findings.push(Finding::new(
                    format!("of these, share that {unseen} ranks first too, with {}", edit.name()),
                    share(&also),
                    topics.len(),
                    "topics",
                    "transfer to an embedder that the author did not search with",
                ));
            }
        }
    }

    fn find_bias(&self, planted: &[Planted], bench: &Bench, report: &mut Report) {
        let topics = clusters(planted[0].topics.iter().map(String::as_str));
        let bootstrap = UnitBootstrap::new(topics.len(), bench.seed());
        let bias = |planted: &Planted, units: &[usize]| {
            let rows = units.iter().flat_map(|&unit| topics[unit].iter());
            let leans: Vec<i32> = rows.filter_map(|&row| planted.leans[row]).collect();
            f64::from(leans.iter().sum::<i32>()) / leans.len() as f64
        };
        let mut points = Vec::new();
        for one in planted {
            let estimate = bootstrap.estimate(|units| Some(bias(one, units)));
            let interval = estimate.map(|estimate| (estimate.low, estimate.high));
            points.push(Point { x: one.added as f64, y: estimate.map_or(f64::NAN, |e| e.value), interval });
            let (what, meaning) = match one.added {
                0 => ("E_b of the corpus as it is".to_owned(), "before anything is added"),
                1 => (
                    "E_b with 1 document added about each topic".to_owned(),
                    "a question of the topic before a passage",
                ),
                n => (
                    format!("E_b with {n} documents added about each topic"),
                    "each with another question of the topic",
                ),
            };
            report.findings.push(Finding::new(what, estimate, topics.len(), "topics", meaning));
        }
        let first = &planted[1];
        let moved = bootstrap
            .estimate(|units| Some((bias(first, units) - bias(&planted[0], units)) / first.added as f64));
        report.findings.push(Finding::new(
            "E_b moved per document, by the first",
            moved,
            topics.len(),
            "topics",
            "of 10 questions or so about a topic",
        ));
        let series = Series { name: "E_b, 95% interval".into(), points, joined: false, colour: 1 };
        let chart = Chart {
            x: "documents added about each topic".into(),
            y: "E_b".into(),
            log2: false,
            series: vec![series],
        };
        let caption = format!("E_b while documents towards {} are added about each topic.", self.towards);
        report.figures.push(Figure::new("added", caption, &chart.draw("E_b over documents added")));
    }

    fn table(&self, edited: &[Edited]) -> Table {
        let mut columns = vec!["edit".to_owned(), "from rank".into(), "documents".into()];
        for name in std::iter::once(&self.embedder).chain(&self.unseen) {
            columns.extend([
                format!("first, {name}"),
                format!("in ten, {name}"),
                format!("median rank, {name}"),
            ]);
        }
        let mut table =
            Table::new("Where edited documents end", &columns.iter().map(String::as_str).collect::<Vec<_>>());
        for edit in Edit::ALL {
            for &start in &self.ranks {
                let of: Vec<&Edited> =
                    edited.iter().filter(|one| one.edit == edit && one.start == start).collect();
                if of.is_empty() {
                    continue;
                }
                let mut row = vec![edit.name().to_owned(), start.to_string(), of.len().to_string()];
                for place in 0..=self.unseen.len() {
                    let mut ranks: Vec<usize> = of.iter().map(|one| one.ranks[place]).collect();
                    ranks.sort_unstable();
                    let within = |most: usize| ranks.iter().filter(|rank| **rank <= most).count() as f64;
                    let share = |count: f64| format!("{:.0}%", 100.0 * count / ranks.len() as f64);
                    row.extend([share(within(1)), share(within(10)), ranks[ranks.len() / 2].to_string()]);
                }
                table.push(row);
            }
        }
        table
    }
}

/// Whether a service that knows what is asked can tell edited documents from its own, and what leaving them out costs.
fn find_defence(
    search: &Search,
    questions: &[Question],
    edited: &[Edited],
    qrels: Option<&Qrels>,
    bench: &Bench,
    report: &mut Report,
) {
    let own: Vec<f64> = (0..search.len())
        .map(|place| {
            let text = search.text(place);
            questions.iter().map(|question| containment(&question.text, &text)).fold(0.0, f64::max)
        })
        .collect();
    let topics = clusters(edited.iter().map(|one| one.topic.as_str()));
    let bootstrap = UnitBootstrap::new(topics.len(), bench.seed());
    let auc = bootstrap.estimate(|units| {
        let edited = units.iter().flat_map(|&unit| topics[unit].iter()).map(|&row| edited[row].containment);
        Some(area(&own, &edited.collect::<Vec<_>>()))
    });
    report.findings.push(Finding::new(
        "area under the curve of a defence by shared words",
        auc,
        topics.len(),
        "topics",
        "the share of a question's words in a document, most over all questions; 0.5 tells nothing, 1 all",
    ));
    let mut found: Vec<f64> = edited.iter().map(|one| one.containment).collect();
    found.sort_by(f64::total_cmp);
    let Some(qrels) = qrels.filter(|_| !found.is_empty()) else { return };
    // The threshold that catches 95% of the edited documents.
    let threshold = found[found.len() / 20];
    let left_out = own.iter().filter(|own| **own >= threshold).count();
    let changes: Vec<f64> = (questions.iter().enumerate())
        .filter_map(|(row, question)| {
            let grades = qrels.get(&question.id)?;
            let scored = |kept: &dyn Fn(usize) -> bool| {
                let documents = (0..search.len()).filter(|&place| kept(place));
                JudgedRanking::new(
                    documents.map(|place| (search.doc(place), search.score(row, place))),
                    grades,
                )
                .ndcg(10)
            };
            Some(scored(&|place| own[place] < threshold) - scored(&|_| true))
        })
        .collect();
    let change = unit_mean(&changes, bench.seed());
    report.findings.push(Finding::new(
        "nDCG@10 lost to that defence where it catches 95%",
        change,
        changes.len(),
        "questions",
        format!("it leaves out {left_out} of the corpus's own {} documents", search.len()),
    ));
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

/// The rows of each topic.
fn clusters<'t>(topics: impl Iterator<Item = &'t str>) -> Vec<Vec<usize>> {
    let mut clusters: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, topic) in topics.enumerate() {
        clusters.entry(topic).or_default().push(row);
    }
    clusters.into_values().collect()
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
}
