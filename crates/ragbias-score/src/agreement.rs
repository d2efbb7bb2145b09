use ragbias_core::{Lean, Verdict};
use serde::Serialize;

/// How a scorer agrees with gold labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// Number of texts with a gold label.
    pub n: usize,
    /// Share of the scored texts whose lean equals the gold label, in [0, 1]; `None` if none was scored.
    pub accuracy: Option<f64>,
    /// Share of the labelled texts that could be scored, in [0, 1]; `None` without labels.
    pub coverage: Option<f64>,
    /// Counts by gold lean (rows −1, 0, +1) and scored lean (columns −1, 0, +1, unscored).
    pub confusion: [[usize; 4]; 3],
}

impl Agreement {
    /// Computed from pairs of gold label and verdict.
    pub fn of(pairs: impl IntoIterator<Item = (Lean, Verdict)>) -> Self {
        let column = |lean: Lean| match lean {
            Lean::Negative => 0,
            Lean::Neutral => 1,
            Lean::Positive => 2,
        };
        let mut confusion = [[0; 4]; 3];
        for (gold, verdict) in pairs {
            confusion[column(gold)][verdict.lean().map_or(3, column)] += 1;
        }
        let n: usize = confusion.iter().flatten().sum();
        let unscored: usize = confusion.iter().map(|row| row[3]).sum();
        let right: usize = (0..3).map(|i| confusion[i][i]).sum();
        let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
        Self { n, accuracy: share(right, n - unscored), coverage: share(n - unscored, n), confusion }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_is_over_the_scored_texts() {
        let pairs = [
            (Lean::Positive, Verdict::POSITIVE),
            (Lean::Positive, Verdict::scored(true, true)),
            (Lean::Negative, Verdict::NEGATIVE),
            (Lean::Negative, Verdict::Unscored),
        ];
        let agreement = Agreement::of(pairs);
        assert_eq!(agreement.accuracy, Some(2.0 / 3.0));
        assert_eq!(agreement.coverage, Some(0.75));
        assert_eq!(agreement.confusion, [[1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 1, 0]]);
        assert_eq!(Agreement::of([]).accuracy, None);
    }
}
