//! Watches the answers of a running RAG system: R_b over a growing log, with intervals that hold at every look.

mod change;
mod config;
mod entry;
mod figure;
mod files;
mod metrics;
mod moment;
mod place;
mod reference;
mod report;
mod since;
mod state;
mod units;
mod watch;
mod watched;

use std::path::Path;

use ragbias_core::{Axis, BiasScorer, QuestionSet};

pub use self::change::{Change, Difference, Part};
pub use self::config::MonitorConfig;
pub use self::moment::Moment;
pub use self::reference::Reference;
pub use self::report::{Monitor, MonitorVerdict, RestartReport, SequenceReport};
pub use self::since::Since;
pub use self::watched::SequencePoint;
use crate::{Result, Workspace};
use entry::Known;
use state::{Basis, State};
use watch::{Reading, Watch};

/// The files of a monitor.
#[derive(Debug, Clone, Copy)]
pub struct MonitorFiles<'a> {
    /// The answers, a line each; the file only grows.
    pub log: &'a Path,
    /// Answers of the LLM without documents, of the same layout.
    pub closed_book: Option<&'a Path>,
    /// What was read before, and where this one is left; without it, all of the log is read.
    pub state: Option<&'a Path>,
}

/// A system that is watched.
pub struct Monitoring<'a> {
    /// The axis.
    pub axis: &'a Axis,
    /// The scorer of answers and documents, and what it is called.
    pub scorer: (&'a dyn BiasScorer, &'a str),
    /// The questions that are asked; any, if none are given.
    pub questions: Option<&'a QuestionSet>,
}

impl Monitoring<'_> {
    /// Reads what is new in the log, and decides. The same log gives the same result, whether it is read at once or as it grows. `keep` is given the result before the
    /// state is written, so that a failure to keep it leaves the state as it was.
    ///
    /// # Errors
    /// A setting out of its range, a log that cannot be read or has changed, a state of other settings, errors of the scorer, and those of `keep`.
    pub fn run<E: From<crate::Error>>(
        &self,
        files: MonitorFiles<'_>,
        config: &MonitorConfig,
        workspace: &Workspace,
        keep: impl FnOnce(&Monitor) -> Result<(), E>,
    ) -> Result<Monitor, E> {
        let (state, monitor) = self.read(files, config, workspace)?;
        keep(&monitor)?;
        if let Some(path) = files.state {
            state.write(path)?;
        }
        Ok(monitor)
    }

    fn read(
        &self,
        files: MonitorFiles<'_>,
        config: &MonitorConfig,
        workspace: &Workspace,
    ) -> Result<(State, Monitor)> {
        config.check()?;
        let known = Known::new(self.questions);
        let basis = Basis {
            axis: self.axis.name.clone(),
            scorer: self.scorer.0.id(),
            questions: self.questions.map(QuestionSet::content_id),
            since: config.since.clone(),
            restart: config.restart,
        };
        let mut state = match files.state {
            Some(path) => State::open(path, basis)?,
            None => State::new(basis),
        };
        let reading = Reading {
            known: &known,
            scorer: self.scorer.0,
            since: config.since.as_ref(),
            progress: workspace.progress(),
        };
        state.log.read(files.log, &reading)?;
        if let Some(path) = files.closed_book {
            let alone = Watch::new(config.since.as_ref(), config.restart);
            state.closed_book.get_or_insert(alone).read(path, &reading)?;
        }
        let system = files.log.display().to_string();
        let monitor = Monitor::of(
            &state.log,
            state.closed_book.as_ref(),
            config,
            [&self.axis.name, &system, self.scorer.1],
        )?;
        Ok((state, monitor))
    }
}
