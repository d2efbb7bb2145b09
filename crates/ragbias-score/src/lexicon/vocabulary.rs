//! The lexicon's files, indexed for look-up.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use crate::fold::fold;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pole {
    Negative,
    Positive,
}

/// The kind of a gendered word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Pronoun,
    /// A title only before a name.
    Title,
    /// A title that is also a noun: `the king`.
    Rank,
    Noun,
}

/// The kind of a word that is not evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    Honorific,
    OtherGender,
    Particle,
    FamilyFirst,
    FamilyThenGiven,
    FamilyName,
    AlsoGivenName,
    AlsoName,
    AlsoVerb,
    Function,
    Initials,
    Institution,
    PlacePrefix,
    NotPerson,
}

/// A lexicon's files.
#[derive(Debug, Clone, Copy)]
pub struct LexiconFiles<'a> {
    /// Words by pole, and the contexts in which they do not count (TOML).
    pub words: &'a str,
    /// First names of the negative pole, one per line.
    pub negative_names: &'a str,
    /// First names of the positive pole, one per line.
    pub positive_names: &'a str,
    /// First names that are more common as family names, one per line.
    pub family_names: &'a str,
    /// Words of the language, one per line: any other word may be a name.
    pub language: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WordsFile {
    negative: Words,
    positive: Words,
    context: ContextWords,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    pronouns: Vec<String>,
    titles: Vec<String>,
    ranks: Vec<String>,
    nouns: Vec<String>,
    #[serde(default)]
    endings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContextWords {
    honorifics: Vec<String>,
    other_genders: Vec<String>,
    particles: Vec<String>,
    family_first: Vec<String>,
    family_then_given: Vec<String>,
    family_names: Vec<String>,
    also_given_names: Vec<String>,
    also_names: Vec<String>,
    also_verbs: Vec<String>,
    function_words: Vec<String>,
    initials: Vec<String>,
    institutions: Vec<String>,
    place_prefixes: Vec<String>,
    not_people: Vec<String>,
    phrases: Vec<String>,
}

/// All words by kind.
#[derive(Debug, Clone)]
pub(super) struct Vocabulary {
    words: HashMap<String, Vec<(Kind, Pole)>>,
    endings: Vec<(String, Pole)>,
    names: HashMap<String, Pole>,
    contexts: HashMap<String, Vec<Context>>,
    /// Phrases by their first word.
    phrases: HashMap<String, Vec<Vec<PhraseWord>>>,
    language: HashSet<String>,
}

/// A word within a phrase.
#[derive(Debug, Clone)]
pub(super) enum PhraseWord {
    AnyNumber,
    Word { folded: String, possessive: bool },
}

impl PhraseWord {
    fn of(word: &str) -> Self {
        if word == "_" {
            return Self::AnyNumber;
        }
        let bare = word.strip_suffix("'s");
        Self::Word { folded: fold(bare.unwrap_or(word)), possessive: bare.is_some() }
    }
}

impl Vocabulary {
    pub(super) fn new(files: &LexiconFiles<'_>) -> Result<Self, toml::de::Error> {
        let file: WordsFile = toml::from_str(files.words)?;
        let mut words: HashMap<String, Vec<(Kind, Pole)>> = HashMap::new();
        let mut endings = Vec::new();
        for (pole, lists) in [(Pole::Negative, file.negative), (Pole::Positive, file.positive)] {
            let kinds = [
                (Kind::Pronoun, lists.pronouns),
                (Kind::Title, lists.titles),
                (Kind::Rank, lists.ranks),
                (Kind::Noun, lists.nouns),
            ];
            for (kind, list) in kinds {
                for word in list {
                    words.entry(fold(&word)).or_default().push((kind, pole));
                }
            }
            endings.extend(lists.endings.iter().map(|ending| (fold(ending), pole)));
        }
        let context = file.context;
        let mut contexts: HashMap<String, Vec<Context>> = HashMap::new();
        let family_names = files.family_names.lines().map(str::to_owned);
        for (kind, list) in [
            (Context::Honorific, context.honorifics),
            (Context::OtherGender, context.other_genders),
            (Context::Particle, context.particles),
            (Context::FamilyFirst, context.family_first),
            (Context::FamilyThenGiven, context.family_then_given),
            (Context::FamilyName, context.family_names.into_iter().chain(family_names).collect()),
            (Context::AlsoGivenName, context.also_given_names),
            (Context::AlsoName, context.also_names),
            (Context::AlsoVerb, context.also_verbs),
            (Context::Function, context.function_words),
            (Context::Initials, context.initials),
            (Context::Institution, context.institutions),
            (Context::PlacePrefix, context.place_prefixes),
            (Context::NotPerson, context.not_people),
        ] {
            for word in list {
                contexts.entry(fold(&word)).or_default().push(kind);
            }
        }
        let mut phrases: HashMap<String, Vec<Vec<PhraseWord>>> = HashMap::new();
        for phrase in context.phrases {
            let phrase: Vec<PhraseWord> =
                phrase.split(' ').filter(|word| *word != "&").map(PhraseWord::of).collect();
            let first = match phrase.first() {
                Some(PhraseWord::Word { folded, .. }) => folded.clone(),
                _ => String::new(),
            };
            phrases.entry(first).or_default().push(phrase);
        }
        Ok(Self {
            words,
            endings,
            names: names(files.negative_names, files.positive_names),
            contexts,
            phrases,
            language: files.language.lines().map(fold).collect(),
        })
    }

    /// Whether a word is of this kind, and of which pole.
    pub(super) fn pole(&self, kind: Kind, folded: &str) -> Option<Pole> {
        let listed = self.words.get(folded).and_then(|kinds| kinds.iter().find(|(other, _)| *other == kind));
        if let Some((_, pole)) = listed {
            return Some(*pole);
        }
        let ends = |ending: &str| folded.len() >= ending.len() && folded.ends_with(ending);
        (kind == Kind::Noun)
            .then(|| self.endings.iter().find(|(ending, _)| ends(ending)).map(|(_, pole)| *pole))?
    }

    pub(super) fn is(&self, context: Context, folded: &str) -> bool {
        self.contexts.get(folded).is_some_and(|contexts| contexts.contains(&context))
    }

    /// `jean-pierre`, else `jeanpierre`, as the two parts of a double name may be given to different genders; else its
    /// first part, if the second does not contradict it.
    pub(super) fn first_name(&self, folded: &str) -> Option<Pole> {
        if let Some(&pole) = self.names.get(folded) {
            return Some(pole);
        }
        let (first, second) = folded.split_once('-')?;
        if let Some(&pole) = self.names.get(&folded.replace('-', "")) {
            return Some(pole);
        }
        let pole = *self.names.get(first)?;
        self.names.get(second).is_none_or(|&other| other == pole).then_some(pole)
    }

    /// Whether it is a word of the language, hyphenated or not.
    pub(super) fn is_word(&self, folded: &str) -> bool {
        let known = |word: &str| {
            self.language.contains(word)
                || ["s", "es", "'t", "n't", "'"].iter().any(|end| {
                    word.strip_suffix(end).is_some_and(|stem| stem.len() > 1 && self.language.contains(stem))
                })
        };
        known(folded) || folded.contains('-') && folded.split('-').all(|part| part.len() < 3 || known(part))
    }

    /// The phrases that begin with this word; an empty word matches any numeral.
    pub(super) fn phrases(&self, folded: &str) -> &[Vec<PhraseWord>] {
        self.phrases.get(folded).map_or(&[], Vec::as_slice)
    }
}

/// First names by pole; a name in both lists counts for neither.
fn names(negative: &str, positive: &str) -> HashMap<String, Pole> {
    let mut names: HashMap<_, _> = negative.lines().map(|name| (fold(name), Pole::Negative)).collect();
    let mut both = HashSet::new();
    for name in positive.lines().map(fold) {
        if names.insert(name.clone(), Pole::Positive) == Some(Pole::Negative) {
            both.insert(name);
        }
    }
    names.retain(|name, _| !both.contains(name));
    names
}
