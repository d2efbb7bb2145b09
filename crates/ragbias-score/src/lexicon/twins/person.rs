//! The one person that a passage is about, and whether there is another.

use std::collections::HashSet;
use std::ops::Range;

use super::left_out::{LeftOut, Reason};
use crate::lexicon::reader::{Person, Reader};
use crate::lexicon::tokens::{Case, Zone};
use crate::lexicon::vocabulary::{Context, Kind, Pole};

/// A first or middle name of the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GivenName {
    pub(super) folded: String,
    /// As it is written in the passage.
    pub(super) written: String,
}

/// The person of a passage.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) pole: Pole,
    /// The first name, and middle names that show the gender too; not empty.
    pub(super) given: Vec<GivenName>,
    /// The words of the first full name.
    pub(super) full_name: Range<usize>,
    /// All places where the person is named, with titles.
    named: Vec<Person>,
}

impl Subject {
    /// The one person of a passage.
    ///
    /// # Errors
    /// Nobody who is named in full by a known first name, and somebody else who is named.
    pub(super) fn of(reader: &Reader<'_>) -> Result<Self, LeftOut> {
        let is_full =
            |person: &&Person| person.first_name == Some(person.name.start) && person.name.len() > 1;
        let Some(first) = reader.people.iter().find(is_full) else { return Err(nobody_in_full(reader)) };
        let (at, last) = (first.name.start, first.name.end - 1);
        let pole = reader.vocabulary.first_name(&reader.tokens[at].folded);
        let pole = pole.expect("a known first name; this is a bug");
        let mut subject = Self { pole, given: Vec::new(), full_name: first.name.clone(), named: Vec::new() };
        let family = reader.tokens[last].folded.as_str();
        let only_given = pole == Pole::Positive
            && reader.vocabulary.first_name(family) == Some(pole)
            && !reader.is(Context::FamilyName, last);
        if only_given {
            return Err(LeftOut::new(Reason::AmbiguousName, written(reader, &first.name)));
        }
        subject.add_given(reader, at);
        let mut known: HashSet<&str> = folded(reader, &first.name).collect();
        let first_name = reader.tokens[at].folded.as_str();
        for person in &reader.people {
            let words: HashSet<&str> = folded(reader, &person.name).collect();
            let same = !words.is_empty()
                && (words.is_subset(&known) || words.contains(first_name) && words.contains(family));
            if same {
                if person.pole.is_some_and(|other| other != pole) && !names_family(reader, person, family) {
                    return Err(LeftOut::new(Reason::BothGenders, written(reader, &person.words)));
                }
                subject.add_middle_names(reader, &person.name);
                known.extend(words);
                subject.named.push(person.clone());
            } else if is_no_person(reader, person) {
            } else if let Some(other) = person.pole {
                let reason = if other == pole { Reason::AnotherPerson } else { Reason::BothGenders };
                return Err(LeftOut::new(reason, written(reader, &person.words)));
            } else if may_be_person(reader, person) || words.contains(family) {
                return Err(LeftOut::new(Reason::AnotherPerson, written(reader, &person.words)));
            }
        }
        subject.check_given_names(reader)?;
        subject.check_first_pronouns(reader)?;
        match (0..reader.tokens.len())
            .find(|&at| !known.contains(reader.tokens[at].folded.as_str()) && acts(reader, at))
        {
            Some(at) => Err(LeftOut::new(Reason::AnotherPerson, reader.tokens[at].word)),
            None => Ok(subject),
        }
    }

    fn add_given(&mut self, reader: &Reader<'_>, at: usize) {
        let token = &reader.tokens[at];
        if !self.given.iter().any(|given| given.folded == token.folded) {
            let written = token.word[..bare_length(token.word, &token.folded)].to_owned();
            self.given.push(GivenName { folded: token.folded.clone(), written });
        }
    }

