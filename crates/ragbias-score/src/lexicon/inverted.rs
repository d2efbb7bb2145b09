//! Names with the family name first: `Curie, Marie`.

use std::ops::Range;

use super::evidence::Rule;
use super::reader::{Person, Reader};
use super::tokens::{Capitals, Token};
use super::vocabulary::Context;

impl Reader<'_> {
    /// `Curie, Marie`, if the text consists only of such names, one per line or separated by semicolons.
    pub(super) fn read_inverted_names(&mut self) {
        for entry in self.entries() {
            self.read_inverted_name(entry);
        }
    }

    /// An entry that is such a name.
    pub(super) fn read_inverted_name(&mut self, entry: Range<usize>) {
        let Some((words, first)) = self.inverted_name(entry) else { return };
        let pole = self.vocabulary.first_name(&self.tokens[first].folded);
        if let Some(pole) = pole {
            self.count(Rule::InvertedName, first, Some(pole));
        }
        self.people.push(Person { name: words.clone(), first_name: pole.map(|_| first), words, pole });
    }

    /// The lines of a text, split further at semicolons and after colons.
    fn entries(&self) -> Vec<Range<usize>> {
        let mut entries = Vec::new();
        let mut start = 0;
        for at in 1..=self.tokens.len() {
            if at == self.tokens.len() || self.tokens[at].gap.contains(['\n', ';', ':']) {
                entries.push(start..at);
                start = at;
            }
        }
        entries
    }

    /// The words of `Curie, Marie` and the position of its first name, if an entry is such a name.
    fn inverted_name(&self, entry: Range<usize>) -> Option<(Range<usize>, usize)> {
        const LONGEST: usize = 4;
        let tokens = &self.tokens;
        let mut words = entry;
        while words.start < words.end && tokens[words.start].is_number() {
            words.start += 1;
        }
        let is_years = |token: &Token<'_>| {
            token.is_number() || matches!(token.folded.as_str(), "jr" | "sr" | "b" | "born")
        };
        while words.len() > 2 && is_years(&tokens[words.end - 1]) {
            words.end -= 1;
        }
        let commas: Vec<usize> =
            (words.start + 1..words.end).filter(|&at| tokens[at].gap.contains(',')).collect();
        let [mut first] = commas[..] else { return None };
        let comma = first;
        while first + 1 < words.end
            && (self.is(Context::Honorific, first) || tokens[first].is("sir") || tokens[first].is("dame"))
        {
            first += 1;
        }
        let (family, given) = (words.start..comma, comma..words.end);
        let part_of_name = |at: usize| {
            let token = &tokens[at];
            (token.capitalised() || self.is(Context::Particle, at) || self.capitals == Capitals::None)
                && !self.is(Context::Function, at)
                && !self.ignored[at]
                && (at == words.start || at == comma || token.follows)
        };
        if family.len() > 3
            || given.len() > LONGEST
            || !words.clone().all(part_of_name)
            || tokens[comma].gap.trim() != ","
        {
            return None;
        }
        if self.is(Context::NotPerson, first) || self.is(Context::Honorific, first) {
            return None;
        }
        let before = self.vocabulary.first_name(&tokens[family.start].folded);
        let after = self.vocabulary.first_name(&tokens[first].folded);
        let is_family_name = if family.len() > 1 {
            // `Marie Curie, Physicist`; `van Gogh, Vincent`.
            before.is_none() || self.is(Context::Particle, family.start)
        } else {
            // `Marie, Pierre` are two names.
            before.is_none() && !self.is(Context::NotPerson, family.start)
                || self.is(Context::FamilyName, family.start)
        };
        let has_given =
            after.is_some() || tokens[first].initial || !self.vocabulary.is_word(&tokens[first].folded);
        (is_family_name && has_given).then_some((words, first))
    }
}
