/// Where long work says how far it is; the command line draws bars, a service may log, [`Silent`] says nothing.
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

    /// Says one line that is not part of a step.
    fn note(&self, line: &str);
}

/// One step of [`Progress`].
pub trait Step: Send + Sync {
    /// `units` more are done.
    fn advance(&self, units: u64);
}

/// What a step counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Texts, questions, prompts.
    Items,
    /// Bytes.
    Bytes,
}

/// Says nothing.
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
