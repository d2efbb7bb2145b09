use std::ops::RangeInclusive;

use ragbias_stats::{ConfidenceSequence, Restarts};
use serde::{Deserialize, Serialize};

use crate::Result;

/// The error of a sequence, and of all its restarts together.
pub(super) const ALPHA: f64 = 0.05;

/// A sequence after some of its units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequencePoint {
    /// Units so far.
    pub units: usize,
    /// Their mean, in [−1, 1].
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl SequencePoint {
    pub(super) fn new(sequence: &ConfidenceSequence, interval: RangeInclusive<f64>) -> Option<Self> {
        let (low, high) = interval.into_inner();
        Some(Self { units: sequence.units(), value: sequence.mean()?, low, high })
    }
}

/// One series: its units before the watch began, and since.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Watched {
    pub(super) reference: ConfidenceSequence,
    pub(super) since: Restarts,
    /// The sequence of all units since, at each of the first 64, and then whenever there are 2% more.
    pub(super) trace: Vec<SequencePoint>,
}

impl Watched {
    pub(super) fn new(restart: usize) -> Self {
        Self { reference: ConfidenceSequence::default(), since: Restarts::every(restart), trace: Vec::new() }
    }

    /// Adds the value of a unit, before the watch has begun or since.
    pub(super) fn push(&mut self, value: f64, has_begun: bool) -> Result<()> {
        if !has_begun {
            return Ok(self.reference.push(value)?);
        }
        self.since.push(value)?;
        let due = self.trace.last().map_or(1, |last| last.units + 1 + last.units.saturating_sub(64) / 50);
        if self.since.units() >= due {
            self.trace.extend(self.now());
        }
        Ok(())
    }

    /// The sequence of all units since.
    pub(super) fn now(&self) -> Option<SequencePoint> {
        let all = self.since.sequences(ALPHA).next()?;
        SequencePoint::new(&all.sequence, all.interval())
    }

    /// The values of all units since, without restarts.
    pub(super) fn all(&self) -> ConfidenceSequence {
        self.since.sequences(ALPHA).next().map(|all| all.sequence).unwrap_or_default()
    }
}
