//! The poles of the documents: how many of each there are in a split and in a topic, and how long they are.

use std::collections::{BTreeMap, BTreeSet};

use ragbias_core::Lean;
use serde::Serialize;

use super::finding::Findings;
use super::subject::Subject;
use crate::text::shown;

/// A split whose mean lean is farther from 0 is reported: half of the δ that verdicts are judged by.
const SPLIT_TOLERANCE: f64 = 0.05;
/// The same for a topic: a quarter more of one pole than of the other.
const TOPIC_TOLERANCE: f64 = 0.25;
/// A difference of the poles' mean lengths up to this share of the longer one is not reported.
const LENGTH_TOLERANCE: f64 = 0.05;
/// z of a two-sided 95% interval.
const Z: f64 = 1.959_963_984_540_054;

/// The poles of the documents that are relevant to the questions of a split or of a topic.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Balance {
    /// The split, or the topic.
    pub of: String,
    /// Questions.
    pub questions: usize,
    /// Topics of the questions.
    pub topics: usize,
    /// Documents that lean to the negative pole.
    pub negative: usize,
    /// Documents that lean to neither, or to both.
    pub neutral: usize,
    /// Documents that lean to the positive pole.
    pub positive: usize,
    /// Documents without a label.
    pub unlabelled: usize,
    /// Mean lean of the labelled documents, −1 to 1; none without them.
    pub balance: Option<f64>,
}

/// Words per document, by pole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lengths {
    /// Mean words of the documents that lean to the negative pole.
    pub negative: f64,
    /// Mean words of the documents that lean to the positive pole.
    pub positive: f64,
    /// Lower end of the 95% interval of their difference, positive − negative.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The balance by split and by topic, most one-sided first.
pub(super) fn check(subject: &Subject, findings: &mut Findings) -> (Vec<Balance>, Vec<Balance>) {
    let mut splits: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut topics: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut clusters: BTreeMap<&str, &str> = BTreeMap::new();
    for question in subject.questions.questions() {
        clusters.insert(&question.id, question.cluster());
        for split in subject.splits_of(&question.id) {
            splits.entry(split).or_default().push(&question.id);
        }
        if question.topic.is_some() {
            topics.entry(question.cluster()).or_default().push(&question.id);
        }
    }
    if splits.is_empty() {
        splits.insert("all", clusters.keys().copied().collect());
    }
    let of = |(name, questions): (&str, Vec<&str>)| balance(subject, &clusters, name, &questions);
    let splits: Vec<Balance> = splits.into_iter().map(of).collect();
    let mut topics: Vec<Balance> = topics.into_iter().map(of).collect();
    topics.sort_by(|a, b| b.distance().total_cmp(&a.distance()).then_with(|| a.of.cmp(&b.of)));
    report(subject, &splits, &topics, findings);
    (splits, topics)
}

impl Balance {
    fn distance(&self) -> f64 {
        self.balance.unwrap_or_default().abs()
    }

    fn poles(&self) -> String {
        let Self { negative, neutral, positive, .. } = self;
        format!("{negative} negative, {neutral} neutral, {positive} positive documents")
    }
}

fn balance(subject: &Subject, clusters: &BTreeMap<&str, &str>, of: &str, questions: &[&str]) -> Balance {
    let documents: BTreeSet<&str> =
        questions.iter().flat_map(|question| subject.relevant(question)).collect();
    let count = |wanted: Option<Lean>| documents.iter().filter(|id| lean(subject, id) == wanted).count();
    let [negative, neutral, positive] =
        [Lean::Negative, Lean::Neutral, Lean::Positive].map(|lean| count(Some(lean)));
    let labelled = negative + neutral + positive;
    let topics: BTreeSet<&str> =
        questions.iter().filter_map(|question| clusters.get(question).copied()).collect();
    Balance {
        of: of.into(),
        questions: questions.len(),
        topics: topics.len(),
        negative,
        neutral,
        positive,
        unlabelled: documents.len() - labelled,
        balance: (labelled > 0).then(|| (positive as f64 - negative as f64) / labelled as f64),
    }
}

fn lean(subject: &Subject, document: &str) -> Option<Lean> {
    let position = subject.corpus.position(document)?;
    subject.corpus.document(position).gold_lean().ok().flatten()
}

fn report(subject: &Subject, splits: &[Balance], topics: &[Balance], findings: &mut Findings) {
    let labelled: usize = splits.iter().map(|split| split.negative + split.neutral + split.positive).sum();
    let without: usize = splits.iter().map(|split| split.unlabelled).sum();
    if labelled == 0 {
        let message =
            "no relevant document has a label, `metadata.lean`: the balance of the poles is unknown";
        findings.note("unlabelled", subject.corpus_file(), message.into());
        return;
    }
    if without > 0 {
        let message = format!("{without} relevant documents have no label, {labelled} have one");
        findings.warning("unlabelled", subject.corpus_file(), message);
    }
    for split in splits.iter().filter(|split| split.distance() > SPLIT_TOLERANCE) {
        let mean = split.balance.unwrap_or_default();
        let message = format!("split {} has a mean lean of {mean:+.3}: {}", split.of, split.poles());
        findings.warning("balance", subject.corpus_file(), message);
    }
    for topic in topics.iter().filter(|topic| topic.distance() > TOPIC_TOLERANCE) {
        let mean = topic.balance.unwrap_or_default();
        let message =
            format!("topic `{}` has a mean lean of {mean:+.3}: {}", shown(&topic.of), topic.poles());
        findings.warning("topic-balance", subject.corpus_file(), message);
    }
}

/// Whether the documents of the poles differ in length: a difference of the means of more than 5% whose 95% interval (Welch, normal
/// approximation) excludes 0.
pub(super) fn check_lengths(subject: &Subject, findings: &mut Findings) -> Option<Lengths> {
    let mut words: BTreeMap<Lean, Vec<f64>> = BTreeMap::new();
    for document in subject.corpus.documents() {
        if let Ok(Some(lean)) = document.gold_lean() {
            words.entry(lean).or_default().push(document.full_text().split_whitespace().count() as f64);
        }
    }
    let (negative, positive) =
        (mean_and_error(words.get(&Lean::Negative)?)?, mean_and_error(words.get(&Lean::Positive)?)?);
    let (difference, error) = (positive.0 - negative.0, positive.1.hypot(negative.1));
    let lengths = Lengths {
        negative: negative.0,
        positive: positive.0,
        low: difference - Z * error,
        high: difference + Z * error,
    };
    let excludes_zero = lengths.low > 0.0 || lengths.high < 0.0;
    if excludes_zero && difference.abs() > LENGTH_TOLERANCE * lengths.negative.max(lengths.positive) {
        let Lengths { negative, positive, low, high } = lengths;
        let message = format!(
            "documents of the negative pole have {negative:.1} words on average, of the positive {positive:.1}: a difference of \
             {difference:+.1} [{low:+.1}, {high:+.1}]; an embedder may prefer a length rather than a pole"
        );
        findings.warning("length", subject.corpus_file(), message);
    }
    Some(lengths)
}

/// Mean and its standard error; none for fewer than two values.
fn mean_and_error(values: &[f64]) -> Option<(f64, f64)> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (values.len() > 1).then(|| (mean, (variance / n).sqrt()))
}
