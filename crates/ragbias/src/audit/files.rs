//! What an audit leaves behind: for programs, for continuous integration, and for people who must sign it.

use std::fmt::Write;
use std::path::Path;

use minijinja::{AutoEscape, Environment, context};
use ragbias_core::{Axis, Bias};

use super::{Audit, AuditVerdict};
use crate::Result;
use crate::result_folder::{check_folder, replace_files};

/// The printable report.
const PAGE: &str = include_str!("page.html");

/// What an audit writes.
const FILES: [&str; 5] = ["audit.json", "answers.jsonl", "junit.xml", "summary.md", "audit.html"];
/// What a folder of them is called.
const KIND: &str = "an earlier audit";

impl Audit {
    /// Refuses a folder that [`write`](Self::write) would refuse, before anything is asked.
    ///
    /// # Errors
    /// A folder that holds something else, or a file in its place.
    pub fn check_folder(folder: &Path) -> Result<()> {
        check_folder(folder, KIND, &FILES)
    }

    /// Writes `audit.json`, `answers.jsonl`, `junit.xml`, `summary.md` and `audit.html` into a folder, all of them or none; that of an
    /// earlier audit is replaced.
    ///
    /// # Errors
    /// A folder that holds something else, or cannot be written.
    pub fn write(&self, folder: &Path, axis: &Axis) -> Result<()> {
        let mut answers = String::new();
        for answer in &self.answers {
            answers += &serde_json::to_string(answer).map_err(std::io::Error::other)?;
            answers.push('\n');
        }
        let json = serde_json::to_string_pretty(self).map_err(std::io::Error::other)?;
        let texts = [json + "\n", answers, self.junit(), self.markdown(axis), self.page(axis)?];
        let files: Vec<(&str, String)> = FILES.into_iter().zip(texts).collect();
        replace_files(folder, KIND, &files)
    }

    /// A test suite with one test case, for continuous integration. An undecided audit is skipped, not passed.
    pub fn junit(&self) -> String {
        let (failures, skipped) = match self.verdict {
            AuditVerdict::Pass => (0, 0),
            AuditVerdict::Fail => (1, 0),
            AuditVerdict::Undecided => (0, 1),
        };
        let said = xml(&self.sentence());
        let inside = match self.verdict {
            AuditVerdict::Pass => String::new(),
            AuditVerdict::Fail => format!("<failure message=\"{said}\"/>"),
            AuditVerdict::Undecided => format!("<skipped message=\"{said}\"/>"),
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites><testsuite name=\"ragbias audit\" tests=\"1\" failures=\"{failures}\" \
             skipped=\"{skipped}\"><testcase classname=\"ragbias.{axis}\" name=\"R_b within ±{threshold}\">{inside}<system-out>{said}\
             </system-out></testcase></testsuite></testsuites>\n",
            axis = xml(&self.axis),
            threshold = self.config.threshold,
        )
    }

    /// The verdict in one sentence.
    pub fn sentence(&self) -> String {
        let measured = self.rag_bias.map_or("no answer has a score".into(), |bias| {
            let asked = bias.asked();
            format!("R_b = {bias}, of {asked} asked")
        });
        let threshold = self.config.threshold;
        let mut said = format!("{}: {measured}; threshold ±{threshold}", self.verdict.name());
        if let Some(reason) = &self.reason {
            let _ = write!(said, "; {reason}");
        } else if self.verdict == AuditVerdict::Undecided {
            let _ = match self.questions_needed {
                Some(needed) => write!(said, "; {needed} more questions would probably decide"),
                None => write!(said, "; so close to the threshold that no number of questions would decide"),
            };
        }
        said
    }

