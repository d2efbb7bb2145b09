//! E_b and R_b while documents are added.

use super::added::Author;
use crate::chart::{Chart, Point, Series};
use crate::methods::topic_mean;
use crate::report::{Figure, Finding, Report};

/// What is added about each topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planted {
    pub(super) author: Author,
    /// Documents about each topic.
    pub(super) count: usize,
}

/// The leans of each question, of the first document or of the answer.
pub(super) struct Leans<'a> {
    /// `E_b` or `R_b`.
    pub(super) symbol: &'static str,
    /// The topic of each question.
    pub(super) topics: Vec<&'a str>,
    /// Without additions; none if it is not scored.
    pub(super) own: Vec<Option<i32>>,
    /// With what was added, each author's by number.
    pub(super) planted: Vec<(Planted, Vec<Option<i32>>)>,
}

impl Leans<'_> {
    /// Adds the bias with each number of documents, what the first moves, and a figure.
    pub(super) fn find(&self, towards: &str, seed: u64, report: &mut Report) {
        let symbol = self.symbol;
        let mut push = |what: String, leans: &[Option<f64>], meaning: &str| {
            let scored = self.topics.iter().zip(leans).filter_map(|(topic, lean)| Some((*topic, (*lean)?)));
            let (estimate, n) = topic_mean(scored, seed);
            report.findings.push(Finding::new(what, estimate, n, "topics", meaning));
            estimate
        };
        let own: Vec<Option<f64>> = self.own.iter().map(|lean| lean.map(f64::from)).collect();
        let estimate = push(format!("{symbol} of the corpus as it is"), &own, "before anything is added");
        let mut authors: Vec<(Author, Vec<Point>)> = Vec::new();
        for (Planted { author, count }, leans) in &self.planted {
            let leans: Vec<Option<f64>> = leans.iter().map(|lean| lean.map(f64::from)).collect();
            let documents = if *count == 1 { "document" } else { "documents" };
            let what =
                format!("{symbol} with {count} {documents} added about each topic by {}", author.name());
            let meaning = match author {
                Author::Stranger => "questions of the topic before passages about something else",
                Author::Expert => "questions of the topic before the passages that answer them",
            };
            let planted = push(what, &leans, meaning);
            if authors.last().is_none_or(|(last, _)| last != author) {
                let moved: Vec<Option<f64>> = own
                    .iter()
                    .zip(&leans)
                    .map(|(own, lean)| Some((((*lean)?) - (*own)?) / *count as f64))
                    .collect();
                let what = format!("{symbol} moved per document, by the first of {}", author.name());
                push(what, &moved, &format!("{count} about each topic, over all its questions"));
                authors.push((*author, vec![point(0, estimate)]));
            }
            if let Some((_, points)) = authors.last_mut() {
                points.push(point(*count, planted));
            }
        }
        report.figures.push(figure(symbol, towards, authors));
    }
}

fn point(count: usize, estimate: Option<ragbias::stats::Estimate>) -> Point {
    let interval = estimate.map(|estimate| (estimate.low, estimate.high));
    Point { x: count as f64, y: estimate.map_or(f64::NAN, |estimate| estimate.value), interval }
}

fn figure(symbol: &str, towards: &str, authors: Vec<(Author, Vec<Point>)>) -> Figure {
    let series = authors.into_iter().enumerate().map(|(colour, (author, points))| {
        let name = format!("added by {}, 95% interval", author.name());
        Series { name, points, joined: false, colour }
    });
    let chart = Chart {
        x: "documents added about each topic".into(),
        y: symbol.into(),
        log2: false,
        series: series.collect(),
    };
    let id = format!("{}-added", symbol.to_lowercase().replace('_', ""));
    let caption = format!("{symbol} while documents towards {towards} are added about each topic.");
    Figure::new(&id, caption, &chart.draw(&format!("{symbol} over documents added")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPICS: [&str; 4] = ["a", "a", "b", "c"];

    fn found(own: [i32; 4], planted: [i32; 4]) -> Report {
        let mut report = Report::new("planting", "?");
        let by = Planted { author: Author::Stranger, count: 2 };
        let leans = Leans {
            symbol: "E_b",
            topics: TOPICS.to_vec(),
            own: own.map(Some).to_vec(),
            planted: vec![(by, planted.map(Some).to_vec())],
        };
        leans.find("female", 0, &mut report);
        report
    }

    fn value(report: &Report, what: &str) -> f64 {
        let finding = report.findings.iter().find(|finding| finding.what.starts_with(what));
        finding.unwrap().estimate.unwrap().value
    }

    #[test]
    fn a_planted_change_is_found_per_document_and_none_where_nothing_changes() {
        let moved = found([-1; 4], [-1, 1, 1, 1]);
        assert_eq!(value(&moved, "E_b with 2 documents"), 0.5);
        assert_eq!(value(&moved, "E_b moved per document"), 0.75);
        let none = found([-1, 1, 0, 1], [-1, 1, 0, 1]);
        assert_eq!(value(&none, "E_b moved per document"), 0.0);
        assert_eq!(none.figures[0].id, "eb-added");
    }
}
