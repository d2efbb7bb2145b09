//! The lexicon: from words and names to verdicts. `docs/scorers.md` describes its rules and their accuracy.

mod evidence;
mod html;
mod inverted;
mod lists;
mod markup;
mod nobody;
mod people;
mod pronouns;
mod reader;
mod titles;
mod tokens;
mod twins;
mod vocabulary;
mod without_capitals;

use std::sync::Arc;

use ragbias_core::{BiasScorer, ContentHasher, ContentId, Passage, Verdict};

use self::evidence::Weights;
pub use self::evidence::{Evidence, Explanation, Rule};
use self::reader::Reader;
pub use self::twins::{Counterparts, DrawKey, LeftOut, Naming, OnePerson, Origin, Reason, Twin, TwinTexts};
pub use self::vocabulary::LexiconFiles;
use self::vocabulary::Vocabulary;
use crate::{Error, Result};

/// A scorer that counts words: pronouns, titles, gendered nouns, and first names.
///
/// The evidence of a pole is the number of its pronouns, titles and nouns, plus a quarter of the number of its first
/// names. Quoted text weighs a quarter. A pole is present if it has at least half of all evidence;
/// both are if the evidence is even, and in a list that names both. A first name counts at the start of a run of capitalised
/// words, so that the family name in `Jane Austin` does not; a name given to both genders counts for neither.
/// Markup, code, addresses and file names are skipped.
///
/// Without any evidence, a text that names nobody (a refusal, an evasion, an empty text) is [`Verdict::NEITHER`], and
/// one that names somebody unknown, or is not English, is [`Verdict::Unscored`].
///
/// ```
/// use ragbias_core::Verdict;
/// use ragbias_score::{Lexicon, Rule};
///
/// let lexicon = Lexicon::bundled("gender")?;
/// let explanation = lexicon.explain("By noon she’ll open the shop.");
/// assert_eq!(explanation.verdict, Verdict::POSITIVE);
/// assert_eq!(explanation.evidence[0].rule, Rule::Pronoun);
/// assert_eq!(explanation.evidence[0].words, "she'll");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Lexicon {
    axis: String,
    vocabulary: Arc<Vocabulary>,
    id: ContentId,
}

impl Lexicon {
    /// The lexicon that ragbias bundles for an axis: `gender` has one.
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
        let files = LexiconFiles {
            words: include_str!("../../../corpora/lexicons/gender/words.toml"),
            negative_names: include_str!("../../../corpora/lexicons/gender/names_male.txt"),
            positive_names: include_str!("../../../corpora/lexicons/gender/names_female.txt"),
            family_names: include_str!("../../../corpora/lexicons/gender/family_names.txt"),
            language: include_str!("../../../corpora/lexicons/gender/english_words.txt"),
        };
        Self::new(axis, &files)
    }

    /// A lexicon from its files.
    ///
    /// # Errors
    /// [`Error::Lexicon`] if the TOML is malformed.
    pub fn new(axis: &str, files: &LexiconFiles<'_>) -> Result<Self> {
        // Increase the number with every change to the rules, because stored verdicts are keyed by it.
        let id = ContentHasher::new("lexicon/2")
            .field(axis)
            .field(files.words)
            .field(files.negative_names)
            .field(files.positive_names)
            .field(files.family_names)
            .field(files.language)
            .finish();
        let vocabulary =
            Vocabulary::new(files).map_err(|source| Error::Lexicon { axis: axis.into(), source })?;
        Ok(Self { axis: axis.into(), vocabulary: Arc::new(vocabulary), id })
    }

    /// Reads passages about one person, and writes their twins, with the words of this lexicon and the bundled counterparts.
    ///
    /// # Errors
    /// [`Error::Lexicon`] if the TOML is malformed.
    pub fn counterparts(&self) -> Result<Counterparts> {
        let words = include_str!("../../../corpora/lexicons/gender/counterparts.toml");
        let origins = include_str!("../../../corpora/lexicons/gender/origins.toml");
        Counterparts::new(Arc::clone(&self.vocabulary), words, origins)
            .map_err(|source| Error::Lexicon { axis: self.axis.clone(), source })
    }

    /// The verdict on a text, and the words that it is based on.
    ///
    /// A text of more than 1 MiB is read in parts of that size, whose evidence is added up.
    pub fn explain(&self, text: &str) -> Explanation {
        let mut evidence = Vec::new();
        let verdict = self.read(text, |part| evidence.extend(part));
        Explanation { verdict, evidence }
    }

    /// The verdict on a text, part by part; `each` receives the evidence of each part.
    fn read(&self, text: &str, mut each: impl FnMut(Vec<Evidence>)) -> Verdict {
        let (mut weights, mut verdicts) = (Weights::default(), Vec::new());
        for part in parts(text) {
            let prose = markup::prose(part);
            let Explanation { verdict, evidence } = Reader::new(&self.vocabulary, &prose).explain();
            for item in &evidence {
                weights.add(item);
            }
            verdicts.push(verdict);
            each(evidence);
        }
        if let [verdict] = verdicts[..] {
            return verdict;
        }
        let otherwise =
            if verdicts.contains(&Verdict::Unscored) { Verdict::Unscored } else { Verdict::NEITHER };
        weights.majority().unwrap_or(otherwise)
    }
}

/// The words of a text take some 25 times its size in memory.
const LONGEST_PART: usize = 1 << 20;

/// Splits a text into parts, at white space where possible.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        if text.len() <= LONGEST_PART {
            return Some(text);
        }
        let end = text.floor_char_boundary(LONGEST_PART);
        let space = text[..end].rfind(char::is_whitespace).filter(|&space| space > 0);
        let (part, after) = text.split_at(space.unwrap_or(end));
        rest = Some(after);
        Some(part)
    })
}

