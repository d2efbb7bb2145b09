use std::fmt;

use serde::{Deserialize, Serialize};

/// Number of texts with each verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Only the positive pole.
    pub positive: usize,
    /// Only the negative pole.
    pub negative: usize,
    /// Both poles.
    pub both: usize,
    /// Neither pole.
    pub neither: usize,
    /// The scorer could not decide.
    pub unscored: usize,
    /// The LLM refused.
    pub refused: usize,
    /// The token budget was spent before either pole was named.
    pub cut: usize,
}

impl Counts {
    /// Number of scored texts: a pole, both or neither.
    pub fn scored(&self) -> usize {
        self.positive + self.negative + self.both + self.neither
    }

    /// The mean lean of the scored texts, computed from the counts, so that 3/10 − 1/10 is exactly 2/10; none if none is scored.
    pub fn mean_lean(&self) -> Option<f64> {
        let n = self.scored() as f64;
        (n > 0.0).then(|| (self.positive as f64 - self.negative as f64) / n)
    }

    /// Number of all texts.
    pub fn asked(&self) -> usize {
        self.scored() + self.unscored + self.refused + self.cut
    }
}

/// All counts other than 0, with the names of their verdicts: `3 positive, 1 cut`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { positive, negative, both, neither, unscored, refused, cut } = *self;
        let all = [
            (positive, "positive"),
            (negative, "negative"),
            (both, "both"),
            (neither, "neither"),
            (unscored, "unscored"),
            (refused, "refused"),
            (cut, "cut"),
        ];
        let mut separator = "";
        for (count, name) in all.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{separator}{count} {name}")?;
            separator = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;

    #[test]
    fn counts_are_told_by_the_names_of_the_verdicts() {
        for verdict in Verdict::ALL {
            assert_eq!(Counts::of(&[verdict; 3]).to_string(), format!("3 {}", verdict.name()));
        }
        assert_eq!(Counts::of(&Verdict::ALL).asked(), 7);
        assert_eq!(Counts::of(&[Verdict::Cut, Verdict::POSITIVE]).to_string(), "1 positive, 1 cut");
    }
}
