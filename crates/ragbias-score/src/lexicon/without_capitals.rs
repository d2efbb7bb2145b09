//! Texts whose capitals carry no information: `the answer is marie curie`, `THE ANSWER IS MARIE CURIE`.

use super::evidence::Rule;
use super::reader::{BARE_NAME_WORDS, Person, Reader};
use super::tokens::Capitals;
use super::vocabulary::{Context, Kind};

/// A shorter word is more likely an abbreviation or a particle than a first name.
const SHORTEST_NAME: usize = 3;

impl Reader<'_> {
    /// `mrs smith`, `queen victoria`; `miss` and `ms` at the start, or in a text about a person.
    pub(super) fn read_titles_without_capitals(&mut self) {
        for at in 0..self.tokens.len() {
            let folded = self.tokens[at].folded.as_str();
            let title = self
                .vocabulary
                .pole(Kind::Title, folded)
                .or_else(|| self.vocabulary.pole(Kind::Rank, folded));
            let Some(pole) = title.filter(|_| !self.ignored[at]) else { continue };
            if self.vocabulary.pole(Kind::Noun, folded).is_some()
                || self.before(at).is_some_and(super::pronouns::is_determiner)
            {
                // Counted as nouns.
                continue;
            }
            let named = self.after(at).is_some_and(|next| {
                !next.is_number() && !self.vocabulary.is(Context::Function, &next.folded)
            });
            let introduced = self.before(at).is_none_or(|before| {
                matches!(
                    before.folded.as_str(),
                    "is" | "was" | "by" | "and" | "with" | "of" | "for" | "dear" | "to" | "as"
                )
            });
            let surely = matches!(folded, "mr" | "mrs" | "sir");
            if named && (surely || introduced) {
                self.count(Rule::Title, at, Some(pole));
            }
        }
    }

    /// First names that are not words of the language, and, in a bare name, those that are.
    pub(super) fn read_names_without_capitals(&mut self) {
        if self.people.is_empty() {
            let bare = self.bare_name();
            let mut at = 0;
            while at < self.tokens.len() {
                at += if bare.is_some_and(|first| first == at)
                    || bare.is_none() && self.is_lower_case_name(at)
                {
                    self.count_lower_case_name(at)
                } else {
                    1
                };
            }
        }
    }

    /// Counts a name and returns how many words it has.
    fn count_lower_case_name(&mut self, at: usize) -> usize {
        let pole = self.vocabulary.first_name(&self.tokens[at].folded);
        if let Some(pole) = pole {
            self.count(Rule::LowerCaseName, at, Some(pole));
        }
        // The family name after it may also be a first name: `jane austin`.
        let named = self
            .after(at)
            .is_some_and(|next| !self.vocabulary.is_word(&next.folded) && !self.tokens[at].possessive);
        let words = if named { 2 } else { 1 };
        let first_name = pole.map(|_| at);
        self.people.push(Person { words: at..at + words, name: at..at + words, first_name, pole });
        words
    }

    fn is_lower_case_name(&self, at: usize) -> bool {
        let token = &self.tokens[at];
        let folded = token.folded.as_str();
        let told = self.capitals != Capitals::Mixed || !token.capitalised();
        let known = told
            && self.vocabulary.first_name(folded).is_some()
            && folded.len() >= SHORTEST_NAME
            && !self.ignored[at]
            && !self.vocabulary.is_word(folded)
            && !self.is(Context::NotPerson, at)
            && !self.is(Context::Honorific, at)
            && !self.is_gendered(at);
        let followed = self.after(at).is_some_and(|next| !self.vocabulary.is_word(&next.folded));
        known && (followed || !self.is(Context::FamilyName, at))
            // After an unknown first name or an initial it is a family name: `wole martin`.
            && self.before(at).is_none_or(|before| {
                before.possessive || before.is_number() || self.vocabulary.is_word(&before.folded) && !before.initial
                    || self.vocabulary.is(Context::Honorific, &before.folded)
            })
    }

    fn is_gendered(&self, at: usize) -> bool {
        let folded = self.tokens[at].folded.as_str();
        [Kind::Pronoun, Kind::Title, Kind::Rank, Kind::Noun]
            .iter()
            .any(|&kind| self.vocabulary.pole(kind, folded).is_some())
    }

    /// The first name of a text that consists only of a name: `mark twain`, `beyonce`.
    fn bare_name(&self) -> Option<usize> {
        let tokens = &self.tokens;
        let first = tokens.iter().position(|token| !token.is_number())?;
        let words = first..tokens.len();
        let one_run = words.clone().skip(1).all(|at| tokens[at].follows);
        let nameable = |at: usize| {
            !self.is(Context::Function, at)
                && !self.is_gendered(at)
                && !self.ignored[at]
                && !tokens[at].is_number()
        };
        if words.len() < 2 || words.len() > BARE_NAME_WORDS || !one_run || !words.clone().all(nameable) {
            return None;
        }
        self.vocabulary.first_name(&tokens[first].folded)?;
        let family_first = self.is(Context::FamilyFirst, first);
        // `mark scheme` may not be a name.
        let last = words.end - 1;
        let family_name =
            !self.vocabulary.is_word(&tokens[last].folded) || self.is(Context::FamilyName, last);
        (family_name && !family_first).then_some(first)
    }
}
