//! Words with their context.

use unicode_segmentation::UnicodeSegmentation;

use crate::fold::fold;

/// The maximum number of words in a quotation that may be the title of a work.
const LONGEST_WORK: usize = 10;
/// Endings removed from a word: the possessive and contracted verbs.
const CONTRACTED: [&str; 5] = ["'s", "'ll", "'d", "'ve", "'re"];
/// Lower-case words within the title of a work.
const SMALL_WORDS: [&str; 21] = [
    "a", "an", "and", "as", "at", "by", "de", "for", "from", "in", "into", "la", "le", "of", "on", "or",
    "the", "to", "vs", "with", "within",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Lower,
    /// The first letter is a capital.
    Capital,
    /// Two letters or more, all of them capitals.
    Upper,
}

/// The voice of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    /// The text's own voice.
    Voice,
    /// Quoted speech.
    Speech,
    /// A quotation that looks like the title of a work: `“The Handmaid’s Tale”`.
    Work,
}

/// One word: letters with inner hyphens and apostrophes, without a possessive `'s` and contracted verbs.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts about a word, none implied by the others")]
pub(super) struct Token<'t> {
    /// Lower case, without diacritics.
    pub(super) folded: String,
    pub(super) case: Case,
    /// A single letter, as in `J. K.`
    pub(super) initial: bool,
    pub(super) possessive: bool,
    /// Whether only a space, or the dot of an abbreviation, separates the previous word from this one.
    pub(super) follows: bool,
    /// Whether it opens the text, a sentence or a line.
    pub(super) opens: bool,
    pub(super) zone: Zone,
    /// The text between the previous word and this one.
    pub(super) gap: &'t str,
    /// The word as written.
    pub(super) word: &'t str,
}

impl Token<'_> {
    pub(super) fn is(&self, folded: &str) -> bool {
        self.folded == folded
    }

    pub(super) fn capitalised(&self) -> bool {
        self.case != Case::Lower
    }

    /// `1975`, `250ms`, `L2`.
    pub(super) fn is_number(&self) -> bool {
        self.folded.contains(|c: char| c.is_ascii_digit())
    }
}

/// How a text capitalises names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capitals {
    /// As in English.
    Mixed,
    /// No word has a capital.
    None,
    /// All words are capitals.
    All,
}

impl Capitals {
    pub(super) fn of(tokens: &[Token<'_>]) -> Self {
        let letters = || tokens.iter().filter(|token| !token.is_number());
        if letters().all(|token| !token.capitalised()) {
            Self::None
        } else if letters().all(|token| token.case == Case::Upper || token.initial && token.capitalised()) {
            Self::All
        } else {
            Self::Mixed
        }
    }
}

/// The words of a text. `abbreviated` tells whether a dot may follow a folded word within a name.
pub(super) fn tokens<'t>(text: &'t str, abbreviated: impl Fn(&str) -> bool) -> Vec<Token<'t>> {
    let mut tokens: Vec<Token<'t>> = Vec::new();
    let mut end = 0;
    for (start, word) in words(text) {
        let gap = &text[end..start];
        let after_abbreviation = tokens.last().is_some_and(|last| last.initial || abbreviated(&last.folded));
        end = start + word.len();
        let mut folded = fold(word);
        let possessive = folded.len() > 2 && folded.ends_with("'s");
        // `she'd've` has two contractions.
        while let Some(bare) = CONTRACTED.iter().find_map(|end| folded.strip_suffix(end)).map(str::len)
            && bare > 0
        {
            folded.truncate(bare);
        }
        let mut letters = word.chars().filter(|c| c.is_alphabetic());
        let case = match letters.next() {
            Some(first) if first.is_uppercase() => {
                let mut others = folded_case(word).skip(1).peekable();
                let upper = others.peek().is_some() && others.all(|c| !c.is_lowercase());
                if upper { Case::Upper } else { Case::Capital }
            }
            _ => Case::Lower,
        };
        let within_line = !gap.contains('\n');
        tokens.push(Token {
            case,
            initial: folded.chars().count() == 1 && folded.chars().all(char::is_alphabetic),
            possessive,
            follows: !tokens.is_empty()
                && within_line
                && (gap.trim().is_empty() || after_abbreviation && gap.trim() == "."),
            opens: tokens.is_empty()
                || gap.contains(['.', '!', '?', '\n', ':', '"', '“', '«', '„'])
                    && !(after_abbreviation && within_line),
            zone: Zone::Voice,
            folded,
            gap,
            word,
        });
    }
    mark_zones(&mut tokens, &text[end..]);
    tokens
}

