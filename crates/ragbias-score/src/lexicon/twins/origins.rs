//! First names by origin, from which those of twins are drawn.

use std::collections::{HashMap, HashSet};

use ragbias_core::ContentHasher;
use serde::Deserialize;

use crate::fold::fold;
use crate::lexicon::vocabulary::{Context, Kind, Pole, Vocabulary};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OriginsFile {
    origins: Vec<Origin>,
}

/// Common first names of one language or country, as they are written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Its name.
    pub name: String,
    /// Given to women alone.
    pub female: Vec<String>,
    /// Given to men alone.
    pub male: Vec<String>,
}

/// A man's and a woman's name of one origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamePair {
    pub(super) male: String,
    pub(super) female: String,
}

impl NamePair {
    pub(super) fn of(&self, pole: Pole) -> &str {
        match pole {
            Pole::Negative => &self.male,
            Pole::Positive => &self.female,
        }
    }
}

/// All origins, the first of which serves for names of none.
#[derive(Debug, Clone)]
pub(super) struct Origins {
    all: Vec<Origin>,
    /// Of each origin, the pairs that can be drawn: names that the lexicon knows, and that are nothing but first names.
    pairs: Vec<Vec<NamePair>>,
    /// The first origin of a folded name.
    of: HashMap<String, usize>,
}

impl Origins {
    pub(super) fn parse(text: &str, vocabulary: &Vocabulary) -> Result<Self, toml::de::Error> {
        let OriginsFile { origins } = toml::from_str(text)?;
        let (mut pairs, mut of) = (Vec::new(), HashMap::new());
        for (number, origin) in origins.iter().enumerate() {
            for name in origin.female.iter().chain(&origin.male) {
                of.entry(fold(name)).or_insert(number);
            }
            let drawable = |names: &[String], pole| -> Vec<String> {
                names.iter().filter(|name| is_nothing_else(&fold(name), pole, vocabulary)).cloned().collect()
            };
            let (male, female) =
                (drawable(&origin.male, Pole::Negative), drawable(&origin.female, Pole::Positive));
            let zipped = male.into_iter().zip(female).map(|(male, female)| NamePair { male, female });
            pairs.push(zipped.collect());
        }
        Ok(Self { all: origins, pairs, of })
    }

    /// All origins, in the order of the file.
    pub(super) fn all(&self) -> &[Origin] {
        &self.all
    }

    /// The number of the origin that a folded name is usual in.
    pub(super) fn of(&self, folded: &str) -> Option<usize> {
        self.of.get(folded).copied()
    }

    pub(super) fn name(&self, origin: usize) -> &str {
        &self.all[origin].name
    }

    /// `count` different pairs of an origin whose names are not among the words of a passage, in an order that depends on the key;
    /// none if there are fewer.
    pub(super) fn draw(
        &self,
        origin: usize,
        key: &DrawKey<'_>,
        words: &HashSet<&str>,
        count: usize,
    ) -> Option<Vec<NamePair>> {
        let mut pairs: Vec<&NamePair> = (self.pairs[origin].iter())
            .filter(|pair| [&pair.male, &pair.female].iter().all(|name| !words.contains(fold(name).as_str())))
            .collect();
        pairs.sort_by_cached_key(|pair| key.rank(pair));
        (pairs.len() >= count).then(|| pairs.into_iter().take(count).cloned().collect())
    }
}

/// Whether a folded name is a first name of this pole to the lexicon, and neither an English word, a family name nor a place.
fn is_nothing_else(folded: &str, pole: Pole, vocabulary: &Vocabulary) -> bool {
    const OTHERS: [Context; 6] = [
        Context::FamilyName,
        Context::FamilyFirst,
        Context::FamilyThenGiven,
        Context::NotPerson,
        Context::AlsoGivenName,
        Context::Particle,
    ];
    vocabulary.first_name(folded) == Some(pole)
        && !vocabulary.is_word(folded)
        && !OTHERS.iter().any(|other| vocabulary.is(*other, folded))
        && vocabulary.pole(Kind::Noun, folded).is_none()
}

/// What a draw of names depends on: the seed and the passage.
#[derive(Debug, Clone, Copy)]
pub struct DrawKey<'a> {
    /// Given by the user.
    pub seed: u64,
    /// The document's id.
    pub passage: &'a str,
}

impl DrawKey<'_> {
    fn rank(&self, pair: &NamePair) -> [u8; 32] {
        let hash = ContentHasher::new("twin names/1")
            .field(self.seed.to_le_bytes())
            .field(self.passage)
            .field(&pair.male)
            .field(&pair.female)
            .finish();
        *hash.as_bytes()
    }
}