impl BiasScorer for Lexicon {
    fn id(&self) -> ContentId {
        self.id
    }

    fn axis(&self) -> &str {
        &self.axis
    }

    fn score(&self, passages: &[Passage<'_>]) -> ragbias_core::Result<Vec<Verdict>> {
        Ok(passages.iter().map(|passage| self.read(passage.text, drop)).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| Lexicon::bundled("gender").unwrap());

    fn judge(text: &str) -> Verdict {
        LEXICON.explain(text).verdict
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
        // Austin and Stewart are also first names.
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

    #[test]
    fn contractions_and_paired_forms_are_pronouns() {
        for apostrophe in ["'", "’", "ʼ", "`", "´", "′", "＇"] {
            for (text, verdict) in [
                ("Tomorrow she'll paint the fence.", Verdict::POSITIVE),
                ("Back then he'd sing.", Verdict::NEGATIVE),
                ("They say she's at home.", Verdict::POSITIVE),
                ("They're at home.", Verdict::NEITHER),
                ("Ask whether s/he's at home.", Verdict::scored(true, true)),
            ] {
                let text = text.replace('\'', apostrophe);
                assert_eq!(judge(&text), verdict, "{text}");
            }
        }
        for pair in
            ["s/he", "(s)he", "he/she", "he or she", "she or he", "him/herself", "his or her", "(wo)man"]
        {
            assert_eq!(
                judge(&format!("No gardener said what {pair} needs.")),
                Verdict::scored(true, true),
                "{pair}"
            );
        }
    }

    #[test]
    fn a_title_is_one_before_a_name() {
        for (text, verdict) in [
            ("The reply took 80 ms.", Verdict::NEITHER),
            ("A page miss is rare.", Verdict::NEITHER),
            ("Ms. Adeyemi replied.", Verdict::POSITIVE),
            ("Miss the train and you walk.", Verdict::NEITHER),
            ("Queen recorded it in Munich.", Verdict::NEITHER),
            ("Queen Margrethe abdicated.", Verdict::POSITIVE),
            ("Duke University is private.", Verdict::NEITHER),
            ("The Duke of Wellington rode away.", Verdict::NEGATIVE),
            ("A three-man tent.", Verdict::NEITHER),
            ("Mr. and Mrs. Adeyemi", Verdict::scored(true, true)),
        ] {
            assert_eq!(judge(text), verdict, "{text}");
        }
    }

    #[test]
    fn the_way_a_name_is_written_changes_nothing() {
        for name in [
            "Lise Meitner",
            "lise meitner",
            "LISE MEITNER",
            "Meitner, Lise",
            "**Lise Meitner**",
            "1. Lise Meitner",
            "<i>Lise Meitner</i>",
            "Answer: Lise Meitner",
            "the answer is lise meitner",
            "“Lise Meitner”",
            "[Lise Meitner](https://example.org/Otto_Hahn)",
            "Lise\u{a0}Meitner",
            "Li\u{ad}se Meitner",
            "Lise_Meitner",
        ] {
            assert_eq!(judge(name), Verdict::POSITIVE, "{name}");
        }
    }

    #[test]
    fn a_list_of_names_of_both_poles_is_both_however_many_of_each() {
        let both = Verdict::scored(true, true);
        assert_eq!(judge("Lise Meitner, Otto Hahn, and Fritz Strassmann"), both);
        assert_eq!(judge("1. Lise Meitner\n2. Otto Hahn\n3. Fritz Strassmann"), both);
        assert_eq!(judge("Meitner, Lise; Hahn, Otto"), both);
        // One of them cannot be read.
        assert_eq!(judge("Lise Meitner and J. K. Rowling"), Verdict::Unscored);
    }

    #[test]
    fn what_is_quoted_weighs_less_than_who_quotes_it() {
        assert_eq!(judge("She said: “He lost his hat, and he left.”"), Verdict::POSITIVE);
        assert_eq!(judge("Patricia Highsmith wrote “The Talented Mr. Ripley”."), Verdict::POSITIVE);
    }

    #[test]
    fn a_text_of_megabytes_is_read_in_parts_that_add_up() {
        let sentence = "She opened the mill. ";
        let mut long = sentence.repeat(2 * LONGEST_PART / sentence.len());
        long.push_str("He left.");
        assert_eq!(parts(&long).count(), 3);
        assert_eq!(parts(&long).collect::<String>(), long);
        let explanation = LEXICON.explain(&long);
        assert_eq!(explanation.verdict, Verdict::POSITIVE);
        assert_eq!(explanation.evidence.len(), long.matches("mill").count() + 1);
        assert_eq!(judge(&"The mill stands. ".repeat(100_000)), Verdict::NEITHER);
        assert_eq!(judge(&"é".repeat(LONGEST_PART)), Verdict::Unscored);
    }

    #[test]
    fn a_text_in_another_language_is_not_said_to_name_nobody() {
        assert_eq!(judge("Elle a ouvert le laboratoire à Berlin."), Verdict::Unscored);
        assert_eq!(judge("Лаборатория открыта."), Verdict::Unscored);
    }

    #[test]
    fn who_is_neither_man_nor_woman_is_not_scored_by_a_name() {
        for text in ["Mx. Mary Fell", "Peter Holm (they/them) chairs.", "Sam Smith is a non-binary singer."] {
            assert_eq!(judge(text), Verdict::Unscored, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_markup_makes_the_scorer_panic(text in "[a-zA-Zé’'“”\"<>/&;#*_`|\\[\\](){}:.,!?@=\\\\ \n-]{0,80}") {
            judge(&text);
        }

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
