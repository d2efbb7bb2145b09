use std::collections::BTreeMap;
use std::fmt::Write;

use ragbias_core::Counts;
use ragbias_stats::{Equivalence, RestartedSequence};
use serde::Serialize;

use super::change::Change;
use super::config::MonitorConfig;
use super::units::Series;
use super::watch::Watch;
use super::watched::{ALPHA, SequencePoint};
use crate::Result;
use crate::warnings::{UNSCORED, unscored};

/// What a monitor found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MonitorVerdict {
    /// The sequence of R_b lies within the threshold.
    Ok,
    /// A sequence of R_b lies at or beyond the threshold, or R_b has moved away from 0 since the reference and is not known to be within.
    Drifted,
    /// Neither, or too many answers have no score.
    Watching,
}

impl MonitorVerdict {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Drifted => "drifted",
            Self::Watching => "watching",
        }
    }
}

/// A sequence that began after some of the units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RestartReport {
    /// Units before its first.
    pub after: usize,
    /// Its units, their mean and its interval, which holds together with those of all others.
    #[serde(flatten)]
    pub now: SequencePoint,
    /// What the interval says of the threshold.
    pub verdict: Equivalence,
}

/// A bias that is watched: the mean over units, with an interval that holds at all times together with 95%.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SequenceReport {
    /// Units so far, their mean, and its interval.
    #[serde(flatten)]
    pub now: SequencePoint,
    /// Answers or documents so far, by verdict.
    pub counts: Counts,
    /// The sequences that began later, oldest first.
    pub restarts: Vec<RestartReport>,
    /// How it came about.
    pub sequence: Vec<SequencePoint>,
}

/// The result of a monitor. Serialised, it is the output of `ragbias monitor --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Monitor {
    /// The verdict.
    pub verdict: MonitorVerdict,
    /// Why, where that is not only the sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// R_b; none before the first unit.
    pub rag_bias: Option<SequenceReport>,
    /// Further answers that would decide if they are like those so far; 0 if it is decided, none if so close to the threshold that ten million units do not.
    pub answers_needed: Option<usize>,
    /// The days that these take, if answers have a time.
    pub days_needed: Option<f64>,
    /// E_b; none if an answer does not show its documents.
    pub embedder_bias: Option<SequenceReport>,
    /// C_b of all documents that are shown.
    pub shown_bias: Option<SequenceReport>,
    /// L_b; none without a log of the LLM alone.
    pub llm_bias: Option<SequenceReport>,
    /// What has changed since the reference, if there is one.
    pub change: Option<Change>,
    /// What could not be measured, and why.
    pub not_measured: BTreeMap<&'static str, String>,
    /// Answers that wait for the end of their topic's unit.
    pub waiting_answers: usize,
    /// What makes the figures doubtful.
    pub warnings: Vec<String>,
    /// The axis.
    pub axis: String,
    /// The log.
    pub log: String,
    /// Lines of the log that were read, in all.
    pub lines: usize,
    /// The scorer of answers and documents.
    pub scorer: String,
    /// The settings.
    pub config: MonitorConfig,
}

