use std::path::{Path, PathBuf};

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, context};

use ragbias_data::write_file;

use crate::Result;
use crate::run::{Manifest, PartResult, read};

/// Renders `report.html` of a run folder again, from its JSON files, and gives its path.
///
/// # Errors
/// A folder that is no run, or failures of the file system.
pub fn report(folder: &Path) -> Result<PathBuf> {
    let (manifest, results) = read(folder)?;
    let path = folder.join("report.html");
    write_file(&path, page(&Value::from(Serde(manifest)), &Value::from(Serde(results)))?)?;
    Ok(path)
}

pub(crate) fn render(manifest: &Manifest, results: &[PartResult]) -> Result<String> {
    page(&Value::from(Serde(manifest)), &Value::from(Serde(results)))
}

fn page(manifest: &Value, results: &Value) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_filter("signed", |value: f64| format!("{value:+.2}").replace('-', "−"));
    environment.add_filter("percent", |value: f64| format!("{:.0}%", 100.0 * value));
    // The bias axis of a figure runs from −1 at 5% of the width to +1 at 95%.
    environment.add_filter("at", |value: f64| format!("{:.2}%", 50.0 + 45.0 * value));
    environment.add_filter("span", |low: f64, high: f64| format!("{:.2}%", 45.0 * (high - low)));
    environment.add_template("report", include_str!("report.html"))?;
    Ok(environment.get_template("report")?.render(context! { manifest, results })?)
}
