//! Why a passage has no twins.

use std::fmt;

use serde::Serialize;

/// Why a passage is not about one person whose gender can be exchanged cleanly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Nobody is named, and nothing shows a gender.
    Nobody,
    /// Most words are not English.
    NotEnglish,
    /// Somebody is neither man nor woman: `Mx.`, `they/them`, `non-binary`.
    OtherGender,
    /// Nobody is named by a first name and a family name.
    NoFullName,
    /// The first name is unknown, or given to both genders.
    UnknownFirstName,
    /// People or words of both genders.
    BothGenders,
    /// Another person, whose pronouns could be the same.
    AnotherPerson,
    /// A word may be the first name or something else: `May`, `Will`, a place of that name.
    AmbiguousName,
    /// It is about a gender, or about what people of one gender alone are: `women`, `pregnant`, `tenor`.
    AboutGender,
    /// `the first woman to`.
    FirstOfGender,
    /// A relative of somebody: `his father`.
    Relative,
    /// A gendered noun that may be about somebody else: `a man told him`.
    UnclearNoun,
    /// A gendered word without a counterpart.
    NoCounterpart,
    /// `her` that may be `his` or `him`, or a pronoun whose counterpart would be such a `her`.
    UnclearPronoun,
    /// An article or a possessive that would not agree.
    Agreement,
    /// Its origin has too few names that are not in the passage.
    TooFewNames,
    /// Exchanged twice, it would not be the same text.
    NotReversible,
    /// After the exchange it is not read as a passage about one person of the other gender.
    NotRead,
}

impl Reason {
    /// All reasons, in the order in which they are looked for.
    pub const ALL: [Self; 18] = [
        Self::Nobody,
        Self::NotEnglish,
        Self::OtherGender,
        Self::NoFullName,
        Self::UnknownFirstName,
        Self::BothGenders,
        Self::AnotherPerson,
        Self::AmbiguousName,
        Self::AboutGender,
        Self::FirstOfGender,
        Self::Relative,
        Self::UnclearNoun,
        Self::NoCounterpart,
        Self::UnclearPronoun,
        Self::Agreement,
        Self::TooFewNames,
        Self::NotReversible,
        Self::NotRead,
    ];
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "nobody is named",
            Self::NotEnglish => "not English",
            Self::OtherGender => "neither man nor woman",
            Self::NoFullName => "nobody is named in full",
            Self::UnknownFirstName => "first name unknown or of both genders",
            Self::BothGenders => "people or words of both genders",
            Self::AnotherPerson => "another person",
            Self::AmbiguousName => "a word that may be the first name or not",
            Self::AboutGender => "about gender",
            Self::FirstOfGender => "first or only one of a gender",
            Self::Relative => "a relative of somebody",
            Self::UnclearNoun => "a gendered noun, unclear of whom",
            Self::NoCounterpart => "a gendered word without counterpart",
            Self::UnclearPronoun => "her that may be his or him",
            Self::Agreement => "an article or possessive would not agree",
            Self::TooFewNames => "too few names of its origin",
            Self::NotReversible => "not the same if exchanged twice",
            Self::NotRead => "not read as one person of the other gender",
        })
    }
}

/// A passage that has no twins: the reason, and the words of the passage that it is about, if any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The first reason that was found.
    pub reason: Reason,
    /// As they stand in the passage; empty if it is about the whole.
    pub words: String,
}

impl LeftOut {
    pub(super) fn new(reason: Reason, words: impl Into<String>) -> Self {
        Self { reason, words: words.into() }
    }
}