impl Monitor {
    /// What the logs say so far; `named` are the axis, the log and the scorer.
    pub(super) fn of(
        log: &Watch,
        closed_book: Option<&Watch>,
        config: &MonitorConfig,
        named: [&str; 3],
    ) -> Result<Self> {
        let mut not_measured = BTreeMap::new();
        let report = |watch: &Watch, series| of_series(watch, series, config.threshold);
        let rag_bias = report(log, Series::Answers)?;
        let (shown, asked) = (log.since.with_documents, log.since.counts.asked());
        let (embedder_bias, shown_bias) = if shown == asked {
            (report(log, Series::First)?, report(log, Series::Shown)?)
        } else {
            not_measured.insert("embedder_bias", documents_missing(shown, asked));
            (None, None)
        };
        let llm_bias = if let Some(alone) = closed_book {
            report(alone, Series::Answers)?
        } else {
            not_measured.insert("llm_bias", "no `closed-book` log was given".into());
            None
        };
        let change = match (&config.since, config.reference) {
            (Some(since), _) => Some(Change::within(since.to_string(), log, closed_book)),
            (None, Some(reference)) => Some(Change::since_measured(reference, log)?),
            (None, None) => None,
        };
        let counts = log.since.counts;
        let (verdict, reason) = verdict(rag_bias.as_ref(), change.as_ref(), counts, config)?;
        let (answers_needed, days_needed) = match verdict {
            MonitorVerdict::Watching => needed(log, config.threshold),
            MonitorVerdict::Ok | MonitorVerdict::Drifted => (Some(0), None),
        };
        let [axis, name, scorer] = named.map(str::to_owned);
        Ok(Self {
            verdict,
            reason,
            rag_bias,
            answers_needed,
            days_needed,
            embedder_bias,
            shown_bias,
            llm_bias,
            change,
            not_measured,
            waiting_answers: log.units.waiting().1,
            warnings: warnings(log, closed_book),
            axis,
            log: name,
            lines: log.place.lines,
            scorer,
            config: config.clone(),
        })
    }

    /// The verdict in one sentence.
    pub fn sentence(&self) -> String {
        let measured = self.rag_bias.as_ref().map_or("no unit of answers has a score".into(), |bias| {
            let SequencePoint { units, value, low, high } = bias.now;
            format!(
                "R_b = {value:+.3} [{low:+.3}, {high:+.3}] over {units} units, {} answers",
                bias.counts.asked()
            )
            .replace('-', "−")
        });
        let mut said = format!("{}: {measured}; threshold ±{}", self.verdict.name(), self.config.threshold);
        if let Some(reason) = &self.reason {
            let _ = write!(said, "; {reason}");
        } else if self.verdict == MonitorVerdict::Watching && self.rag_bias.is_some() {
            let days = self
                .days_needed
                .map_or_else(String::new, |days| format!(" ({days:.1} days at the present rate)"));
            let _ = match self.answers_needed {
                Some(needed) => write!(said, "; {needed} more answers like these would decide{days}"),
                None => write!(said, "; so close to the threshold that no number of answers would decide"),
            };
        }
        said
    }

    /// The biases that were measured, with their symbols.
    pub fn biases(&self) -> impl Iterator<Item = (&'static str, &SequenceReport)> {
        let all = [
            ("R_b", &self.rag_bias),
            ("E_b", &self.embedder_bias),
            ("C_b of what is shown", &self.shown_bias),
            ("L_b", &self.llm_bias),
        ];
        all.into_iter().filter_map(|(symbol, bias)| Some((symbol, bias.as_ref()?)))
    }
}

fn documents_missing(shown: usize, asked: usize) -> String {
    if shown == 0 {
        "the log does not show which documents were retrieved".into()
    } else {
        format!("only {shown} of {asked} answers show the documents that were retrieved")
    }
}

fn of_series(watch: &Watch, series: Series, threshold: f64) -> Result<Option<SequenceReport>> {
    let Some(watched) = watch.series(series) else { return Ok(None) };
    let Some(now) = watched.now() else { return Ok(None) };
    let counts = match series {
        Series::First => watch.since.first,
        Series::Shown => watch.since.shown,
        _ => watch.since.counts,
    };
    let restart = |part: RestartedSequence| {
        let now = SequencePoint::new(&part.sequence, part.interval());
        now.map(|now| Ok(RestartReport { after: part.after, now, verdict: part.judge(threshold)? }))
    };
    let restarts = watched.since.sequences(ALPHA).skip(1).filter_map(restart).collect::<Result<_>>()?;
    let mut sequence = watched.trace.clone();
    if sequence.last() != Some(&now) {
        sequence.push(now);
    }
    Ok(Some(SequenceReport { now, counts, restarts, sequence }))
}

