/// Receives the progress of long work; the command line draws bars, a service may log, [`Silent`] discards it.
///
/// ```
/// use ragbias_core::{Progress, Silent, Unit};
///
/// fn long_work(progress: &dyn Progress) {
///     let step = progress.begin("embedding", 3, Unit::Items);
///     for _ in 0..3 {
///         step.advance(1);
///     } // dropped: done
/// }
/// long_work(&Silent);
/// ```
pub trait Progress: Send + Sync {
    /// Begins a step of `total` units; it ends when the [`Step`] is dropped.
    fn begin(&self, name: &str, total: u64, unit: Unit) -> Box<dyn Step>;

    /// Reports a line that does not belong to a step.
    fn note(&self, line: &str);
}

/// One step of [`Progress`].
pub trait Step: Send + Sync {
    /// Reports that `units` more are done.
    fn advance(&self, units: u64);
}

/// The unit of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Texts, questions, prompts.
    Items,
    /// Bytes.
    Bytes,
}

/// Discards all progress.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: u64, _: Unit) -> Box<dyn Step> {
        Box::new(Self)
    }

    fn note(&self, _: &str) {}
}

impl Step for Silent {
    fn advance(&self, _: u64) {}
}
