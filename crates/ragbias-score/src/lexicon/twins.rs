//! Twins of a passage about one person: the same text with the names, pronouns and titles of a man and of a woman.
//!
//! `docs/twins.md` has the rules. What cannot be exchanged cleanly is left out, for a reason that is named.

mod exchange;
mod left_out;
mod nouns;
mod origins;
mod person;
mod possessives;
mod words;

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use ragbias_core::Lean;

use self::exchange::{Exchange, Gendered, gendered, is_left};
pub use self::left_out::{LeftOut, Reason};
use self::nouns::is_about;
pub use self::origins::{DrawKey, Origin};
use self::origins::{NamePair, Origins};
use self::person::{GivenName, Subject};
use self::words::{Exchanged, WordKind, Words};
use super::reader::Reader;
use super::vocabulary::{Kind, Pole, Vocabulary};

/// Reads passages about one person, and writes their twins.
///
/// ```
/// use ragbias_score::{DrawKey, Lexicon, Naming};
///
/// let counterparts = Lexicon::bundled("gender")?.counterparts()?;
/// let passage = counterparts.read("Clara Fell is an actress. Her son met her at his school.").unwrap_err();
/// assert_eq!(passage.words, "son"); // somebody of the other gender
///
/// let passage = counterparts.read("Clara Fell is an English actress, and she paints. The house is hers.").unwrap();
/// let twins = passage.twins(DrawKey { seed: 1, passage: "d1" }, 1, Naming::Drawn).unwrap();
/// assert_eq!(twins[0].negative.text, format!("{} is an English actor, and he paints. The house is his.", twins[0].negative.name));
/// assert!(twins[0].positive.name.ends_with(" Fell"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Counterparts {
    vocabulary: Arc<Vocabulary>,
    words: Words,
    origins: Origins,
}

/// Where the first names of twins come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Naming {
    /// Both are drawn, so that neither twin has a name that readers and models may know.
    #[default]
    Drawn,
    /// The twin of the passage's own gender keeps its names: it is the passage.
    Kept,
}

/// A twin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    /// The passage with its names, pronouns and titles.
    pub text: String,
    /// The person's full name, as it stands in the text.
    pub name: String,
}

/// The twins of a passage in one draw of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwinTexts {
    /// Of the negative pole: a man.
    pub negative: Twin,
    /// Of the positive pole: a woman.
    pub positive: Twin,
}

/// A passage about one person, whose names and gender can be exchanged.
#[derive(Debug)]
pub struct OnePerson<'a> {
    counterparts: &'a Counterparts,
    text: &'a str,
    reader: Reader<'a>,
    pole: Pole,
    given: Vec<GivenName>,
    /// Where the full name is, in bytes.
    full_name: Range<usize>,
    exchanged: Exchanged,
}

impl Counterparts {
    pub(super) fn new(
        vocabulary: Arc<Vocabulary>,
        words: &str,
        origins: &str,
    ) -> Result<Self, toml::de::Error> {
        let origins = Origins::parse(origins, &vocabulary)?;
        Ok(Self { words: Words::parse(words)?, origins, vocabulary })
    }

    /// The names that are drawn, by origin.
    pub fn origins(&self) -> &[Origin] {
        self.origins.all()
    }

    /// Reads a passage about one person.
    ///
    /// # Errors
    /// Why it has no twins.
    pub fn read<'a>(&'a self, text: &'a str) -> Result<OnePerson<'a>, LeftOut> {
        let reader = Reader::new(&self.vocabulary, text).reading_people();
        if reader.names_other_gender() {
            return Err(LeftOut::new(Reason::OtherGender, ""));
        }
        if !reader.is_in_language() {
            return Err(LeftOut::new(Reason::NotEnglish, ""));
        }
        let subject = Subject::of(&reader)?;
        self.check_gender(&reader, &subject)?;
        let exchanged = self.exchanged(&reader, &subject)?;
        let full_name = bytes(text, &reader, &subject.full_name);
        let passage = OnePerson {
            counterparts: self,
            text,
            reader,
            pole: subject.pole,
            given: subject.given,
            full_name,
            exchanged,
        };
        // Pronouns that are unclear are found before names are drawn.
        passage.exchange(BTreeMap::new(), true)?;
        Ok(passage)
    }