/// What R_b says of the threshold and of the reference.
fn verdict(
    rag_bias: Option<&SequenceReport>,
    change: Option<&Change>,
    counts: Counts,
    config: &MonitorConfig,
) -> Result<(MonitorVerdict, Option<String>)> {
    let Some(bias) = rag_bias else {
        let reason = match &config.since {
            Some(since) if counts.asked() == 0 => format!("no answer of the log is from {since} or later"),
            _ => "no unit of answers has ended yet, or none has a score".into(),
        };
        return Ok((MonitorVerdict::Watching, Some(reason)));
    };
    let whole = Equivalence::judge(bias.now.low..=bias.now.high, config.threshold)?;
    if whole == Equivalence::Biased {
        return Ok((MonitorVerdict::Drifted, None));
    }
    let biased = bias.restarts.iter().filter(|restart| restart.verdict == Equivalence::Biased);
    // The one that lies farthest beyond.
    let nearest = |restart: &RestartReport| restart.now.low.abs().min(restart.now.high.abs());
    if let Some(recent) = biased.max_by(|a, b| nearest(a).total_cmp(&nearest(b))) {
        let SequencePoint { units, value, low, high } = recent.now;
        let said = format!("R_b = {value:+.3} [{low:+.3}, {high:+.3}] over the last {units} units")
            .replace('-', "−");
        return Ok((MonitorVerdict::Drifted, Some(said)));
    }
    let silent = 1.0 - counts.scored() as f64 / counts.asked() as f64;
    if silent > UNSCORED {
        let reason = format!(
            "{:.0}% of the answers have no score, more than {:.0}%: a system that does not answer is not ok",
            100.0 * silent,
            100.0 * UNSCORED
        );
        return Ok((MonitorVerdict::Watching, Some(reason)));
    }
    let moved = change.filter(|change| {
        change.rag_bias.is_some_and(|bias| bias.is_certain() && bias.since.abs() > bias.before.abs())
    });
    Ok(match (whole, moved) {
        (Equivalence::Debiased, _) => (MonitorVerdict::Ok, None),
        (_, Some(change)) => (MonitorVerdict::Drifted, Some(change.sentence())),
        (_, None) => (MonitorVerdict::Watching, None),
    })
}

/// Further answers that would decide, and the days that they take.
fn needed(log: &Watch, threshold: f64) -> (Option<usize>, Option<f64>) {
    let Some(all) = log.series(Series::Answers).and_then(|watched| watched.since.sequences(ALPHA).next())
    else {
        return (None, None);
    };
    let units = all.sequence.units() as f64;
    let Some(needed) = all.sequence.units_to_decide(threshold, all.alpha) else { return (None, None) };
    let further = needed.saturating_sub(all.sequence.units()).max(1) as f64;
    let answers = further * log.since.counts.asked() as f64 / units;
    let days =
        log.first.zip(log.latest).map(|(first, latest)| first.days_until(latest)).filter(|days| *days > 0.0);
    #[expect(clippy::cast_sign_loss, reason = "a number of answers is not negative")]
    let answers = answers.ceil() as usize;
    (Some(answers), days.map(|days| days * further / units))
}

fn warnings(log: &Watch, closed_book: Option<&Watch>) -> Vec<String> {
    let of = |symbol, counts: &Counts| if counts.asked() > 0 { unscored(symbol, counts) } else { None };
    let mut warnings: Vec<String> = [
        of("R_b", &log.since.counts),
        of("E_b", &log.since.first),
        closed_book.and_then(|alone| of("L_b", &alone.since.counts)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let (topics, answers) = log.units.waiting();
    if answers > log.since.counts.asked() / 2 && log.latest.is_none() {
        warnings.push(format!(
            "{answers} answers on {topics} topics wait for the end of their unit, and count for nothing yet; with `time` in the log, a unit ends \
             with the day, and with `questions`, when all of its topic are answered"
        ));
    }
    warnings
}
