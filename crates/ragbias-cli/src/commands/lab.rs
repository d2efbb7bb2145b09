//! `ragbias lab`.

use std::path::Path;

use anyhow::Result;
use ragbias_lab::{Instruments, LabFile, Report, run};
use serde_json::json;

use super::Session;
use crate::args;
use crate::table::{arranged, with_header};

impl Session<'_> {
    pub(super) fn lab(&self, command: &args::Lab) -> Result<()> {
        match command {
            args::Lab::List => self.instruments(),
            args::Lab::Run { experiment, size, runs } => {
                let file = LabFile::read(experiment)?;
                let size = size.unwrap_or(file.size);
                self.run_lab(&LabFile { size, ..file }, runs)
            }
            args::Lab::Balance(settings) => self.instrument("balance", settings),
            args::Lab::Design(settings) => self.instrument("design", settings),
            args::Lab::Noise(settings) => self.instrument("noise", settings),
            args::Lab::Overtraining(settings) => self.instrument("overtraining", settings),
            args::Lab::Planting(settings) => self.instrument("planting", settings),
            args::Lab::Pools(settings) => self.instrument("pools", settings),
            args::Lab::Precision(settings) => self.instrument("precision", settings),
            args::Lab::Reliance(settings) => self.instrument("reliance", settings),
            args::Lab::Trigger(settings) => self.instrument("trigger", settings),
        }
    }

    fn instruments(&self) -> Result<()> {
        let all = Instruments::all();
        let list: Vec<_> =
            all.iter().map(|one| json!({ "name": one.name(), "question": one.question() })).collect();
        self.print(&json!({ "instruments": list }), || {
            let mut table = with_header(&["instrument", "question"]);
            for one in all.iter() {
                table.add_row([one.name(), one.question()]);
            }
            arranged(table)
        })
    }

    fn instrument(&self, name: &str, settings: &args::Instrument) -> Result<()> {
        let file = LabFile::of(name, settings.size, settings.seed)
            .expect("an instrument that is listed; this is a bug");
        self.run_lab(&file, &settings.runs)
    }

    fn run_lab(&self, file: &LabFile, runs: &Path) -> Result<()> {
        file.check()?;
        let workspace = self.workspace_here()?;
        let (reports, page) = run(file, &runs.join(&file.name), &workspace)?;
        self.print(&json!({ "reports": reports, "page": page }), || {
            let mut lines: Vec<String> = reports.iter().map(shown).collect();
            lines.push(format!("page: {}", page.display()));
            lines.join("\n\n")
        })
    }
}

/// The findings of one instrument.
fn shown(report: &Report) -> String {
    let mut table = with_header(&["quantity", "estimate, 95% interval", "n", "what it means"]);
    for finding in &report.findings {
        let n = format!("{} {}", finding.n, finding.units);
        table.add_row([finding.what.clone(), finding.shown(), n, finding.meaning.clone()]);
    }
    let mut lines = vec![format!("{}: {}", report.instrument, report.question), arranged(table)];
    lines.extend(report.notes.iter().cloned());
    lines.join("\n")
}
