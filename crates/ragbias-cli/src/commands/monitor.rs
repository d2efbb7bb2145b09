//! `ragbias monitor`.

use std::process::ExitCode;

use anyhow::Result;
use ragbias::core::Axis;
use ragbias::data::load_axis;
use ragbias::monitor::{Change, Monitor, MonitorConfig, MonitorFiles, MonitorVerdict, Monitoring};
use ragbias::{load_questions, scorer};

use super::{FAILED, Session, UNDECIDED};
use crate::args;
use crate::table::{arranged, with_header};

impl Session<'_> {
    pub(super) fn monitor(&self, command: &args::Monitor) -> Result<ExitCode> {
        let axis = load_axis(&command.axis)?;
        let config = MonitorConfig::default()
            .threshold(command.threshold)
            .restart(command.restart)
            .since(command.since.clone().map(Into::into))
            .reference(command.reference);
        let questions = command.questions.as_deref().map(|name| load_questions(name, self.progress.as_ref()));
        let questions = questions.transpose()?;
        let workspace = self.workspace(self.models_with(&command.keys, &[])?, false)?;
        let scorer = scorer::by_name(&axis, command.scorer.as_deref(), &workspace)?;
        let called = scorer::label(&axis, command.scorer.as_deref());
        let monitoring =
            Monitoring { axis: &axis, scorer: (scorer.as_ref(), &called), questions: questions.as_ref() };
        let files = MonitorFiles {
            log: &command.log,
            closed_book: command.closed_book.as_deref(),
            state: command.state.as_deref(),
        };
        let keep =
            |monitor: &Monitor| command.out.as_ref().map_or(Ok(()), |folder| monitor.write(folder, &axis));
        let monitor = monitoring.run(files, &config, &workspace, keep)?;
        self.print(&monitor, || said(&axis, &monitor))?;
        Ok(match monitor.verdict {
            MonitorVerdict::Ok => ExitCode::SUCCESS,
            MonitorVerdict::Drifted => ExitCode::from(FAILED),
            MonitorVerdict::Watching => ExitCode::from(UNDECIDED),
        })
    }
}

/// The result as text.
fn said(axis: &Axis, monitor: &Monitor) -> String {
    let mut table = with_header(&["", "mean", "interval", "units", "of"]);
    for (symbol, bias) in monitor.biases() {
        let row = |name: String, now: ragbias::monitor::SequencePoint, of: String| {
            [
                name,
                format!("{:+.3}", now.value),
                format!("[{:+.3}, {:+.3}]", now.low, now.high),
                now.units.to_string(),
                of,
            ]
        };
        table.add_row(row(symbol.into(), bias.now, bias.counts.to_string()));
        // The latest alone would say little of a change that began before it.
        for restart in bias.restarts.iter().rev().take(2).rev() {
            table.add_row(row(format!("  since unit {}", restart.after + 1), restart.now, String::new()));
        }
    }
    let poles = format!("{}: −1 is {}, +1 is {}", axis.name, axis.negative.name, axis.positive.name);
    let mut lines = vec![monitor.sentence(), poles, arranged(table)];
    if let Some(change) = &monitor.change {
        lines.push(Change::sentence(change));
        lines.extend(change.not_known.iter().map(|unknown| format!("not known: {unknown}")));
    }
    if monitor.waiting_answers > 0 {
        lines.push(format!("{} answers wait for the end of their topic's unit", monitor.waiting_answers));
    }
    lines.extend(monitor.not_measured.iter().map(|(name, reason)| format!("no {name}: {reason}")));
    lines.extend(monitor.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.join("\n")
}