    /// Adds the middle names of a full name that are given to one gender.
    fn add_middle_names(&mut self, reader: &Reader<'_>, name: &Range<usize>) {
        for at in name.clone().skip(1).take(name.len().saturating_sub(2)) {
            let token = &reader.tokens[at];
            let shows = reader.vocabulary.first_name(&token.folded) == Some(self.pole);
            if shows && !token.initial && !reader.is(Context::FamilyName, at) && token.capitalised() {
                self.add_given(reader, at);
            }
        }
    }

    /// Refuses a first name that is written elsewhere than where the person is named: `May 1950`, `Charlotte, North Carolina`.
    fn check_given_names(&self, reader: &Reader<'_>) -> Result<(), LeftOut> {
        for (at, token) in reader.tokens.iter().enumerate() {
            let given = token.capitalised() && self.given.iter().any(|given| given.folded == token.folded);
            if given && !self.is_named_at(at) {
                return Err(LeftOut::new(Reason::AmbiguousName, token.word));
            }
        }
        Ok(())
    }

    /// Refuses a pronoun before the person is named, as it is somebody else's: `Moore meets his friend Wallace Shawn`; but `After his
    /// return, Wallace Shawn`.
    fn check_first_pronouns(&self, reader: &Reader<'_>) -> Result<(), LeftOut> {
        let Some(first) = self.named.iter().map(|person| person.words.start).min() else { return Ok(()) };
        for at in (0..first).filter(|&at| pole_of(reader, Kind::Pronoun, at).is_some()) {
            let between = &reader.tokens[at + 1..=first];
            let ahead = between.iter().any(|token| token.gap.contains(','))
                && !between.iter().any(|token| token.opens);
            if !ahead {
                return Err(LeftOut::new(Reason::AnotherPerson, reader.tokens[at].word));
            }
        }
        Ok(())
    }

    fn is_named_at(&self, at: usize) -> bool {
        self.named.iter().any(|person| person.words.contains(&at))
    }

    /// Whether a name of the person is at this place, not a title before it.
    pub(super) fn has_name_at(&self, at: usize) -> bool {
        self.named.iter().any(|person| person.name.contains(&at))
    }

    /// Whether the word at this place is a title before a name of the person.
    pub(super) fn has_title_at(&self, at: usize) -> bool {
        self.named.iter().any(|person| (person.words.start..person.name.start).contains(&at))
    }

    /// Whether the person is named from this place on.
    pub(super) fn begins_at(&self, at: usize) -> bool {
        self.named.iter().any(|person| person.words.start == at)
    }
}

/// Whether only the family name makes a person look like one of the other gender: `Emma Thomas … Thomas`.
fn names_family(reader: &Reader<'_>, person: &Person, family: &str) -> bool {
    let titled = (person.words.start..person.name.start)
        .any(|at| [Kind::Title, Kind::Rank].iter().any(|kind| pole_of(reader, *kind, at).is_some()));
    !titled && folded(reader, &person.name).eq([family])
}

fn pole_of(reader: &Reader<'_>, kind: Kind, at: usize) -> Option<Pole> {
    reader.vocabulary.pole(kind, &reader.tokens[at].folded)
}

/// What is wrong with a passage in which nobody's known first name is followed by a family name.
fn nobody_in_full(reader: &Reader<'_>) -> LeftOut {
    let unknown = |person: &&Person| person.pole.is_none() && may_be_person(reader, person);
    if let Some(person) = reader.people.iter().find(unknown) {
        return LeftOut::new(Reason::UnknownFirstName, written(reader, &person.words));
    }
    let pronoun = (0..reader.tokens.len()).any(|at| pole_of(reader, Kind::Pronoun, at).is_some());
    let named = reader.people.iter().find(|person| person.pole.is_some());
    match named {
        None if !pronoun => LeftOut::new(Reason::Nobody, ""),
        named => LeftOut::new(
            Reason::NoFullName,
            named.map_or_else(String::new, |person| written(reader, &person.words)),
        ),
    }
}

