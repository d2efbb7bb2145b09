use std::path::Path;

use minijinja::{AutoEscape, Environment, Value, context};
use ragbias::data::write_file;

use crate::error::Result;
use crate::file::LabFile;
use crate::report::{Report, Table};

/// The page.
const PAGE: &str = include_str!("page.html");

/// Writes the page of an experiment.
pub(crate) fn write_page(path: &Path, file: &LabFile, reports: &[Report]) -> Result<()> {
    Ok(write_file(path, render(file, reports)?)?)
}

fn render(file: &LabFile, reports: &[Report]) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let instruments: Vec<Value> = reports.iter().map(of_report).collect();
    let LabFile { name, about, size, seed, .. } = file;
    let version = env!("CARGO_PKG_VERSION");
    Ok(environment.render_named_str(
        "index.html",
        PAGE,
        context! { name, about, size, seed, version, instruments },
    )?)
}

fn of_report(report: &Report) -> Value {
    let findings: Vec<Value> = (report.findings.iter())
        .map(|finding| {
            context! { what => &finding.what, shown => finding.shown(), n => finding.n, units => &finding.units,
            meaning => &finding.meaning }
        })
        .collect();
    let tables: Vec<Value> = (report.tables.iter())
        .map(|Table { title, columns, rows }| context! { title, columns, rows })
        .collect();
    let figures: Vec<Value> = (report.figures.iter())
        .map(|figure| context! { caption => &figure.caption, svg => Value::from_safe_string(figure.svg.clone()) })
        .collect();
    let Report { instrument, question, notes, .. } = report;
    context! { instrument, question, findings, tables, figures, notes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Finding;

    #[test]
    fn the_page_shows_every_finding_and_keeps_text_as_text() {
        let file = LabFile::of("pools", 1.0, 0).unwrap();
        let mut report = Report::new("pools", "is a < b?");
        report.findings.push(Finding::new("b of <easy>", None, 3, "seeds", "cannot be told"));
        let page = render(&file, &[report]).unwrap();
        assert!(page.contains("is a &lt; b?") && page.contains("b of &lt;easy&gt;"), "{page}");
        assert!(page.contains("not identified"), "{page}");
    }
}
