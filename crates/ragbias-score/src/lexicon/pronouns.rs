//! Pronouns, their contractions and paired forms, and gendered nouns.

use super::evidence::Rule;
use super::reader::Reader;
use super::tokens::{Capitals, Case, Token, Zone};
use super::vocabulary::{Context, Kind, Pole};

/// Weight of a noun for somebody's relative: `his mother`, `Anna’s brother`.
const POSSESSED: f64 = 0.5;
/// Weight of a capitalised noun within a sentence, where it is often part of a title or a team's name.
const PROPER_NOUN: f64 = 0.25;
/// First halves of paired forms and the words that complete them: `s/he`, `(wo)man`, `fe/male`.
const HALVES: [(&str, [&str; 3]); 3] =
    [("s", ["he", "hes", "he's"]), ("wo", ["man", "men", "mens"]), ("fe", ["male", "males", "males'"])];
/// Prefixes that do not change a noun's gender: `ex-wife`, `half-brother`.
const PREFIXES: [&str; 11] =
    ["co", "ex", "fellow", "former", "god", "great", "grand", "half", "step", "then", "vice"];
/// Nouns that indicate no gender as the first part of a compound: `man-made`, `mother-tongue`, `queen-size`.
const NOT_IN_COMPOUNDS: [&str; 11] =
    ["man", "men", "boy", "guy", "lady", "mother", "son", "sister", "brother", "daughter", "maiden"];

