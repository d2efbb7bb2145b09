//! Titles before names: which words are titles, and where.

use std::ops::Range;

use super::pronouns::is_determiner;
use super::reader::Reader;
use super::tokens::{Case, Token};
use super::vocabulary::{Kind, Pole};

impl Reader<'_> {
    /// Whether a dot follows, as after an abbreviation.
    pub(super) fn dotted(&self, at: usize) -> bool {
        self.tokens.get(at + 1).is_some_and(|next| next.gap.starts_with('.'))
    }

    /// Whether a rank without a name is read as a noun: `the Queen`, `Queen of Denmark`.
    pub(super) fn rank_is_read(&self, at: usize) -> bool {
        let of = self.after(at).is_some_and(|next| next.is("of"));
        let determined = self.before(at).is_some_and(is_determiner);
        self.vocabulary.pole(Kind::Rank, &self.tokens[at].folded).is_some()
            && !self.next_is_capitalised(at)
            && (of || determined)
    }

    /// The pole of a word that is a title here: at the start of a name, with the name after it.
    pub(super) fn title(&self, at: usize, run: &Range<usize>) -> Option<Pole> {
        let token = &self.tokens[at];
        let folded = token.folded.as_str();
        let rank = self.vocabulary.pole(Kind::Rank, folded);
        let pole = rank.or_else(|| self.vocabulary.pole(Kind::Title, folded))?;
        if token.possessive {
            return None;
        }
        // `MS Windows`, `SIR models`: an abbreviation in a text that is not all capitals.
        let abbreviation = token.case == Case::Upper
            && folded.len() <= 3
            && !self.dotted(at)
            && self.tokens.iter().any(|token| token.case == Case::Lower);
        if abbreviation {
            return None;
        }
        // `Count the votes`, `Miss the bus`, `Queen released`.
        let named = at + 1 < run.end || self.shares_name(at);
        (named || rank.is_some() && self.rank_is_read(at)).then_some(pole)
    }

    /// `Mr. and Mrs. Smith`.
    fn shares_name(&self, at: usize) -> bool {
        let joint = |token: &Token<'_>| token.is("and") || token.is("or");
        let other = match self.tokens.get(at + 1) {
            Some(next) if next.gap.trim_matches(['.', ' ']) == "&" => at + 1,
            Some(next) if next.follows && joint(next) => at + 2,
            _ => return false,
        };
        self.tokens.get(other).is_some_and(|token| {
            let is = |kind| self.vocabulary.pole(kind, &token.folded).is_some();
            (is(Kind::Title) || is(Kind::Rank)) && self.next_is_capitalised(other)
        })
    }
}
