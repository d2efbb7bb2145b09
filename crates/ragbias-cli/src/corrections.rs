//! Formats calibrations, and biases corrected by them.

use std::path::Path;

use ragbias::core::Axis;
use ragbias::stats::{Estimate, PoleErrors};
use ragbias::{Calibration, Correction, Selection};

use crate::table::{arranged, cells, with_header};

/// How often a scorer errs.
pub(crate) fn errors(axis: &Axis, calibration: &Calibration, path: &Path) -> String {
    let errors = &calibration.errors;
    let (negative, positive) = (axis.negative.name.as_str(), axis.positive.name.as_str());
    let mut rates = with_header(&["", "", "95% interval"]);
    let mut row = |name: String, estimate: Option<Estimate>| {
        let [value, interval] = estimate.map_or_else(|| ["none".into(), String::new()], share);
        rates.add_row([name, value, interval]);
    };
    row("accuracy".into(), Some(errors.accuracy));
    row("Cohen's κ".into(), errors.kappa);
    for (name, PoleErrors { recall, precision }) in [(negative, errors.negative), (positive, errors.positive)]
    {
        row(format!("recall of {name}"), recall);
        row(format!("precision of {name}"), precision);
    }
    let mut confusion = with_header(&["label", negative, "neutral", positive, "unscored"]);
    for (name, counts) in [negative, "neutral", positive].into_iter().zip(errors.confusion) {
        confusion.add_row([name.to_owned()].into_iter().chain(counts.map(|count| count.to_string())));
    }
    let mut lines = vec![
        format!(
            "{}: {} labelled texts of {} topics, {:.1}% of them scored",
            calibration.scorer,
            errors.n,
            errors.topics,
            100.0 * errors.coverage
        ),
        arranged(rates),
        arranged(confusion),
    ];
    if calibration.unlabelled > 0 {
        lines.push(format!("{} records have no label and were left out", calibration.unlabelled));
    }
    if !errors.better_than_chance() {
        lines.push(
            "no better than chance: the interval of κ contains 0, and biases by this scorer mean nothing"
                .into(),
        );
    }
    lines.push(path.display().to_string());
    lines.join("\n")
}

/// A row per bias: how often each pole is selected, and what could be detected.
pub(crate) fn selections(negative: &str, positive: &str, selections: &[Selection]) -> String {
    let mut table = with_header(&[
        "selection rate",
        negative,
        positive,
        "impact ratio",
        "95% interval",
        "detectable |bias|",
    ]);
    for selection in selections {
        let [ratio, interval] = selection.impact_ratio.map_or_else(|| ["none".into(), String::new()], share);
        table.add_row([
            selection.symbol().to_owned(),
            format!("{:.3}", selection.negative),
            format!("{:.3}", selection.positive),
            ratio,
            interval,
            format!("{:.2}", selection.minimum_detectable_bias),
        ]);
    }
    format!("\n{}", arranged(table))
}

/// A row per corrected bias, raw and corrected side by side; nothing without corrections.
pub(crate) fn table(corrections: &[Correction]) -> String {
    if corrections.is_empty() {
        return String::new();
    }
    let mut table = with_header(&["", "as scored", "", "Rogan–Gladen", "", "PPI++", "", "labelled"]);
    let mut notes: Vec<String> = Vec::new();
    for correction in corrections {
        let estimate =
            |estimate: Option<Estimate>| estimate.map_or_else(|| ["none".into(), String::new()], cells);
        let powered = correction.prediction_powered.map(|powered| powered.estimate);
        let corrected = [Some(correction.raw), correction.rogan_gladen, powered].map(estimate);
        let cells = [correction.symbol().to_owned()].into_iter().chain(corrected.into_iter().flatten());
        table.add_row(cells.chain([correction.labelled.to_string()]));
        notes.extend(correction.notes.iter().map(|note| format!("{}: {note}", correction.symbol())));
    }
    let head =
        "\ncorrected for the errors of the scorer, with the calibration's own in the intervals".to_owned();
    [vec![head, arranged(table)], notes].concat().join("\n")
}

fn share(estimate: Estimate) -> [String; 2] {
    let Estimate { value, low, high } = estimate;
    [format!("{value:.3}"), format!("[{low:.3}, {high:.3}]")]
}
