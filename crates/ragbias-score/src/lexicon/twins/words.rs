//! The file of counterparts: gendered words by pair, and the words that tell `his` from `him`.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;

use crate::lexicon::vocabulary::Pole;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WordsFile {
    titles: Vec<[String; 2]>,
    occupations: Vec<[String; 2]>,
    neutral: Vec<[String; 2]>,
    people: Vec<[String; 2]>,
    kin: Vec<[String; 2]>,
    about_gender: HashSet<String>,
    ordinals: HashSet<String>,
    after_object: HashSet<String>,
    after_either: HashSet<String>,
    before_either: HashSet<String>,
    noun_follows: HashSet<String>,
}

/// What a gendered word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WordKind {
    /// Before a name.
    Title,
    /// `the actress` is the person that a passage is about.
    Occupation,
    /// Exchanged from female to male alone.
    Neutral,
    /// `man`, `daughter`: about the person only where the sentence says so.
    Person,
}

/// A gendered word's kind and counterpart.
#[derive(Debug, Clone)]
pub(super) struct Counterpart {
    pub(super) kind: WordKind,
    pub(super) word: String,
}

/// Words by what they mean for the exchange.
#[derive(Debug, Clone)]
pub(super) struct Words {
    male: HashMap<String, Counterpart>,
    female: HashMap<String, Counterpart>,
    about_gender: HashSet<String>,
    ordinals: HashSet<String>,
    /// What follows a pronoun that is an object.
    pub(super) after_object: HashSet<String>,
    pub(super) after_either: HashSet<String>,
    pub(super) before_either: HashSet<String>,
    pub(super) noun_follows: HashSet<String>,
}

impl Words {
    pub(super) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let file: WordsFile = toml::from_str(text)?;
        let (mut male, mut female) = (HashMap::new(), HashMap::new());
        let lists = [
            (WordKind::Title, file.titles),
            (WordKind::Occupation, file.occupations),
            (WordKind::Neutral, file.neutral),
            (WordKind::Person, file.people),
            (WordKind::Person, file.kin),
        ];
        for (kind, pairs) in lists {
            for [man, woman] in pairs {
                if kind != WordKind::Neutral {
                    // The first pair of a word is the one that it is exchanged by.
                    male.entry(man.clone()).or_insert_with(|| Counterpart { kind, word: woman.clone() });
                }
                female.entry(woman).or_insert(Counterpart { kind, word: man });
            }
        }
        Ok(Self {
            male,
            female,
            about_gender: file.about_gender,
            ordinals: file.ordinals,
            after_object: file.after_object,
            after_either: file.after_either,
            before_either: file.before_either,
            noun_follows: file.noun_follows,
        })
    }

    /// The counterpart of a folded word of this pole.
    pub(super) fn counterpart(&self, pole: Pole, folded: &str) -> Option<&Counterpart> {
        match pole {
            Pole::Negative => self.male.get(folded),
            Pole::Positive => self.female.get(folded),
        }
    }

    /// Whether a passage with this word is about gender.
    pub(super) fn is_about_gender(&self, folded: &str) -> bool {
        self.about_gender.contains(folded)
    }

    /// `first`, `only`, `youngest`.
    pub(super) fn is_ordinal(&self, folded: &str) -> bool {
        self.ordinals.contains(folded)
    }
}

/// The words that one passage exchanges, in both directions: each is the counterpart of its counterpart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Exchanged(BTreeMap<String, String>);

impl Exchanged {
    /// Adds a word and its counterpart; none if either has another one already.
    pub(super) fn add(&mut self, word: &str, counterpart: &str) -> Option<()> {
        for (one, other) in [(word, counterpart), (counterpart, word)] {
            let known = self.0.entry(one.to_owned()).or_insert_with(|| other.to_owned());
            (known == other).then_some(())?;
        }
        Some(())
    }

    pub(super) fn get(&self, folded: &str) -> Option<&str> {
        self.0.get(folded).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_one_counterpart_in_a_passage() {
        let mut exchanged = Exchanged::default();
        assert!(exchanged.add("mrs", "mr").is_some() && exchanged.add("mrs", "mr").is_some());
        assert_eq!((exchanged.get("mr"), exchanged.get("mrs")), (Some("mrs"), Some("mr")));
        assert_eq!(exchanged.add("ms", "mr"), None);
    }
}
