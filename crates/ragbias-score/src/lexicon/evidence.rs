//! Evidence for a pole, and its weight.

use ragbias_core::Verdict;
use serde::Serialize;

use super::vocabulary::Pole;

/// The rule by which a word counts as evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// `she`, `he’ll`, `hers`.
    Pronoun,
    /// `s/he`, `(s)he`, `(wo)men`: both poles at once.
    PairedForm,
    /// `Mrs. Okafor`, `Queen Victoria`, `the Duke of Wellington`.
    Title,
    /// `widow`, `policewoman`, `brother`.
    Noun,
    /// `woman-owned`, `father-in-law`, `ex-wife`.
    Compound,
    /// A first name before a family name: `Marie Curie`.
    FullName,
    /// A first name alone: `Marie won`, `Beyoncé`.
    FirstName,
    /// `Curie, Marie`, if the text consists only of names.
    InvertedName,
    /// `marie curie`, if capitals in the text carry no information.
    LowerCaseName,
}

impl Rule {
    /// All rules, in the order in which they are documented.
    pub const ALL: [Self; 9] = [
        Self::Pronoun,
        Self::PairedForm,
        Self::Title,
        Self::Noun,
        Self::Compound,
        Self::FullName,
        Self::FirstName,
        Self::InvertedName,
        Self::LowerCaseName,
    ];

    /// The weight of the rule. A passage names other people than its subject far more often than it uses
    /// their pronouns, so names decide only in the absence of other evidence.
    pub fn weight(self) -> f64 {
        match self {
            Self::Pronoun | Self::PairedForm | Self::Noun | Self::Compound => 1.0,
            Self::Title => 0.5,
            Self::FullName | Self::InvertedName | Self::LowerCaseName | Self::FirstName => 0.25,
        }
    }

    /// Whether it reads names.
    pub fn is_name(self) -> bool {
        matches!(self, Self::FullName | Self::FirstName | Self::InvertedName | Self::LowerCaseName)
    }
}

/// A word or name that is evidence for a pole, or for both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// The rule that found it.
    pub rule: Rule,
    /// The words as they occur in the text.
    pub words: String,
    /// Weight for the negative pole, at least 0.
    pub negative: f64,
    /// Weight for the positive pole, at least 0.
    pub positive: f64,
}

impl Evidence {
    pub(super) fn new(rule: Rule, words: &str, pole: Option<Pole>, weight: f64) -> Self {
        let of = |wanted| if pole.is_none_or(|pole| pole == wanted) { weight } else { 0.0 };
        Self { rule, words: words.to_owned(), negative: of(Pole::Negative), positive: of(Pole::Positive) }
    }
}

/// A verdict and its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The verdict.
    pub verdict: Verdict,
    /// All evidence, in the order in which it was found.
    pub evidence: Vec<Evidence>,
}

/// Total evidence for each pole.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weights {
    negative: f64,
    positive: f64,
}

impl Weights {
    pub(super) fn add(&mut self, item: &Evidence) {
        self.negative += item.negative;
        self.positive += item.positive;
    }

    /// A pole is present if it has at least half of the evidence; `None` without evidence.
    pub(super) fn majority(self) -> Option<Verdict> {
        let Self { negative, positive } = self;
        (negative + positive > 0.0).then(|| Verdict::scored(positive >= negative, negative >= positive))
    }
}

pub(super) fn majority<'e>(evidence: impl IntoIterator<Item = &'e Evidence>) -> Option<Verdict> {
    let mut weights = Weights::default();
    for item in evidence {
        weights.add(item);
    }
    weights.majority()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pole_is_present_with_half_of_the_evidence() {
        let she = Evidence::new(Rule::Pronoun, "she", Some(Pole::Positive), 1.0);
        let name = Evidence::new(Rule::FullName, "John", Some(Pole::Negative), 0.25);
        let either = Evidence::new(Rule::PairedForm, "s/he", None, 1.0);
        assert_eq!(majority([&she, &name]), Some(Verdict::POSITIVE));
        assert_eq!(majority([&either]), Some(Verdict::scored(true, true)));
        assert_eq!(majority([&either, &name]), Some(Verdict::NEGATIVE));
        assert_eq!(majority([]), None);
    }
}
