//! Texts without evidence: do they name nobody, or somebody who cannot be read?

use super::reader::Reader;
use super::tokens::Capitals;
use super::vocabulary::Context;

impl Reader<'_> {
    /// Whether no word could be a person's name. True only for a text in this language that can be read completely.
    pub(super) fn names_nobody(&self) -> bool {
        if self.tokens.iter().any(|token| token.folded.chars().any(is_letter_without_case)) {
            return false;
        }
        let mut words =
            (0..self.tokens.len()).filter(|&at| !self.tokens[at].is_number() && !self.ignored[at]);
        let function = (0..self.tokens.len()).any(|at| self.is(Context::Function, at));
        if self.tokens.len() <= 2 && !function {
            // One or two words may be just a name, unless they are all known words.
            return words.next().is_none();
        }
        if !self.people.is_empty() || self.may_be_called(0) {
            return false;
        }
        let unknown: Vec<bool> = (self.tokens.iter().enumerate())
            .map(|(at, token)| {
                !self.ignored[at] && !token.is_number() && !token.initial && !self.is_known(at)
                    // Capitals within a sentence are handled with the people.
                    && (self.capitals != Capitals::Mixed || !token.capitalised() || token.opens)
            })
            .collect();
        let count = unknown.iter().filter(|&&unknown| unknown).count();
        match self.capitals {
            Capitals::Mixed => {
                let pair = unknown
                    .windows(2)
                    .zip(&self.tokens[1..])
                    .any(|(pair, second)| pair[0] && pair[1] && second.follows);
                !pair && 3 * count <= self.tokens.len()
            }
            Capitals::None | Capitals::All => count == 0,
        }
    }

    /// Whether most lower-case words are of this language; a few words alone are not enough.
    pub(super) fn is_in_language(&self) -> bool {
        const FEW: usize = 3;
        // The case of a lower-case family name after a first name: `ella ganó`.
        let mut first_names = vec![false; self.tokens.len()];
        for person in &self.people {
            first_names[person.words.start] = true;
        }
        let words: Vec<usize> = (0..self.tokens.len())
            .filter(|&at| {
                let token = &self.tokens[at];
                let told = self.capitals != Capitals::Mixed || !token.capitalised();
                told && !token.is_number() && !token.initial && !first_names[at]
            })
            .collect();
        let unknown = words.iter().filter(|&&at| !self.is_known(at)).count();
        words.len() < FEW || 5 * unknown <= 2 * words.len()
    }

    fn is_known(&self, at: usize) -> bool {
        let token = &self.tokens[at];
        self.vocabulary.is_word(&token.folded)
            || self.is(Context::Function, at)
            || self.is(Context::NotPerson, at)
            || self.is(Context::Institution, at)
            || self.is(Context::Honorific, at)
    }
}

/// Scripts without capitals, or in which this language is not written.
fn is_letter_without_case(c: char) -> bool {
    c.is_alphabetic()
        && !c.is_ascii()
        && !('\u{c0}'..='\u{24f}').contains(&c)
        && !matches!(c, 'ª' | 'º' | 'µ')
}
