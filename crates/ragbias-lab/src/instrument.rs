use crate::bench::Bench;
use crate::error::Result;
use crate::report::Report;

/// A kind of experiment: its settings, and how they are measured.
pub trait Instrument {
    /// Its name: the key of its table in an experiment, and of its page in the documentation.
    fn name(&self) -> &'static str;

    /// The question that it answers, in one sentence.
    fn question(&self) -> &'static str;

    /// Checks the settings before any work.
    ///
    /// # Errors
    /// A setting outside its range, models or data that do not exist.
    fn check(&self) -> Result<()>;

    /// Measures, and says what came out. What a bench has kept is not computed again.
    ///
    /// # Errors
    /// Failures of components and of the file system; too little data at this size.
    fn run(&self, bench: &Bench) -> Result<Report>;
}