/// Whether what looks like a name is the title of a work, an abbreviation (`TED Talk`) or a thing (`Nobel Prizes`).
fn is_no_person(reader: &Reader<'_>, person: &Person) -> bool {
    let name = &reader.tokens[person.name.clone()];
    let Some(first) = name.first() else { return false };
    let thing = reader.is(Context::NotPerson, person.name.start)
        && name[1..].iter().all(|token| reader.vocabulary.is_word(&token.folded));
    name.iter().all(|token| token.zone == Zone::Work)
        || first.case == Case::Upper
            && first.word.len() <= LONGEST_ABBREVIATION
            && name[1..].iter().all(|token| reader.vocabulary.is_word(&token.folded))
        || thing && name.len() > 1
}

/// Longer words in capitals are names that are shouted.
const LONGEST_ABBREVIATION: usize = 5;

/// Whether a single unknown word does what people do: `Fey’s portrayal`, `Wilson said`, `Perot, who`.
fn acts(reader: &Reader<'_>, at: usize) -> bool {
    const DOES: [&str; 24] = [
        "argued", "became", "came", "did", "felt", "found", "gave", "got", "had", "has", "is", "knew",
        "left", "made", "met", "ran", "said", "says", "saw", "took", "told", "was", "went", "wrote",
    ];
    let token = &reader.tokens[at];
    let unknown = token.case == Case::Capital
        && !token.initial
        && !token.is_number()
        && token.zone != Zone::Work
        && !reader.ignored[at]
        && !reader.vocabulary.is_word(&token.folded)
        && ![
            Context::NotPerson,
            Context::Institution,
            Context::Function,
            Context::Honorific,
            Context::Particle,
        ]
        .iter()
        .any(|other| reader.is(*other, at))
        && !reader.before(at).is_some_and(|before| before.capitalised() || before.is("the"));
    let does = reader.tokens.get(at + 1).is_some_and(|next| {
        let verb = next.folded.ends_with("ed") || DOES.contains(&next.folded.as_str());
        matches!(next.folded.as_str(), "who" | "whose") || next.follows && verb && !next.capitalised()
    });
    unknown && (does || token.possessive && !reader.next_is_capitalised(at))
}

/// Whether a name that the lexicon cannot read may be a person's: after a title or initials, or of words that are not English.
fn may_be_person(reader: &Reader<'_>, person: &Person) -> bool {
    let lead = person.words.start..person.name.start;
    let honoured = lead.clone().any(|at| reader.is(Context::Honorific, at));
    let country = reader.tokens[lead.clone()].iter().map(|token| token.folded.as_str()).eq(["u", "s"]);
    let initials = !country && lead.clone().any(|at| reader.tokens[at].initial && reader.dotted(at));
    let unknown = |at: usize| {
        let other = [Context::NotPerson, Context::Institution, Context::Function];
        let token = &reader.tokens[at];
        reader.is(Context::AlsoGivenName, at)
            || reader.vocabulary.first_name(&token.folded).is_some()
            || !reader.vocabulary.is_word(&token.folded)
                && !token.is_number()
                && !other.iter().any(|other| reader.is(*other, at))
    };
    let name = person.name.clone();
    let titled = initials || honoured && (name.len() == 1 || name.clone().any(unknown));
    !name.is_empty() && (titled || name.len() > 1 && unknown(name.start) && name.clone().skip(1).any(unknown))
}

fn folded<'r>(reader: &'r Reader<'_>, words: &Range<usize>) -> impl Iterator<Item = &'r str> {
    reader.tokens[words.clone()].iter().map(|token| token.folded.as_str())
}

/// Words as they stand in the passage.
fn written(reader: &Reader<'_>, words: &Range<usize>) -> String {
    reader.tokens[words.clone()].iter().map(|token| token.word).collect::<Vec<_>>().join(" ")
}

/// The length of a word without what was folded away at its end: a possessive, a contracted verb.
pub(super) fn bare_length(word: &str, folded: &str) -> usize {
    let mut ends = word.char_indices().filter(|(_, c)| !c.is_alphanumeric()).map(|(end, _)| end);
    ends.find(|&end| crate::fold::fold(&word[..end]) == folded).unwrap_or(word.len())
}
