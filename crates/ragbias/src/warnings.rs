//! Doubts about measurements, decided in one place for tables, reports and JSON.

use ragbias_core::Counts;

use crate::answer_bias::AnswerBias;
use crate::choose::{Confirmed, ControlChoice};
use crate::measured::{Measured, PartResult};

/// The share of texts without a score above which a bias comes with a warning.
pub const UNSCORED: f64 = 0.2;

/// A warning if more than [`UNSCORED`] of the texts behind a bias have no score: they are unscored, refused or cut.
///
/// The bias is then one of those texts that could be scored, which may lean otherwise than all.
pub fn unscored(symbol: &str, counts: &Counts) -> Option<String> {
    let (n, asked) = (counts.scored(), counts.asked());
    let share = 1.0 - n as f64 / asked as f64;
    (share > UNSCORED).then(|| {
        let silent = Counts { unscored: counts.unscored, refused: counts.refused, cut: counts.cut, ..Counts::default() };
        format!("{symbol} rests on {n} of {asked}, as {:.0}% have no score ({silent}); all of them may lean otherwise", 100.0 * share)
    })
}

impl Measured {
    /// What makes its biases doubtful.
    pub fn warnings(&self) -> Vec<String> {
        let answers = |of: AnswerBias| Some((of.symbol(), self.counts(of)?));
        let all = [
            answers(AnswerBias::LlmBias),
            Some(("C_b", self.corpus_bias.counts())),
            Some(("C_b of the 20 nearest", self.neighbourhood_bias.counts())),
            Some(("E_b", self.embedder_bias.counts())),
            answers(AnswerBias::RagBias),
        ];
        all.into_iter().flatten().filter_map(|(symbol, counts)| unscored(symbol, &counts)).collect()
    }
}

impl PartResult {
    /// What makes its biases doubtful, with the system that they are of.
    pub fn warnings(&self) -> Vec<String> {
        let llm = self.llm.as_ref().map_or_else(String::new, |llm| format!(" with {llm}"));
        let of = |warning| format!("{}, {}{llm}, {}: {warning}", self.axis, self.embedder, self.split);
        self.measured.warnings().into_iter().map(of).collect()
    }
}

impl ControlChoice {
    /// What makes its biases doubtful, with the control that they are of.
    pub fn warnings(&self) -> Vec<String> {
        let of = |name: &str, Confirmed { validation, test, .. }: &Confirmed| {
            let all = [
                ("E_b", "validation", validation.embedder_bias),
                ("R_b", "validation", validation.rag_bias),
                ("E_b", "test", test.embedder_bias),
                ("R_b", "test", test.rag_bias),
            ];
            let warning = |(symbol, split, bias): (&str, &str, ragbias_core::Bias)| {
                let warning = unscored(symbol, &bias.counts())?;
                Some(format!("{} with {}, control {name}, {split}: {warning}", self.axis, self.llm))
            };
            all.into_iter().filter_map(warning).collect::<Vec<_>>()
        };
        let controls = self.controls.iter().flat_map(|turned| of(turned.control.name(), &turned.confirmed));
        of("none", &self.base).into_iter().chain(controls).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_fifth_without_a_score_is_a_warning_whatever_the_reason() {
        let counts = Counts { positive: 5, negative: 3, unscored: 1, cut: 1, ..Counts::default() };
        assert_eq!(unscored("R_b", &counts), None, "a fifth is none");
        let counts = Counts { neither: 7, ..counts };
        assert_eq!(unscored("R_b", &counts), None);
        let counts = Counts { positive: 0, neither: 0, ..counts };
        let expected =
            "R_b rests on 3 of 5, as 40% have no score (1 unscored, 1 cut); all of them may lean otherwise";
        assert_eq!(unscored("R_b", &counts).unwrap(), expected);
    }
}
