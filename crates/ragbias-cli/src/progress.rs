//! What people see while work is going on: on stderr, so that stdout holds data alone.
#![expect(clippy::print_stderr, reason = "the one place that talks to people")]

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use ragbias::core::{Progress, Step, Unit};

/// Bars with rate and estimate; on something else than a terminal, nothing but notes.
#[derive(Default)]
pub(crate) struct Bars {
    bars: MultiProgress,
    quiet: bool,
}

impl Bars {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { bars: MultiProgress::new(), quiet }
    }
}

struct Bar(ProgressBar);

impl Progress for Bars {
    fn begin(&self, name: &str, total: u64, unit: Unit) -> Box<dyn Step> {
        if self.quiet {
            return Box::new(Bar(ProgressBar::hidden()));
        }
        let counts = match unit {
            Unit::Items => "{human_pos}/{human_len} · {per_sec} · {eta} left",
            Unit::Bytes => "{bytes}/{total_bytes} · {bytes_per_sec} · {eta} left",
        };
        let style = ProgressStyle::with_template(&format!("{{msg:24}} {{bar:28}} {counts}"))
            .expect("the template is a constant; this is a bug");
        let bar = self.bars.add(ProgressBar::new(total).with_style(style).with_message(name.to_owned()));
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        Box::new(Bar(bar))
    }

    fn note(&self, line: &str) {
        if !self.quiet {
            self.bars.suspend(|| eprintln!("{line}"));
        }
    }
}

impl Step for Bar {
    fn advance(&self, units: u64) {
        self.0.inc(units);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// An error, and on lines of their own its hints.
pub(crate) fn error(message: &str) {
    eprintln!("error: {message}");
}

/// A line for people that is neither data nor an error.
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}