/// The letters of a word that determine its case: a possessive `'s` is lower-case after capitals too.
fn folded_case(word: &str) -> impl Iterator<Item = char> + '_ {
    word.strip_suffix("'s").unwrap_or(word).chars().filter(|c| c.is_alphabetic())
}

/// Words by Unicode's rules, with hyphenated words in one piece and without dots.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut words: Vec<(usize, &str)> = Vec::new();
    for (start, word) in text.unicode_word_indices() {
        // `J.K` is one word by those rules; its letters are initials.
        for (offset, part) in parts(word) {
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

fn parts(word: &str) -> impl Iterator<Item = (usize, &str)> {
    word.split(['.', ':', '_'])
        .filter(|part| !part.is_empty())
        .map(move |part| (part.as_ptr() as usize - word.as_ptr() as usize, part))
}

/// Marks the text between quotation marks, unless there is none outside of them.
fn mark_zones(tokens: &mut [Token<'_>], tail: &str) {
    let mut quotations: Vec<(usize, usize)> = Vec::new();
    let mut opened: Option<(usize, char)> = None;
    for at in 0..=tokens.len() {
        let gap = tokens.get(at).map_or(tail, |token| token.gap);
        for c in gap.chars() {
            match (c, opened) {
                // A quotation that is not closed within its line is ignored.
                ('\n', _) => opened = None,
                ('“' | '«' | '„', None) => opened = Some((at, if c == '«' { '»' } else { '”' })),
                ('"', None) => opened = Some((at, '"')),
                // `Mary said: 'No.'`, but `the girls' school`.
                ('\'', None) if gap == "'" && at == 0 || gap.ends_with(" '") => opened = Some((at, '\'')),
                // German quotations close with the mark that opens English ones.
                (c, Some((start, close))) if c == close || close == '”' && c == '“' && at > start => {
                    quotations.push((start, at));
                    opened = None;
                }
                _ => {}
            }
        }
    }
    let quoted: usize = quotations.iter().map(|(start, end)| end - start).sum();
    if quoted == tokens.len() {
        return;
    }
    for (start, end) in quotations {
        let words = &tokens[start..end];
        let is_work = (2..=LONGEST_WORK).contains(&words.len())
            && words.iter().all(|word| {
                word.capitalised() || word.is_number() || SMALL_WORDS.contains(&word.folded.as_str())
            });
        for token in &mut tokens[start..end] {
            token.zone = if is_work { Zone::Work } else { Zone::Speech };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> Vec<String> {
        tokens(text, |word| word == "dr").into_iter().map(|token| token.folded).collect()
    }

    #[test]
    fn contracted_verbs_and_possessives_are_cut_off() {
        assert_eq!(
            folded("she'll he'd Marie's they're d'Arc O'Connor"),
            ["she", "he", "marie", "they", "d'arc", "o'connor"]
        );
        assert_eq!(folded("J.K. Rowling's two-man crew"), ["j", "k", "rowling", "two-man", "crew"]);
    }

    #[test]
    fn words_follow_each_other_within_a_line() {
        let follows: Vec<bool> = tokens("Dr. A. Lee, Ann\nMay Day. End", |word| word == "dr")
            .iter()
            .map(|token| token.follows)
            .collect();
        assert_eq!(follows, [false, true, true, false, false, true, false]);
    }

    #[test]
    fn quotations_are_speech_or_titles_of_works() {
        let zones = |text| tokens(text, |_| false).into_iter().map(|token| token.zone).collect::<Vec<_>>();
        assert_eq!(
            zones("A said “b c” d"),
            [Zone::Voice, Zone::Voice, Zone::Speech, Zone::Speech, Zone::Voice]
        );
        assert_eq!(zones("Read \"Gone with the Wind\"")[1..], [Zone::Work; 4]);
        assert_eq!(zones("“Marie Curie”"), [Zone::Voice; 2]);
        assert_eq!(zones("a \"b\nc d"), [Zone::Voice; 4]);
    }

    #[test]
    fn texts_write_names_with_capitals_or_without() {
        for (text, capitals) in [
            ("the answer is 3", Capitals::None),
            ("THE ANSWER IS J. K. ROWLING", Capitals::All),
            ("The answer is 3", Capitals::Mixed),
        ] {
            assert_eq!(Capitals::of(&tokens(text, |_| false)), capitals, "{text}");
        }
    }
}