    /// A summary, for a pull request.
    pub fn markdown(&self, axis: &Axis) -> String {
        let mut text = format!(
            "## Audit of {}: {}\n\n{}\n\n",
            inline(&self.system),
            self.verdict.name(),
            self.sentence()
        );
        let _ = writeln!(
            text,
            "| | bias | 95% interval | n | {} | {} | no score |",
            axis.negative.name, axis.positive.name
        );
        text += "| --- | ---: | --- | ---: | ---: | ---: | ---: |\n";
        for (symbol, bias) in self.biases() {
            let rates = bias.rates();
            let silent = 100.0 * (1.0 - bias.n() as f64 / bias.asked() as f64);
            let _ = writeln!(
                text,
                "| {symbol} | {:+.2} | [{:+.2}, {:+.2}] | {} | {:.0}% | {:.0}% | {silent:.0}% |",
                bias.value(),
                bias.low(),
                bias.high(),
                bias.n(),
                100.0 * rates.negative,
                100.0 * rates.positive
            );
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "\n> {warning}");
        }
        text
    }

    /// The biases that were measured.
    fn biases(&self) -> impl Iterator<Item = (&'static str, Bias)> {
        let all = [("R_b", self.rag_bias), ("E_b", self.embedder_bias), ("L_b", self.llm_bias)];
        all.into_iter().filter_map(|(symbol, bias)| Some((symbol, bias?)))
    }

    /// The report to print and sign.
    fn page(&self, axis: &Axis) -> Result<String> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        let biases: Vec<_> = self
            .biases()
            .map(|(symbol, bias)| {
                let numbers = [bias.value(), bias.low(), bias.high()].map(|value| format!("{value:+.3}"));
                let rates = bias.rates();
                let shares = [
                    rates.negative,
                    rates.positive,
                    rates.both,
                    rates.neither,
                    rates.unscored,
                    rates.refused,
                    rates.cut,
                ]
                .map(|rate| format!("{:.1}%", 100.0 * rate));
                context! { symbol, numbers, shares, n => bias.n(), asked => bias.asked() }
            })
            .collect();
        let looks: Vec<_> = self
            .looks
            .iter()
            .map(|look| {
                let interval = look.rag_bias.map_or("no answer has a score".into(), |bias| bias.to_string());
                context! { asked => look.asked, interval, boundary => format!("{:.3}", look.boundary) }
            })
            .collect();
        let selections: Vec<_> = self
            .selections
            .iter()
            .map(|selection| {
                let ratio = selection.impact_ratio.map_or("not defined".into(), |ratio| {
                    format!("{:.2} [{:.2}, {:.2}]", ratio.value, ratio.low, ratio.high)
                });
                context! { symbol => selection.symbol(), ratio, negative => format!("{:.1}%", 100.0 * selection.negative),
                    positive => format!("{:.1}%", 100.0 * selection.positive),
                    detectable => format!("{:.3}", selection.minimum_detectable_bias) }
            })
            .collect();
        let rendered = environment.render_named_str(
            "audit.html",
            PAGE,
            context! { verdict => self.verdict.name(), sentence => self.sentence(), axis => &axis.name,
                negative => &axis.negative.name, positive => &axis.positive.name, threshold => self.config.threshold,
                declared => self.config.declared.map(|day| day.to_string()),
                system => &self.system, scorer => &self.scorer, questions => self.questions.to_string(), seed => self.config.seed,
                request => &self.config.request, planned => self.config.looks, version => env!("CARGO_PKG_VERSION"),
                warnings => &self.warnings, not_measured => &self.not_measured, biases, looks, selections },
        );
        Ok(rendered?)
    }
}

/// Text in XML; characters that XML does not allow are left out.
fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '&' => escaped += "&amp;",
            '"' => escaped += "&quot;",
            '\n' | '\t' => escaped.push(' '),
            control if control < ' ' || matches!(control, '\u{fffe}' | '\u{ffff}') => {}
            other => escaped.push(other),
        }
    }
    escaped
}

/// Text in Markdown, as code: nothing in it is markup.
fn inline(text: &str) -> String {
    format!("`{}`", text.replace(['`', '\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_system_says_is_no_markup() {
        assert_eq!(xml("a<b> & \"c\"\u{1b}[2J\n"), "a&lt;b&gt; &amp; &quot;c&quot;[2J ");
        assert_eq!(inline("http://x/`</code>\n# big"), "`http://x/ </code> # big`");
    }
}
