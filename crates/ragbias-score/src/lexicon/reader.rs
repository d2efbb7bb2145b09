//! Reads one text: its words, those that are not evidence, and the rules in order.

use std::ops::Range;

use ragbias_core::Verdict;

use super::evidence::{Evidence, Explanation, Rule, majority};
use super::tokens::{Capitals, Token, Zone, tokens};
use super::vocabulary::{Context, PhraseWord, Pole, Vocabulary};

/// A text of up to this many words is taken for a bare name.
pub(super) const BARE_NAME_WORDS: usize = 4;
/// Weight of evidence in quotations, relative to the text's own.
const QUOTED: f64 = 0.25;

/// A person who is named.
#[derive(Debug, Clone)]
pub(super) struct Person {
    /// The words of the name, including titles.
    pub(super) words: Range<usize>,
    /// The same without what precedes the name: titles, initials, words that open a sentence.
    pub(super) name: Range<usize>,
    /// The position of its first name, if that is known.
    pub(super) first_name: Option<usize>,
    /// `None` if the name is unknown, or given to both genders.
    pub(super) pole: Option<Pole>,
}

#[derive(Debug)]
pub(super) struct Reader<'t> {
    pub(super) vocabulary: &'t Vocabulary,
    pub(super) tokens: Vec<Token<'t>>,
    /// Ignored words: parts of a phrase that is not about a person.
    pub(super) ignored: Vec<bool>,
    pub(super) capitals: Capitals,
    pub(super) people: Vec<Person>,
    pub(super) evidence: Vec<Evidence>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(vocabulary: &'t Vocabulary, prose: &'t str) -> Self {
        let tokens = tokens(prose, |word| {
            vocabulary.is(Context::Honorific, word)
                || matches!(word, "mr" | "mrs" | "ms" | "mx" | "mme" | "mlle")
        });
        let mut capitals = Capitals::of(&tokens);
        if capitals == Capitals::All && tokens.len() <= BARE_NAME_WORDS {
            // `MARIE CURIE` is treated like `Marie Curie`.
            capitals = Capitals::Mixed;
        }
        let ignored = ignored(vocabulary, &tokens);
        Self { vocabulary, tokens, ignored, capitals, people: Vec::new(), evidence: Vec::new() }
    }

    /// The names of a text that capitalises them.
    pub(super) fn reading_people(mut self) -> Self {
        if self.capitals == Capitals::Mixed {
            self.read_people();
        }
        self
    }

    /// Applies all rules.
    pub(super) fn explain(mut self) -> Explanation {
        self.read_pronouns();
        self.read_nouns();
        if self.capitals == Capitals::Mixed {
            self.read_people();
        } else {
            self.read_titles_without_capitals();
            self.read_inverted_name(0..self.tokens.len());
            self.read_names_without_capitals();
        }
        let other_gender = self.names_other_gender();
        if other_gender {
            self.evidence.retain(|item| !item.rule.is_name());
        } else {
            // `Elle` is a first name, and a French pronoun.
            let doubtful = |item: &Evidence| matches!(item.rule, Rule::FirstName | Rule::LowerCaseName);
            if self.evidence.iter().any(doubtful) && !self.is_in_language() {
                self.evidence.retain(|item| !doubtful(item));
            }
        }
        if self.evidence.is_empty()
            && !other_gender
            && self.capitals == Capitals::Mixed
            && self.people.is_empty()
        {
            // `The answer is marie curie.`
            self.read_names_without_capitals();
        }
        let verdict = match self.verdict_on_names() {
            Some(verdict) => verdict,
            None => majority(&self.evidence).unwrap_or_else(|| {
                if !other_gender && self.names_nobody() { Verdict::NEITHER } else { Verdict::Unscored }
            }),
        };
        Explanation { verdict, evidence: self.evidence }
    }

    /// Counts a word for a pole, or for both, by the weight of the rule and of the voice.
    pub(super) fn count(&mut self, rule: Rule, position: usize, pole: Option<Pole>) {
        self.count_by(rule, position, pole, 1.0);
    }

    pub(super) fn count_by(&mut self, rule: Rule, position: usize, pole: Option<Pole>, share: f64) {
        let token = &self.tokens[position];
        let voice = match token.zone {
            Zone::Voice => 1.0,
            Zone::Speech => QUOTED,
            // “The Man Who Sold the World” is not about a man; “Marie Curie” may be an answer.
            Zone::Work if rule.is_name() => QUOTED,
            Zone::Work => return,
        };
        self.evidence.push(Evidence::new(rule, token.word, pole, rule.weight() * voice * share));
    }

    pub(super) fn is(&self, context: Context, position: usize) -> bool {
        self.vocabulary.is(context, &self.tokens[position].folded)
    }

    /// The previous word, if only space separates the two.
    pub(super) fn before(&self, position: usize) -> Option<&Token<'t>> {
        (position > 0 && self.tokens[position].follows).then(|| &self.tokens[position - 1])
    }

    /// The next word, if only space separates the two.
    pub(super) fn after(&self, position: usize) -> Option<&Token<'t>> {
        self.tokens.get(position + 1).filter(|next| next.follows)
    }

    /// Whether the text describes somebody as neither a man nor a woman: `Mx.`, `they/them`, `non-binary`.
    pub(super) fn names_other_gender(&self) -> bool {
        let declared = |pair: &[Token<'_>]| pair[0].is("they") && pair[1].gap == "/" && pair[1].is("them");
        (0..self.tokens.len()).any(|position| self.is(Context::OtherGender, position))
            || self.tokens.windows(2).any(declared)
    }
}

/// Which words belong to phrases that are not about a person.
fn ignored(vocabulary: &Vocabulary, tokens: &[Token<'_>]) -> Vec<bool> {
    let mut ignored = vec![false; tokens.len()];
    for start in 0..tokens.len() {
        let first = if tokens[start].is_number() { "" } else { &tokens[start].folded };
        for phrase in vocabulary.phrases(first) {
            let Some(words) = tokens.get(start..start + phrase.len()) else { continue };
            let fits = phrase.iter().zip(words).enumerate().all(|(number, (expected, token))| {
                let adjacent =
                    number == 0 || token.gap.trim().chars().all(|c| matches!(c, '&' | '.' | '/' | '-'));
                adjacent
                    && match expected {
                        PhraseWord::AnyNumber => token.is_number(),
                        PhraseWord::Word { folded, possessive } => {
                            token.folded == *folded && (token.possessive || !possessive)
                        }
                    }
            });
            if fits {
                ignored[start..start + phrase.len()].fill(true);
            }
        }
    }
    ignored
}
