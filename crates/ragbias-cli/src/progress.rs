//! Shows progress on stderr, so that stdout contains only data.

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use ragbias::core::{Progress, Step, Unit};

use crate::flags::with_dashes;
use crate::output::visible;

/// Bars with rate and estimate on a terminal; elsewhere, as in a log, occasional lines.
pub(crate) struct Bars {
    drawn: MultiProgress,
    quiet: bool,
    /// Whether the terminal can move its cursor.
    moves: bool,
    /// Notes shown so far: data that are read twice repeat no notes.
    said: Mutex<HashSet<String>>,
}

/// Interval of the lines in a log.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Bars {
    pub(crate) fn new(quiet: bool) -> Self {
        let moves = std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb");
        Self { drawn: MultiProgress::new(), quiet, moves, said: Mutex::default() }
    }
}

impl Progress for Bars {
    fn begin(&self, name: &str, total: u64, unit: Unit) -> Box<dyn Step> {
        if self.quiet {
            return Box::new(Bar(ProgressBar::hidden()));
        }
        if self.drawn.is_hidden() || !self.moves {
            let now = Instant::now();
            return Box::new(Lines {
                name: name.into(),
                total,
                unit,
                begun: now,
                seen: Mutex::new((0, now)),
            });
        }
        let counts = match unit {
            Unit::Items => "{human_pos}/{human_len} · {per_sec} · {eta} left",
            Unit::Bytes => "{bytes}/{total_bytes} · {bytes_per_sec} · {eta} left",
        };
        let style = ProgressStyle::with_template(&format!("{{msg:24}} {{bar:28}} {counts}"))
            .expect("the template is a constant; this is a bug");
        let bar = self.drawn.add(ProgressBar::new(total).with_style(style).with_message(name.to_owned()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Box::new(Bar(bar))
    }

    fn note(&self, line: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.quiet && said.insert(line.into()) {
            self.drawn.suspend(|| say(line));
        }
    }
}

struct Bar(ProgressBar);

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

/// A step in a log.
struct Lines {
    name: String,
    total: u64,
    unit: Unit,
    begun: Instant,
    /// Units done, and the time of the last line.
    seen: Mutex<(u64, Instant)>,
}

impl Step for Lines {
    fn advance(&self, units: u64) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.0 += units;
        if seen.1.elapsed() < LINE_EVERY || seen.0 == 0 {
            return;
        }
        seen.1 = Instant::now();
        let (done, total) = (seen.0, self.total.max(seen.0));
        let left = self.begun.elapsed().mul_f64((total - done) as f64 / done as f64);
        let counts = match self.unit {
            Unit::Items => format!("{done}/{total}"),
            Unit::Bytes => format!("{}/{} MB", done / 1_000_000, total / 1_000_000),
        };
        say(&format!("{}: {counts}, {} left", self.name, HumanDuration(left)));
    }
}

/// An error, with its hints on separate lines.
pub(crate) fn error(message: &str) {
    say(&format!("error: {message}"));
}

/// A line that is neither data nor an error.
pub(crate) fn say(line: &str) {
    // Nothing can be done if stderr is closed.
    let _ = writeln!(io::stderr(), "{}", visible(&with_dashes(line)));
}
