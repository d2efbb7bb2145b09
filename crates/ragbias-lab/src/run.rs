use std::path::{Path, PathBuf};

use ragbias::Workspace;

use crate::bench::Bench;
use crate::error::Result;
use crate::file::LabFile;
use crate::page::write_page;
use crate::report::Report;

/// Runs every instrument of an experiment, and writes `folder/INSTRUMENT/report.json` with its figures, and `folder/index.html`.
///
/// What an interrupted run has computed is not computed again.
///
/// # Errors
/// Those of the instruments, and of the file system.
pub fn run(file: &LabFile, folder: &Path, workspace: &Workspace) -> Result<(Vec<Report>, PathBuf)> {
    file.check()?;
    let mut reports = Vec::new();
    for instrument in file.lab.iter() {
        let place = folder.join(instrument.name());
        workspace.progress().note(&format!("{}: {}", instrument.name(), instrument.question()));
        let bench = Bench::new(workspace, &place, file.size, file.seed)?;
        let report = instrument.run(&bench)?;
        report.write(&place)?;
        reports.push(report);
    }
    let page = folder.join("index.html");
    write_page(&page, file, &reports)?;
    Ok((reports, page))
}