    /// Refuses words of the other gender, and what is about gender.
    fn check_gender(&self, reader: &Reader<'_>, subject: &Subject) -> Result<(), LeftOut> {
        let mut about = None;
        for (at, token) in reader.tokens.iter().enumerate() {
            let named = subject.has_name_at(at);
            let generation = matches!(token.folded.as_str(), "jr" | "sr");
            if (!named || generation) && about.is_none() && self.words.is_about_gender(&token.folded) {
                about = Some(LeftOut::new(Reason::AboutGender, token.word));
            }
            let other = match gendered(reader, at).filter(|_| !named) {
                Some(Gendered::Paired) => true,
                Some(Gendered::Pronoun(pole) | Gendered::Word(pole) | Gendered::Compound(pole)) => {
                    pole != subject.pole
                }
                None => false,
            };
            if other {
                return Err(LeftOut::new(Reason::BothGenders, token.word));
            }
        }
        about.map_or(Ok(()), Err)
    }

    /// The titles and nouns that a passage exchanges.
    fn exchanged(&self, reader: &Reader<'_>, subject: &Subject) -> Result<Exchanged, LeftOut> {
        let mut exchanged = Exchanged::default();
        let mut seen: HashSet<&str> = HashSet::new();
        for (at, token) in reader.tokens.iter().enumerate() {
            let folded = token.folded.as_str();
            let left_out = |reason| Err(LeftOut::new(reason, token.word));
            // `the “Black Widow”`: it is not read as a word about a person, and would remain.
            let remains =
                reader.ignored[at] && reader.vocabulary.pole(Kind::Noun, folded) == Some(subject.pole);
            if remains && !subject.has_name_at(at) {
                return left_out(Reason::NoCounterpart);
            }
            if is_left(reader, at) || subject.has_name_at(at) {
                continue;
            }
            let is_gendered = match gendered(reader, at) {
                Some(Gendered::Pronoun(_)) => {
                    // A title of a work that is not in quotation marks, `Her Alibi`.
                    if token.capitalised() && !token.opens {
                        return left_out(Reason::UnclearPronoun);
                    }
                    continue;
                }
                Some(Gendered::Compound(_)) => return left_out(Reason::NoCounterpart),
                Some(_) => true,
                None => false,
            };
            let title = subject.has_title_at(at)
                && [Kind::Title, Kind::Rank, Kind::Noun]
                    .iter()
                    .any(|kind| reader.vocabulary.pole(*kind, folded).is_some());
            let Some(counterpart) = self.words.counterpart(subject.pole, folded) else {
                if is_gendered || title {
                    return left_out(Reason::NoCounterpart);
                }
                continue;
            };
            let (kind, word) = (counterpart.kind, counterpart.word.as_str());
            if kind == WordKind::Title {
                match (title, is_gendered) {
                    (true, _) => {}
                    (false, true) => return left_out(Reason::UnclearNoun),
                    // `count`, `lord` as words that are no titles here.
                    (false, false) => continue,
                }
            } else if !title {
                is_about(reader, &self.words, subject, (at, kind))
                    .map_err(|reason| LeftOut::new(reason, token.word))?;
            }
            if exchanged.add(folded, word).is_none() {
                return left_out(Reason::NotReversible);
            }
            seen.insert(folded);
        }
        // A counterpart that is there already, and a title that is elsewhere a word, would be exchanged, too.
        for (at, token) in reader.tokens.iter().enumerate() {
            let folded = token.folded.as_str();
            let exchanged_here =
                exchanged.get(folded).is_some() && !is_left(reader, at) && !subject.has_name_at(at);
            if exchanged_here && (!seen.contains(folded) || self.is_other_word(reader, subject, at)) {
                return Err(LeftOut::new(Reason::NotReversible, token.word));
            }
        }
        Ok(exchanged)
    }

    /// Whether a word that is exchanged as a title is none at this place.
    fn is_other_word(&self, reader: &Reader<'_>, subject: &Subject, at: usize) -> bool {
        let folded = &reader.tokens[at].folded;
        let counterpart = self.words.counterpart(subject.pole, folded);
        counterpart.is_some_and(|counterpart| counterpart.kind == WordKind::Title)
            && !subject.has_title_at(at)
            && gendered(reader, at).is_none()
    }
}

