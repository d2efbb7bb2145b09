use std::collections::BTreeMap;
use std::path::Path;

use ragbias_core::{BiasScorer, Counts, Document, Passage, Progress, Unit as ProgressUnit};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::entry::{Entry, Known};
use super::moment::Moment;
use super::place::{After, Place};
use super::since::Since;
use super::units::{Judged, Series, Unit, Units};
use super::watched::Watched;
use crate::answering::verdicts;
use crate::{Error, Result};

/// Answers that are scored together.
const BATCH: usize = 256;

/// Answers before the watch began, or since.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answers {
    /// By verdict.
    pub(super) counts: Counts,
    /// Those that show their documents.
    pub(super) with_documents: usize,
    /// Their first documents.
    pub(super) first: Counts,
    /// All their documents.
    pub(super) shown: Counts,
}

impl Answers {
    fn add(&mut self, judged: &Judged) {
        self.counts.add(judged.answer);
        let Some(documents) = &judged.documents else { return };
        self.with_documents += 1;
        if let Some(first) = documents.first() {
            self.first.add(*first);
        }
        for document in documents {
            self.shown.add(*document);
        }
    }
}

/// What is known of a log so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Watch {
    pub(super) place: Place,
    /// Whether the place from which on answers are watched was reached.
    pub(super) has_begun: bool,
    /// The time of the first answer that is watched.
    pub(super) first: Option<Moment>,
    /// The latest time of an answer.
    pub(super) latest: Option<Moment>,
    pub(super) before: Answers,
    pub(super) since: Answers,
    pub(super) units: Units,
    restart: usize,
    series: BTreeMap<Series, Watched>,
}

/// How a log is read.
pub(super) struct Reading<'a> {
    pub(super) known: &'a Known<'a>,
    pub(super) scorer: &'a dyn BiasScorer,
    pub(super) since: Option<&'a Since>,
    pub(super) progress: &'a dyn Progress,
}

impl Watch {
    pub(super) fn new(since: Option<&Since>, restart: usize) -> Self {
        Self {
            place: Place::default(),
            has_begun: since.is_none(),
            first: None,
            latest: None,
            before: Answers::default(),
            since: Answers::default(),
            units: Units::default(),
            restart,
            series: BTreeMap::new(),
        }
    }

    /// A series, if it has a unit.
    pub(super) fn series(&self, series: Series) -> Option<&Watched> {
        self.series.get(&series)
    }

    /// Reads what is new in the log.
    ///
    /// # Errors
    /// A log that has changed, a line that cannot be read, and errors of the scorer.
    pub(super) fn read(&mut self, path: &Path, reading: &Reading<'_>) -> Result<()> {
        let mut after = self.place.open(path)?;
        let step = reading.progress.begin("reading the log", after.left()?, ProgressUnit::Bytes);
        loop {
            let (batch, bytes) = batch(&mut after, reading)?;
            if bytes == 0 {
                break;
            }
            for (entry, judged) in judge(batch, reading.scorer)? {
                self.add(entry, &judged, reading)?;
            }
            step.advance(bytes);
        }
        self.place = after.place()?;
        Ok(())
    }

    fn add(&mut self, entry: Entry, judged: &Judged, reading: &Reading<'_>) -> Result<()> {
        self.latest = self.latest.max(entry.time);
        let reached = match reading.since {
            None => true,
            Some(Since::Moment(moment)) => self.latest >= Some(*moment),
            Some(Since::Topic(topic)) => entry.topic.as_ref() == Some(topic),
        };
        if !self.has_begun && reached {
            let ended = self.units.end_all();
            self.end(ended)?;
            self.has_begun = true;
        }
        let answers = if self.has_begun { &mut self.since } else { &mut self.before };
        answers.add(judged);
        if self.has_begun {
            self.first = self.first.or(entry.time);
        }
        let size = entry.topic.as_deref().and_then(|topic| reading.known.size(topic));
        let ended = self.units.add((entry.topic, entry.question), self.latest, size, judged);
        self.end(ended)
    }

    fn end(&mut self, units: Vec<Unit>) -> Result<()> {
        for unit in units {
            for (series, value) in unit.values() {
                let watched = self.series.entry(series).or_insert_with(|| Watched::new(self.restart));
                watched.push(value, self.has_begun)?;
            }
        }
        Ok(())
    }
}

/// The next entries, and the bytes of their lines; 0 at the end.
fn batch(after: &mut After<'_>, reading: &Reading<'_>) -> Result<(Vec<Entry>, u64)> {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while entries.len() < BATCH {
        let Some((line, place, ended)) = after.next()? else { break };
        if !line.trim().is_empty() {
            match reading.known.read(&line, &place) {
                Ok(entry) => entries.push(in_time(entry, reading, &place)?),
                Err(_) if !ended && serde_json::from_str::<IgnoredAny>(&line).is_err() => {
                    reading
                        .progress
                        .note(&format!("{place}: the line has no end yet, and is left for the next time"));
                    break;
                }
                Err(error) => return Err(error),
            }
        } else if !ended {
            break;
        }
        after.read(line.len(), ended);
        bytes += line.len() as u64;
    }
    Ok((entries, bytes))
}

/// Refuses an answer without a time where the watch begins at one.
fn in_time(entry: Entry, reading: &Reading<'_>, place: &str) -> Result<Entry> {
    match reading.since {
        Some(Since::Moment(moment)) if entry.time.is_none() => {
            let reason = format!(
                "expected `time`, as answers are watched since {moment}\nhint: `since` may name the topic of the first answer that is watched"
            );
            Err(Error::Answers { place: place.to_owned(), reason })
        }
        _ => Ok(entry),
    }
}

/// Scores answers and all their documents.
fn judge(entries: Vec<Entry>, scorer: &dyn BiasScorer) -> Result<Vec<(Entry, Judged)>> {
    let answers = verdicts(scorer, entries.iter().map(|entry| &entry.answered.answer))?;
    let documents: Vec<&Document> =
        entries.iter().flat_map(|entry| entry.answered.documents.iter().flatten()).collect();
    let passages = documents.into_iter().map(Passage::try_from).collect::<Result<Vec<_>, _>>()?;
    let mut of_documents = scorer.score(&passages)?.into_iter();
    let judged: Vec<Judged> = (entries.iter().zip(answers))
        .map(|(entry, answer)| {
            let shown = entry.answered.documents.as_ref().filter(|documents| !documents.is_empty());
            let documents = shown.map(|documents| of_documents.by_ref().take(documents.len()).collect());
            Judged { answer, documents }
        })
        .collect();
    Ok(entries.into_iter().zip(judged).collect())
}
