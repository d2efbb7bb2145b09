use std::ops::RangeInclusive;

use ragbias_stats::{ConfidenceSequence, bounded_mean_interval};
use serde::Serialize;

use super::reference::Reference;
use super::units::Series;
use super::watch::Watch;
use super::watched::ALPHA;
use crate::Result;

/// A part of a RAG system that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The documents that are shown lean otherwise: the embedder, the index or the corpus.
    Retriever,
    /// Answers lean otherwise at documents of equal lean, or without documents.
    Llm,
}

impl Part {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retriever => "the retriever",
            Self::Llm => "the LLM",
        }
    }
}

/// A figure since the watch began, and how much it differs from that of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// In the reference.
    pub before: f64,
    /// Units of the reference.
    pub units_before: usize,
    /// Since.
    pub since: f64,
    /// Units since.
    pub units_since: usize,
    /// Since less before.
    pub value: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Difference {
    /// Whether its interval excludes 0.
    pub fn is_certain(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// What has changed since the reference. Each interval holds at all times; those by which one part is judged hold together with 95%.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The reference, in words.
    pub reference: String,
    /// R_b.
    pub rag_bias: Option<Difference>,
    /// E_b: the first document of each answer.
    pub embedder_bias: Option<Difference>,
    /// C_b of all documents that are shown.
    pub shown_bias: Option<Difference>,
    /// R_b where the first document leans to the negative pole, to neither, and to the positive pole.
    pub rag_bias_at_equal_documents: [Option<Difference>; 3],
    /// s, half the difference of R_b between answers whose first documents lean to the poles.
    pub sensitivity: Option<Difference>,
    /// L_b, if there is a log of the LLM without documents.
    pub llm_bias: Option<Difference>,
    /// Which parts have changed, as far as the log can tell.
    pub moved: Vec<Part>,
    /// What it cannot tell.
    pub not_known: Vec<String>,
}

/// A mean with its interval.
#[derive(Debug, Clone)]
struct Side {
    value: f64,
    units: usize,
    interval: RangeInclusive<f64>,
}

impl Side {
    fn of(sequence: ConfidenceSequence, alpha: f64) -> Option<Self> {
        Some(Self { value: sequence.mean()?, units: sequence.units(), interval: sequence.interval(alpha) })
    }

    /// Half of the difference to another.
    fn slope(&self, other: &Self) -> Self {
        let half = |high: f64, low: f64| (high - low) / 2.0;
        Self {
            value: half(self.value, other.value),
            units: self.units.min(other.units),
            interval: half(*self.interval.start(), *other.interval.end())
                ..=half(*self.interval.end(), *other.interval.start()),
        }
    }

    /// The difference of this, since, to `before`.
    fn less(&self, before: &Self) -> Difference {
        Difference {
            before: before.value,
            units_before: before.units,
            since: self.value,
            units_since: self.units,
            value: self.value - before.value,
            low: self.interval.start() - before.interval.end(),
            high: self.interval.end() - before.interval.start(),
        }
    }
}

/// The difference in a series; its error is divided between the two sides.
fn difference(watch: &Watch, series: Series, alpha: f64) -> Option<Difference> {
    let watched = watch.series(series)?;
    let before = Side::of(watched.reference, alpha / 2.0)?;
    Some(Side::of(watched.all(), alpha / 2.0)?.less(&before))
}

/// The difference of s, whose error is divided among four sequences.
fn sensitivity(watch: &Watch, alpha: f64) -> Option<Difference> {
    let (positive, negative) = (watch.series(Series::OnPositive)?, watch.series(Series::OnNegative)?);
    let share = alpha / 4.0;
    let before = Side::of(positive.reference, share)?.slope(&Side::of(negative.reference, share)?);
    Some(Side::of(positive.all(), share)?.slope(&Side::of(negative.all(), share)?).less(&before))
}

impl Change {
    /// What has changed since a place in the log.
    pub(super) fn within(reference: String, log: &Watch, closed_book: Option<&Watch>) -> Self {
        let shown = [log.before, log.since].map(|answers| (answers.with_documents, answers.counts.asked()));
        let all_shown = shown.iter().all(|(shown, asked)| shown == asked && *asked > 0);
        let of_documents = |series, share: f64| difference(log, series, ALPHA * share).filter(|_| all_shown);
        let mut change = Self {
            reference,
            rag_bias: difference(log, Series::Answers, ALPHA),
            // Two figures tell of the retriever, and four of the LLM.
            embedder_bias: of_documents(Series::First, 0.5),
            shown_bias: of_documents(Series::Shown, 0.5),
            rag_bias_at_equal_documents: Series::AT_EQUAL_DOCUMENTS.map(|series| of_documents(series, 0.25)),
            sensitivity: sensitivity(log, ALPHA).filter(|_| all_shown),
            llm_bias: closed_book.and_then(|alone| difference(alone, Series::Answers, ALPHA * 0.25)),
            moved: Vec::new(),
            not_known: Vec::new(),
        };
        change.moved = change.parts();
        change.not_known = change.unknown(shown, closed_book.is_some());
        change
    }

    /// What has changed since a bias that was measured elsewhere.
    ///
    /// # Errors
    /// A reference that is no bias.
    pub(super) fn since_measured(reference: Reference, log: &Watch) -> Result<Self> {
        let interval = bounded_mean_interval(reference.bias(), reference.n(), ALPHA / 2.0)?;
        let before = Side { value: reference.bias(), units: reference.n(), interval };
        let since = log.series(Series::Answers).and_then(|watched| Side::of(watched.all(), ALPHA / 2.0));
        Ok(Self {
            reference: reference.to_string(),
            rag_bias: since.map(|since| since.less(&before)),
            embedder_bias: None,
            shown_bias: None,
            rag_bias_at_equal_documents: [None; 3],
            sensitivity: None,
            llm_bias: None,
            moved: Vec::new(),
            not_known: vec![
                "which part has changed: the reference is R_b alone; `since DATE` compares with earlier answers of the log".into(),
            ],
        })
    }

    fn parts(&self) -> Vec<Part> {
        let any =
            |differences: &[Option<Difference>]| differences.iter().flatten().any(Difference::is_certain);
        let [negative, neutral, positive] = self.rag_bias_at_equal_documents;
        let retriever = any(&[self.embedder_bias, self.shown_bias]).then_some(Part::Retriever);
        let llm = any(&[negative, neutral, positive, self.llm_bias]).then_some(Part::Llm);
        retriever.into_iter().chain(llm).collect()
    }

    fn unknown(&self, shown: [(usize, usize); 2], has_closed_book: bool) -> Vec<String> {
        let mut unknown = Vec::new();
        let [(before, asked_before), (since, asked_since)] = shown;
        if before == asked_before && since == asked_since {
            unknown.push(
                "whether documents of equal lean are the same documents: where others of the same lean are shown, answers may lean otherwise with the \
                 same LLM"
                    .into(),
            );
        } else {
            unknown.push(format!(
                "whether the retriever has changed: {before} of {asked_before} answers before and {since} of {asked_since} since show their \
                 documents"
            ));
        }
        if !has_closed_book {
            unknown
                .push("whether the LLM has changed without documents: no `closed-book` log was given".into());
        } else if self.llm_bias.is_none() {
            unknown.push(
                "whether the LLM has changed without documents: its log has no unit before or none since"
                    .into(),
            );
        }
        unknown
    }

    /// What has changed, in one sentence.
    pub fn sentence(&self) -> String {
        let Some(rag) = self.rag_bias else {
            return format!("nothing to compare yet with {}", self.reference);
        };
        let shift = format!("{:+.2} [{:+.2}, {:+.2}]", rag.value, rag.low, rag.high).replace('-', "−");
        let since = &self.reference;
        let moved: Vec<&str> = self.moved.iter().map(|part| part.name()).collect();
        let by = moved.join(" and ");
        match (rag.is_certain(), moved.is_empty()) {
            (true, false) => format!("R_b has moved by {shift} since {since}; what changed: {by}"),
            (true, true) => {
                format!("R_b has moved by {shift} since {since}; which part changed cannot be told yet")
            }
            (false, false) => format!(
                "R_b is not known to have moved since {since} ({shift}), but a part has changed: {by}"
            ),
            (false, true) => format!("no change is known since {since}: R_b {shift}"),
        }
    }
}