impl OnePerson<'_> {
    /// −1 for a man, +1 for a woman.
    pub fn lean(&self) -> Lean {
        match self.pole {
            Pole::Negative => Lean::Negative,
            Pole::Positive => Lean::Positive,
        }
    }

    /// The origin of the first name, if a list has it; else names are drawn from the first origin of the file.
    pub fn origin(&self) -> Option<&str> {
        let origins = &self.counterparts.origins;
        origins.of(&self.given[0].folded).map(|origin| origins.name(origin))
    }

    /// The twins with each of `draws` draws of names, which have no name in common.
    ///
    /// # Errors
    /// Why there are none.
    pub fn twins(&self, key: DrawKey<'_>, draws: usize, naming: Naming) -> Result<Vec<TwinTexts>, LeftOut> {
        let origins = &self.counterparts.origins;
        let origin = origins.of(&self.given[0].folded).unwrap_or(0);
        let words: HashSet<&str> = self.reader.tokens.iter().map(|token| token.folded.as_str()).collect();
        let each = self.given.len();
        let drawn = origins.draw(origin, &key, &words, draws * each);
        let Some(drawn) = drawn else {
            return Err(LeftOut::new(Reason::TooFewNames, origins.name(origin)));
        };
        // The first names of all draws come first, so that another middle name does not change them.
        (0..draws)
            .map(|draw| {
                let pairs: Vec<&NamePair> = (0..each).map(|name| &drawn[name * draws + draw]).collect();
                Ok(TwinTexts {
                    negative: self.twin(Pole::Negative, &pairs, naming)?,
                    positive: self.twin(Pole::Positive, &pairs, naming)?,
                })
            })
            .collect()
    }

    /// The twin of a pole, checked: it is read as one person of its gender, and exchanged again it is the passage.
    fn twin(&self, pole: Pole, pairs: &[&NamePair], naming: Naming) -> Result<Twin, LeftOut> {
        let turns = pole != self.pole;
        if naming == Naming::Kept && !turns {
            return Ok(Twin { text: self.text.into(), name: self.text[self.full_name.clone()].into() });
        }
        let names = || self.given.iter().zip(pairs);
        let forth = names().map(|(given, pair)| (given.folded.clone(), pair.of(pole).to_owned()));
        let forth: BTreeMap<String, String> = forth.collect();
        let back = names().map(|(given, pair)| (crate::fold::fold(pair.of(pole)), given.written.clone()));
        let name = self.name(&forth)?;
        let text = self.exchange(forth, turns)?;
        let read = self.counterparts.read(&text).map_err(|left_out| {
            LeftOut::new(Reason::NotRead, format!("{}: {}", left_out.reason, left_out.words))
        })?;
        if read.pole != pole || read.given.len() != self.given.len() {
            return Err(LeftOut::new(Reason::NotRead, name));
        }
        let back = Exchange { names: back.collect(), words: turns.then_some(&self.exchanged) };
        if back.apply(&text, &read.reader, &self.counterparts.words)? == self.text {
            Ok(Twin { text, name })
        } else {
            Err(LeftOut::new(Reason::NotReversible, name))
        }
    }

    fn exchange(&self, names: BTreeMap<String, String>, turns: bool) -> Result<String, LeftOut> {
        let exchange = Exchange { names, words: turns.then_some(&self.exchanged) };
        exchange.apply(self.text, &self.reader, &self.counterparts.words)
    }

    /// The full name with other first names.
    fn name(&self, names: &BTreeMap<String, String>) -> Result<String, LeftOut> {
        let written = &self.text[self.full_name.clone()];
        let exchange = Exchange { names: names.clone(), words: None };
        exchange.apply(
            written,
            &Reader::new(&self.counterparts.vocabulary, written),
            &self.counterparts.words,
        )
    }
}

/// Where words are in the text they were read from.
fn bytes(text: &str, reader: &Reader<'_>, words: &Range<usize>) -> Range<usize> {
    let start = |at: usize| reader.tokens[at].word.as_ptr() as usize - text.as_ptr() as usize;
    let last = &reader.tokens[words.end - 1];
    start(words.start)..start(words.end - 1) + person::bare_length(last.word, &last.folded)
}

#[cfg(test)]
mod tests;
