use std::fmt::Write;

use super::report::{Monitor, MonitorVerdict, SequenceReport};

/// A metric: its name, what it is, and its value for a bias.
type OfBias = (&'static str, &'static str, fn(&SequenceReport) -> f64);

/// The metrics of every bias.
const BIASES: [OfBias; 5] = [
    ("ragbias_monitor_bias", "Mean lean over units, from -1 to 1.", |bias| bias.now.value),
    ("ragbias_monitor_bias_low", "Lower end of the anytime-valid 95% interval.", |bias| bias.now.low),
    ("ragbias_monitor_bias_high", "Upper end of the anytime-valid 95% interval.", |bias| bias.now.high),
    ("ragbias_monitor_units", "Units of the sequence.", |bias| bias.now.units as f64),
    ("ragbias_monitor_unscored_ratio", "Share of the texts without a score.", |bias| {
        1.0 - bias.counts.scored() as f64 / bias.counts.asked() as f64
    }),
];

impl Monitor {
    /// The figures in Prometheus' text exposition format (version 0.0.4), for the textfile collector of its node exporter.
    pub fn metrics(&self) -> String {
        let axis = label(&self.axis);
        let mut text = String::new();
        for (name, help, value) in BIASES {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for (symbol, bias) in self.biases() {
                let _ = writeln!(text, "{name}{{axis=\"{axis}\",bias=\"{symbol}\"}} {}", value(bias));
            }
        }
        let mut one = |name: &str, kind: &str, help: &str, lines: &[(String, f64)]| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in lines {
                let _ = writeln!(text, "{name}{{axis=\"{axis}\"{labels}}} {value}");
            }
        };
        let plain = |value: f64| [(String::new(), value)];
        let of = |verdict: MonitorVerdict| {
            (format!(",verdict=\"{}\"", verdict.name()), f64::from(u8::from(self.verdict == verdict)))
        };
        let verdicts = [MonitorVerdict::Ok, MonitorVerdict::Drifted, MonitorVerdict::Watching].map(of);
        one("ragbias_monitor_verdict", "gauge", "1 for the verdict, 0 for the others.", &verdicts);
        one(
            "ragbias_monitor_threshold",
            "gauge",
            "Threshold of the absolute bias.",
            &plain(self.config.threshold),
        );
        one(
            "ragbias_monitor_log_lines_total",
            "counter",
            "Lines of the log that were read.",
            &plain(self.lines as f64),
        );
        one(
            "ragbias_monitor_waiting_answers",
            "gauge",
            "Answers whose unit has not ended.",
            &plain(self.waiting_answers as f64),
        );
        text
    }
}

/// A label's value: backslashes, quotes and line ends are escaped.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_escaped() {
        assert_eq!(label("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