impl Reader<'_> {
    /// Pronouns and paired forms.
    pub(super) fn read_pronouns(&mut self) {
        let mut position = 0;
        while position < self.tokens.len() {
            if self.is_paired_form(position) {
                self.count(Rule::PairedForm, position, None);
                position += 2;
                continue;
            }
            if !self.ignored[position]
                && let Some(pole) = self.vocabulary.pole(Kind::Pronoun, &self.tokens[position].folded)
            {
                self.count(Rule::Pronoun, position, Some(pole));
            }
            position += 1;
        }
    }

    pub(super) fn is_paired_form(&self, position: usize) -> bool {
        let (first, Some(second)) = (&self.tokens[position], self.tokens.get(position + 1)) else {
            return false;
        };
        let joined = match second.gap {
            "/" => true,
            ")" => first.gap.ends_with('('),
            _ => false,
        };
        joined
            && HALVES.iter().any(|(half, wholes)| first.is(half) && wholes.contains(&second.folded.as_str()))
    }

    /// Nouns, and compounds with them.
    pub(super) fn read_nouns(&mut self) {
        for position in 0..self.tokens.len() {
            if self.ignored[position] || position > 0 && self.is_paired_form(position - 1) {
                continue;
            }
            let folded = self.tokens[position].folded.as_str();
            if self.is_title_of_name(position) {
                continue;
            }
            if let Some(pole) = self.vocabulary.pole(Kind::Noun, folded) {
                let share = self.noun_share(position);
                if share > 0.0 {
                    self.count_by(Rule::Noun, position, Some(pole), share);
                }
            } else if let Some(pole) = self.rank_as_noun(position) {
                self.count(Rule::Title, position, Some(pole));
            } else if folded.contains('-') {
                for pole in self.compound(folded) {
                    self.count(Rule::Compound, position, Some(pole));
                }
            }
        }
    }

    /// `Sir Isaac`, `Lady Ada`: nouns elsewhere, here read with the name.
    fn is_title_of_name(&self, position: usize) -> bool {
        let token = &self.tokens[position];
        self.capitals == Capitals::Mixed
            && token.capitalised()
            && self.vocabulary.pole(Kind::Title, &token.folded).is_some()
            && self.after(position).is_some_and(Token::capitalised)
    }

    /// 1 for an ordinary noun, less for a part of a proper name or somebody's relative, 0 for a family name.
    pub(super) fn noun_share(&self, position: usize) -> f64 {
        let token = &self.tokens[position];
        if self.is(Context::AlsoVerb, position) && !self.before(position).is_some_and(is_determiner) {
            return 0.0;
        }
        if self.capitals != Capitals::Mixed || !token.capitalised() {
            let possessed = self.before(position).is_some_and(|before| {
                before.possessive && self.vocabulary.pole(Kind::Pronoun, &before.folded).is_none()
                    || matches!(before.folded.as_str(), "his" | "her" | "their" | "my" | "your" | "our")
            });
            return if possessed { POSSESSED } else { 1.0 };
        }
        let capitalised = |neighbour: Option<&Token<'_>>| neighbour.is_some_and(Token::capitalised);
        let inside = capitalised(self.before(position)) && !self.starts_run(position);
        if inside && self.is(Context::AlsoName, position) {
            return 0.0;
        }
        // `Dombey and Son`, `Smith & Sons`.
        let firm = position > 0 && (token.gap.contains('&') || self.tokens[position - 1].is("and"));
        if firm && self.is(Context::AlsoName, position) {
            return 0.0;
        }
        if inside || !token.opens && capitalised(self.after(position)) && !self.starts_run(position) {
            PROPER_NOUN
        } else {
            1.0
        }
    }

    /// Whether a capitalised word follows words that do not begin a name: `The Lady`, `When Mother came`.
    fn starts_run(&self, position: usize) -> bool {
        self.before(position).is_none_or(|before| {
            let word = self.vocabulary.is(Context::Function, &before.folded)
                || self.vocabulary.is_word(&before.folded)
                    && self.vocabulary.first_name(&before.folded).is_none();
            !before.capitalised() || before.opens && word
        })
    }

    /// `the king`, `a duchess`, `the Queen opened`: a rank without a name.
    pub(super) fn rank_as_noun(&self, position: usize) -> Option<Pole> {
        let token = &self.tokens[position];
        let pole = self.vocabulary.pole(Kind::Rank, &token.folded)?;
        if self.capitals != Capitals::Mixed {
            // Read as titles, unless another word makes it a noun.
            return self.before(position).is_some_and(is_determiner).then_some(pole);
        }
        if token.case == Case::Lower {
            return Some(pole);
        }
        let before_name = self.after(position).is_some_and(Token::capitalised);
        let of = self.after(position).is_some_and(|next| next.is("of"))
            && self.tokens[position + 2..]
                .iter()
                .find(|token| !token.is("the"))
                .is_some_and(Token::capitalised);
        let determined = self.before(position).is_some_and(is_determiner);
        (!before_name && (of || determined) && token.zone != Zone::Work).then_some(pole)
    }

    /// The poles that a hyphenated word indicates: `woman-owned`, `father-in-law`, `ex-wife`, `husband-and-wife`.
    pub(super) fn compound(&self, folded: &str) -> Vec<Pole> {
        let parts: Vec<&str> = folded.split('-').collect();
        if parts.contains(&"dominated") {
            // `a male-dominated field`: mostly said about somebody who is not a man.
            return Vec::new();
        }
        let noun = |part: &str| self.vocabulary.pole(Kind::Noun, part);
        let in_law = parts.ends_with(&["in", "law"]);
        let last = parts.len() - 1;
        (parts.iter().enumerate())
            .filter(|(number, part)| {
                let whole = *number == last && parts[..last].iter().all(|part| PREFIXES.contains(part));
                let kin = parts.get(number + 1).is_some_and(|next| matches!(*next, "of" | "to" | "turned"))
                    && parts.get(number + 2).is_some_and(|next| {
                        matches!(*next, "be" | "two" | "three" | "four" | "five" | "six")
                    });
                let pair = parts.iter().filter(|part| noun(part).is_some()).count() > 1;
                whole || in_law || kin || pair || !NOT_IN_COMPOUNDS.contains(part)
            })
            .filter_map(|(_, part)| noun(part))
            .collect()
    }
}

/// A word before a noun that refers to one person.
pub(super) fn is_determiner(token: &Token<'_>) -> bool {
    token.possessive
        || matches!(
            token.folded.as_str(),
            "the"
                | "a"
                | "an"
                | "his"
                | "her"
                | "their"
                | "our"
                | "my"
                | "your"
                | "its"
                | "late"
                | "future"
                | "former"
                | "young"
                | "old"
                | "new"
                | "first"
                | "last"
                | "this"
                | "that"
        )
}
