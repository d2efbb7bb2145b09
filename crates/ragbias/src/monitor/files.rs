use std::path::Path;

use minijinja::{AutoEscape, Environment, context};
use ragbias_core::Axis;

use super::change::{Change, Difference};
use super::figure;
use super::report::{Monitor, SequenceReport};
use super::watched::SequencePoint;
use crate::Result;
use crate::result_folder::replace_files;
use crate::svg::STYLE;

/// The page.
const PAGE: &str = include_str!("page.html");
/// The style of a report.
const PAGE_STYLE: &str = include_str!("../report/page.css");

impl Monitor {
    /// Writes `monitor.json`, `metrics.prom` and `monitor.html` into a folder, all of them or none; those of an earlier monitor are replaced.
    ///
    /// # Errors
    /// A folder that holds something else, or cannot be written.
    pub fn write(&self, folder: &Path, axis: &Axis) -> Result<()> {
        let json = serde_json::to_string_pretty(self).map_err(std::io::Error::other)?;
        let files = [
            ("monitor.json", json + "\n"),
            ("metrics.prom", self.metrics()),
            ("monitor.html", self.page(axis)?),
        ];
        replace_files(folder, "an earlier monitor", &files)
    }

    /// The page with the sequences drawn.
    fn page(&self, axis: &Axis) -> Result<String> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        let biases: Vec<_> = self.biases().map(|(symbol, bias)| self.of_bias(symbol, bias)).collect();
        let changes = self.change.as_ref().map(rows).unwrap_or_default();
        let rendered = environment.render_named_str(
            "monitor.html",
            PAGE,
            context! { verdict => self.verdict.name(), sentence => self.sentence(), log => &self.log, lines => self.lines,
                axis => &axis.name, negative => &axis.negative.name, positive => &axis.positive.name,
                threshold => self.config.threshold, restart => self.config.restart, scorer => &self.scorer,
                waiting => self.waiting_answers, changed => self.change.as_ref().map(Change::sentence), changes,
                not_known => self.change.as_ref().map(|change| &change.not_known), not_measured => &self.not_measured,
                warnings => &self.warnings, version => env!("CARGO_PKG_VERSION"), biases,
                style => PAGE_STYLE, figure_style => STYLE },
        );
        Ok(rendered?)
    }

    fn of_bias(&self, symbol: &str, bias: &SequenceReport) -> minijinja::Value {
        let restarts: Vec<_> = bias
            .restarts
            .iter()
            .map(|restart| row(&format!("since unit {}", restart.after + 1), restart.now))
            .collect();
        let drawn = figure::draw(symbol, bias, self.config.threshold)
            .inline(&format!("sequence-{}", symbol.replace(' ', "-")));
        context! { symbol, now => row(symbol, bias.now), counts => bias.counts.to_string(), restarts, drawn }
    }
}

fn row(name: &str, SequencePoint { units, value, low, high }: SequencePoint) -> minijinja::Value {
    context! { name, units, value => signed(value), interval => format!("[{}, {}]", signed(low), signed(high)) }
}

/// The figures of a change, each with its name.
fn rows(change: &Change) -> Vec<minijinja::Value> {
    let [negative, neutral, positive] = change.rag_bias_at_equal_documents;
    let all = [
        ("R_b", change.rag_bias),
        ("E_b", change.embedder_bias),
        ("C_b of what is shown", change.shown_bias),
        ("R_b at documents of the negative pole", negative),
        ("R_b at documents of neither", neutral),
        ("R_b at documents of the positive pole", positive),
        ("s", change.sensitivity),
        ("L_b", change.llm_bias),
    ];
    let row = |(name, difference): (&str, Option<Difference>)| {
        let Difference { before, units_before, since, units_since, value, low, high } = difference?;
        let interval = format!("{} [{}, {}]", signed(value), signed(low), signed(high));
        Some(
            context! { name, before => signed(before), units_before, since => signed(since), units_since, interval },
        )
    };
    all.into_iter().filter_map(row).collect()
}

fn signed(value: f64) -> String {
    format!("{value:+.3}").replace('-', "−")
}
