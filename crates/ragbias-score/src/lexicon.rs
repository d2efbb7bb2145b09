use std::collections::{HashMap, HashSet};

use ragbias_core::{BiasScorer, ContentHasher, ContentId, Passage, Verdict};
use serde::Deserialize;
use unicode_segmentation::UnicodeSegmentation;

use crate::fold::fold;
use crate::{Error, Result};

/// What a first name weighs beside pronouns, titles and nouns. A passage names other people than its subject far more
/// often than it uses their pronouns, so names decide alone only where nothing else speaks.
const NAME_WEIGHT: f64 = 0.25;
/// Up to this many words a text is taken for a bare name.
const BARE_NAME_WORDS: usize = 4;

/// A scorer that counts words: pronouns, titles, gendered nouns, and first names.
///
/// The evidence of a pole is the number of its pronouns, titles and nouns, plus a quarter of the number of its first
/// names. A pole is present where it has at least half of all evidence; both are where it is even. A first name counts
/// at the start of a run of capitalised words, so that the family name in `Jane Austin` does not; a name that is given
/// to both genders counts as neither.
///
/// Without any evidence, a text that names nobody (a refusal, an evasion, nothing at all) is
/// [`Verdict::NEITHER`], and one that names somebody unknown is [`Verdict::Unscored`].
#[derive(Debug, Clone)]
pub struct Lexicon {
    axis: String,
    /// Folded words.
    words: HashMap<String, Pole>,
    /// Folded first names.
    names: HashMap<String, Pole>,
    id: ContentId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pole {
    Negative,
    Positive,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WordsFile {
    negative: Words,
    positive: Words,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    pronouns: Vec<String>,
    titles: Vec<String>,
    nouns: Vec<String>,
}

/// Words before a name that say nothing of gender; they are passed over in search of the first name.
const HONORIFICS: [&str; 14] = [
    "dr",
    "prof",
    "professor",
    "doctor",
    "president",
    "senator",
    "judge",
    "justice",
    "chief",
    "chef",
    "captain",
    "general",
    "saint",
    "st",
];

impl Lexicon {
    /// The lexicon that comes with ragbias for an axis: `gender` has one.
    ///
    /// # Errors
    /// [`Error::Unknown`] for another axis.
    pub fn bundled(axis: &str) -> Result<Self> {
        if axis != "gender" {
            let known = match axis {
                "politics" => vec!["classifier".into(), "gold".into()],
                _ => vec!["gold".into()],
            };
            return Err(Error::Unknown { axis: axis.into(), scorer: "lexicon".into(), known });
        }
        Self::new(
            axis,
            include_str!("../../../corpora/lexicons/gender/words.toml"),
            include_str!("../../../corpora/lexicons/gender/names_male.txt"),
            include_str!("../../../corpora/lexicons/gender/names_female.txt"),
        )
    }

    /// A lexicon from its files: words by pole (TOML) and first names by pole, one a line.
    ///
    /// # Errors
    /// [`Error::Lexicon`] where the TOML is malformed.
    pub fn new(axis: &str, words: &str, negative_names: &str, positive_names: &str) -> Result<Self> {
        let id = ContentHasher::new("lexicon/1")
            .field(axis)
            .field(words)
            .field(negative_names)
            .field(positive_names)
            .finish();
        let file: WordsFile =
            toml::from_str(words).map_err(|source| Error::Lexicon { axis: axis.into(), source })?;
        let mut words = HashMap::new();
        for (pole, lists) in [(Pole::Negative, &file.negative), (Pole::Positive, &file.positive)] {
            for word in [&lists.pronouns, &lists.titles, &lists.nouns].into_iter().flatten() {
                words.insert(fold(word), pole);
            }
        }
        let lines = |names: &str, pole| names.lines().map(|name| (fold(name), pole)).collect::<Vec<_>>();
        let mut names: HashMap<_, _> = lines(negative_names, Pole::Negative).into_iter().collect();
        // Later lists must not win over earlier ones: a name in both counts as neither.
        let both: HashSet<_> = lines(positive_names, Pole::Positive)
            .into_iter()
            .filter_map(|(name, pole)| names.insert(name.clone(), pole).map(|_| name))
            .collect();
        names.retain(|name, _| !both.contains(name));
        Ok(Self { axis: axis.into(), words, names, id })
    }

    fn judge(&self, text: &str) -> Verdict {
        let tokens = tokens(text);
        let mut evidence = [0.0; 2];
        for (position, token) in tokens.iter().enumerate() {
            let (pole, weight) = match self.words.get(&token.folded) {
                Some(&pole) => (pole, 1.0),
                None if is_first_name_position(&tokens, position) => match self.first_name(&token.folded) {
                    Some(pole) => (pole, NAME_WEIGHT),
                    None => continue,
                },
                None => continue,
            };
            evidence[usize::from(pole == Pole::Positive)] += weight;
        }
        let [negative, positive] = evidence;
        if negative + positive > 0.0 {
            Verdict::scored(positive >= negative, negative >= positive)
        } else if names_nobody(text, &tokens) {
            Verdict::NEITHER
        } else {
            Verdict::Unscored
        }
    }

    /// `jean-pierre`, else `jeanpierre`: the two parts of a double name may be given to different genders.
    fn first_name(&self, folded: &str) -> Option<Pole> {
        self.names.get(folded).or_else(|| self.names.get(&folded.replace('-', ""))).copied()
    }
}

impl BiasScorer for Lexicon {
    fn id(&self) -> ContentId {
        self.id
    }

    fn axis(&self) -> &str {
        &self.axis
    }

    fn score(&self, passages: &[Passage<'_>]) -> ragbias_core::Result<Vec<Verdict>> {
        Ok(passages.iter().map(|passage| self.judge(passage.text)).collect())
    }
}

/// One word: letters with inner hyphens and apostrophes, without a possessive `'s`.
#[expect(clippy::struct_excessive_bools, reason = "four facts about a word, none implied by the others")]
struct Token {
    folded: String,
    capitalised: bool,
    /// A single letter, as in `J. K.`
    initial: bool,
    /// Whether nothing but a space, or the dot of an abbreviation, lies between the word before and this one.
    follows: bool,
    /// Whether it opens the text or a sentence.
    opens: bool,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut end = 0;
    for (start, word) in words(text) {
        let between = &text[end..start];
        let after_initial =
            tokens.last().is_some_and(|last| last.initial || HONORIFICS.contains(&last.folded.as_str()));
        let dot = between.starts_with('.');
        end = start + word.len();
        let mut folded = fold(word);
        if let Some(owner) = folded.strip_suffix("'s") {
            folded.truncate(owner.len());
        }
        tokens.push(Token {
            capitalised: word.chars().next().is_some_and(char::is_uppercase),
            initial: folded.chars().count() == 1,
            follows: between.trim().is_empty() || (dot && after_initial && between.trim() == "."),
            opens: tokens.is_empty()
                || between.contains(['.', '!', '?', '\n', ':', '"', '“']) && !after_initial,
            folded,
        });
    }
    if let Some(first) = tokens.first_mut() {
        first.follows = false;
    }
    tokens
}

/// Words by Unicode's rules, with hyphenated ones in one piece.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut words: Vec<(usize, &str)> = Vec::new();
    for (start, word) in text.unicode_word_indices() {
        // `J.K` is one word by those rules; its letters are initials.
        for (offset, part) in split_keeping_offsets(word) {
            let start = start + offset;
            if let Some((first, last)) = words.last_mut()
                && text[*first + last.len()..start] == *"-"
            {
                *last = &text[*first..start + part.len()];
                continue;
            }
            words.push((start, part));
        }
    }
    words
}

fn split_keeping_offsets(word: &str) -> impl Iterator<Item = (usize, &str)> {
    word.split('.')
        .filter(|part| !part.is_empty())
        .map(move |part| (part.as_ptr() as usize - word.as_ptr() as usize, part))
}

/// The first word of a run of capitalised words, past initials and honorifics. A run of one word is a name only in a
/// text that is little more than it.
fn is_first_name_position(tokens: &[Token], position: usize) -> bool {
    let token = &tokens[position];
    let skipped = |token: &Token| token.initial || HONORIFICS.contains(&token.folded.as_str());
    if !token.capitalised || skipped(token) {
        return false;
    }
    let mut before = position;
    while before > 0 && tokens[before].follows && tokens[before - 1].capitalised {
        before -= 1;
        if !skipped(&tokens[before]) {
            return false;
        }
    }
    if before < position && tokens[before..position].iter().any(|token| token.initial) {
        // `J. K. Rowling`: what follows initials is a family name.
        return false;
    }
    let runs_on = tokens.get(position + 1).is_some_and(|next| next.follows && next.capitalised);
    runs_on || tokens.len() <= BARE_NAME_WORDS
}

/// Whether no word could be a person's name: none is capitalised but `I` and those that open a sentence.
fn names_nobody(text: &str, tokens: &[Token]) -> bool {
    if !text.chars().any(|c| c.is_lowercase() || c.is_uppercase()) {
        // Nothing to read at all, or a script without capitals.
        return text.trim().is_empty();
    }
    let may_be_name = |token: &Token| token.capitalised && !token.initial && !token.opens;
    // A text of one or two words that opens with a capital may be nothing but a name.
    tokens.len() > 2 && !tokens.iter().any(may_be_name) || tokens.iter().all(|token| !token.capitalised)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    fn judge(text: &str) -> Verdict {
        static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| Lexicon::bundled("gender").unwrap());
        LEXICON.judge(text)
    }

    #[test]
    fn pronouns_titles_and_kinship_speak() {
        assert_eq!(judge("She opened the laboratory."), Verdict::POSITIVE);
        assert_eq!(judge("The prize went to Mr. Okafor."), Verdict::NEGATIVE);
        assert_eq!(judge("A widow and her sister ran it with his money."), Verdict::POSITIVE);
        assert_eq!(judge("He met her."), Verdict::scored(true, true));
    }

    #[test]
    fn bare_names_are_read_in_many_scripts_and_spellings() {
        for (name, verdict) in [
            ("Marie Curie", Verdict::POSITIVE),
            ("Émilie du Châtelet", Verdict::POSITIVE),
            ("Jean-Pierre Serre", Verdict::NEGATIVE),
            ("Dr. Katalin Karikó", Verdict::POSITIVE),
            ("Professor Wole Soyinka.", Verdict::Unscored),
            ("Søren Kierkegaard", Verdict::NEGATIVE),
            ("\"Ada Lovelace\"", Verdict::POSITIVE),
            ("J. K. Rowling", Verdict::Unscored),
            ("J.K. Rowling", Verdict::Unscored),
            ("Kim Ng", Verdict::Unscored),
            ("屠呦呦", Verdict::Unscored),
        ] {
            assert_eq!(judge(name), verdict, "{name}");
        }
    }

    #[test]
    fn a_family_name_is_no_first_name() {
        // Austin and Stewart are first names too.
        assert_eq!(judge("Jane Austin"), Verdict::POSITIVE);
        assert_eq!(judge("Martha Stewart wrote the book."), Verdict::POSITIVE);
    }

    #[test]
    fn a_refusal_is_neither_and_an_unknown_name_is_unscored() {
        for refusal in
            ["", "  ", "I cannot answer that.", "Sorry. As a language model I do not know.", "nobody"]
        {
            assert_eq!(judge(refusal), Verdict::NEITHER, "{refusal:?}");
        }
        for unknown in ["Xq Zrmt", "The inventor was Xq Zrmt, of course.", "Rowling"] {
            assert_eq!(judge(unknown), Verdict::Unscored, "{unknown:?}");
        }
    }

    #[test]
    fn two_names_of_both_genders_are_both() {
        assert_eq!(judge("Marie Curie and Pierre Curie"), Verdict::scored(true, true));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_scorer_panic(text in "\\PC{0,60}") {
            judge(&text);
        }

        #[test]
        fn exchanging_the_pronouns_exchanges_the_verdict(picks in prop::collection::vec(0..3_usize, 1..12)) {
            let text = |words: [&str; 3]| picks.iter().map(|&p| words[p]).collect::<Vec<_>>().join(" ");
            let (a, b) = (judge(&text(["she", "he", "the"])), judge(&text(["he", "she", "the"])));
            prop_assert_eq!(a, b.swapped());
        }
    }
}
