//! Exchanges names and gendered words of a text.

use std::collections::BTreeMap;

use super::left_out::{LeftOut, Reason};
use super::person::bare_length;
use super::possessives::{Use, use_of};
use super::words::{Exchanged, Words};
use crate::lexicon::reader::Reader;
use crate::lexicon::tokens::{Case, Token, Zone};
use crate::lexicon::vocabulary::{Kind, Pole};

/// What is exchanged in a text.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    /// What stands for a folded first or middle name.
    pub(super) names: BTreeMap<String, String>,
    /// Titles and nouns; none if the gender stays.
    pub(super) words: Option<&'a Exchanged>,
}

impl Exchange<'_> {
    /// The text after the exchange.
    ///
    /// # Errors
    /// A pronoun or an article whose counterpart is unclear.
    pub(super) fn apply(&self, text: &str, reader: &Reader<'_>, words: &Words) -> Result<String, LeftOut> {
        let mut changed = String::with_capacity(text.len() + 64);
        let mut rest = 0;
        for (at, token) in reader.tokens.iter().enumerate() {
            let Some(counterpart) = self.counterpart(reader, words, at)? else { continue };
            let start = token.word.as_ptr() as usize - text.as_ptr() as usize;
            let end = start + bare_length(token.word, &token.folded);
            check_agreement(reader, at, &counterpart)?;
            changed += &text[rest..start];
            changed += &counterpart;
            rest = end;
        }
        Ok(changed + &text[rest..])
    }

    /// What stands for the word at a position, if it is exchanged.
    fn counterpart(&self, reader: &Reader<'_>, words: &Words, at: usize) -> Result<Option<String>, LeftOut> {
        let token = &reader.tokens[at];
        if token.capitalised()
            && let Some(name) = self.names.get(&token.folded)
        {
            return Ok(Some(if token.case == Case::Upper { name.to_uppercase() } else { name.clone() }));
        }
        let Some(exchanged) = self.words.filter(|_| !is_left(reader, at)) else { return Ok(None) };
        let pronoun = pronoun(reader, words, at)?;
        Ok(pronoun.or_else(|| exchanged.get(&token.folded)).map(|word| in_case(word, token.case)))
    }
}

/// Whether a word is exchanged in no passage: within a phrase that is not about a person, or the title of a work.
pub(super) fn is_left(reader: &Reader<'_>, at: usize) -> bool {
    reader.ignored[at] || reader.tokens[at].zone == Zone::Work
}

/// The counterpart of a pronoun.
fn pronoun(reader: &Reader<'_>, words: &Words, at: usize) -> Result<Option<&'static str>, LeftOut> {
    let token = &reader.tokens[at];
    let of_use = |determiner: Option<&'static str>, alone: &'static str| match use_of(reader, words, at) {
        Use::Alone => Some(alone),
        Use::Determiner => determiner,
        Use::Unclear => None,
    };
    let counterpart = match token.folded.as_str() {
        "he" => Some("she"),
        "she" => Some("he"),
        "hes" => Some("shes"),
        "shes" => Some("hes"),
        "himself" => Some("herself"),
        "herself" => Some("himself"),
        "his" => of_use(Some("her"), "hers"),
        "her" => of_use(Some("his"), "him"),
        // Their counterparts are `her` and `his`, which must be read as they were meant.
        "him" => of_use(None, "her"),
        "hers" => of_use(None, "his"),
        _ => return Ok(None),
    };
    counterpart.map(Some).ok_or_else(|| {
        let around = at.saturating_sub(1)..reader.tokens.len().min(at + 2);
        let around: Vec<&str> = reader.tokens[around].iter().map(|token| token.word).collect();
        LeftOut::new(Reason::UnclearPronoun, around.join(" "))
    })
}

fn in_case(word: &str, case: Case) -> String {
    match case {
        Case::Lower => word.to_owned(),
        Case::Upper => word.to_uppercase(),
        Case::Capital => {
            let mut letters = word.chars();
            letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
        }
    }
}

/// Refuses a counterpart that its article or its possessive does not fit: `an actor`, `James’ book`.
fn check_agreement(reader: &Reader<'_>, at: usize, counterpart: &str) -> Result<(), LeftOut> {
    let token = &reader.tokens[at];
    let vowel = |word: &str| word.starts_with(|c: char| "aeiouAEIOUÁÀÂÅÄÉÈÊÍÓÖÔÚÜáàâåäéèêíóöôúü".contains(c));
    let article = reader.before(at).filter(|before| before.is("a") || before.is("an"));
    let possessive = reader.tokens.get(at + 1).is_some_and(|next| next.gap.starts_with(['\'', '’']))
        && ends_in_s(&token.folded) != ends_in_s(counterpart);
    let article_changes = article.is_some() && vowel(token.word) != vowel(counterpart);
    if !article_changes && !possessive {
        return Ok(());
    }
    let article = article.map_or("", |article| article.word);
    Err(LeftOut::new(Reason::Agreement, format!("{article} {}", token.word).trim()))
}

fn ends_in_s(word: &str) -> bool {
    word.ends_with(['s', 'S'])
}

/// A gendered word of a text, other than the names of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gendered {
    Pronoun(Pole),
    /// Title or noun.
    Word(Pole),
    /// `s/he`.
    Paired,
    /// `woman-owned`.
    Compound(Pole),
}

/// The gendered word at a position.
pub(super) fn gendered(reader: &Reader<'_>, at: usize) -> Option<Gendered> {
    if is_left(reader, at) {
        return None;
    }
    let token: &Token<'_> = &reader.tokens[at];
    let folded = token.folded.as_str();
    if reader.is_paired_form(at) || at > 0 && reader.is_paired_form(at - 1) {
        return Some(Gendered::Paired);
    }
    if let Some(pole) = reader.vocabulary.pole(Kind::Pronoun, folded) {
        return Some(Gendered::Pronoun(pole));
    }
    if let Some(pole) = reader.vocabulary.pole(Kind::Noun, folded) {
        return (reader.noun_share(at) > 0.0).then_some(Gendered::Word(pole));
    }
    if let Some(pole) = reader.rank_as_noun(at) {
        return Some(Gendered::Word(pole));
    }
    let poles = if folded.contains('-') { reader.compound(folded) } else { Vec::new() };
    poles.first().map(|pole| Gendered::Compound(*pole))
}
