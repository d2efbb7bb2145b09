//! Names: runs of capitalised words, the titles before them, and the first names in them.

use std::ops::Range;

use super::evidence::Rule;
use super::reader::{BARE_NAME_WORDS, Person, Reader};
use super::tokens::{Capitals, Case, Token};
use super::vocabulary::{Context, Kind, Pole};

/// Words that make a single name after them the name of a place.
const BEFORE_PLACES: [&str; 5] = ["in", "at", "near", "around", "across"];

/// What the words before a first name indicate.
#[derive(Default)]
struct Lead {
    /// Position and pole of the last title.
    title: Option<(usize, Pole)>,
    initials: usize,
    /// `Mx.`
    other_gender: bool,
    saint: bool,
}

impl Reader<'_> {
    /// Titles and names of a text that capitalises names.
    pub(super) fn read_people(&mut self) {
        self.read_inverted_names();
        let inverted = self.named();
        for run in self.runs() {
            if !inverted[run.start] {
                self.read_run(run);
            }
        }
        self.people.sort_by_key(|person| person.words.start);
    }

    /// Stretches of capitalised words, with particles between them (`Leonardo da Vinci`). A possessive ends one.
    fn runs(&self) -> Vec<Range<usize>> {
        let tokens = &self.tokens;
        let usable = |at: usize| tokens[at].capitalised() && !self.ignored[at];
        let mut runs = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            if !usable(at) {
                at += 1;
                continue;
            }
            let start = at;
            while let Some(next) = tokens.get(at + 1)
                && next.follows
                && !tokens[at].possessive
            {
                if usable(at + 1) {
                    at += 1;
                    continue;
                }
                // `van der`
                let skipped = (at + 1..tokens.len().min(at + 4))
                    .take_while(|&i| {
                        tokens[i].follows && self.is(Context::Particle, i) && !tokens[i].capitalised()
                    })
                    .count();
                let resumes = at + 1 + skipped;
                if skipped > 0 && tokens.get(resumes).is_some_and(|token| token.follows) && usable(resumes) {
                    at = resumes;
                } else {
                    break;
                }
            }
            at += 1;
            runs.push(start..at);
        }
        runs
    }

    fn read_run(&mut self, run: Range<usize>) {
        let institution = self.is_institution(&run);
        let mut lead = Lead::default();
        let mut at = run.start;
        while at < run.end && self.leads(at, &run, &mut lead, institution) {
            at += 1;
        }
        if institution
            || lead.saint && self.tokens[run.end - 1].possessive && self.next_is_capitalised(run.end - 1)
        {
            return;
        }
        if at == run.end {
            // Only titles, or words that open a sentence.
            if let Some((_, pole)) = lead.title {
                self.people.push(Person { name: at..at, first_name: None, words: run, pole: Some(pole) });
            }
            return;
        }
        let name = at..run.end;
        let read = if lead.other_gender { None } else { self.name(&name, &lead) };
        let mut pole = read.map(|(_, _, pole)| pole);
        if let Some((rule, first, named)) = read {
            // `Sir Mary` is contradictory; a woman may be addressed by her husband's name: `Mrs. John Smith`.
            let contradicts =
                lead.title.is_some_and(|(_, title)| title == Pole::Negative && named == Pole::Positive);
            let share = if contradicts { Rule::Title.weight() / rule.weight() } else { 1.0 };
            self.count_by(rule, first, Some(named), share);
        } else if name.len() == 1 && lead.title.is_none() && self.is_no_person(at) {
            return;
        }
        if let Some((_, title)) = lead.title {
            pole = Some(title);
        }
        let first_name = read.map(|(_, first, _)| first);
        self.people.push(Person { words: run, name, first_name, pole });
    }

    pub(super) fn next_is_capitalised(&self, position: usize) -> bool {
        self.after(position).is_some_and(Token::capitalised)
    }

    /// Whether a word of a run precedes the name. Counts titles.
    fn leads(&mut self, at: usize, run: &Range<usize>, lead: &mut Lead, institution: bool) -> bool {
        let token = &self.tokens[at];
        let folded = token.folded.as_str();
        let more = at + 1 < run.end;
        if token.initial && (!matches!(folded, "a" | "i") || self.dotted(at)) {
            lead.initials += 1;
            return true;
        }
        if folded == "mx" {
            lead.other_gender = true;
            return true;
        }
        if let Some(pole) = self.title(at, run) {
            if !institution {
                // Ranks without a name are read as nouns.
                if !self.rank_is_read(at) {
                    self.count(Rule::Title, at, Some(pole));
                }
                lead.title = Some((at, pole));
            }
            return true;
        }
        if self.is(Context::Honorific, at) && (more || token.case == Case::Capital && !self.is_first_name(at))
        {
            lead.saint |= matches!(folded, "st" | "saint");
            return more || self.vocabulary.is_word(folded);
        }
        if let Some(pole) = self.vocabulary.pole(Kind::Noun, folded) {
            // `Sister Mary`, `Mother Teresa`: counted as nouns.
            lead.title = lead.title.or(more.then_some((at, pole)));
            return true;
        }
        if self.vocabulary.pole(Kind::Pronoun, folded).is_some() {
            return true;
        }
        let known = self.is_first_name(at) || self.is(Context::AlsoGivenName, at);
        if self.is(Context::Function, at) {
            return true;
        }
        // `Physicist Marie Curie`, `American Helen Keller`; but `Jean Rhys`.
        let opener = token.opens && self.vocabulary.is_word(folded) && (at + 2 < run.end || !more);
        !known && at == run.start && (opener || more && self.is(Context::NotPerson, at))
    }

    fn is_first_name(&self, at: usize) -> bool {
        self.vocabulary.first_name(&self.tokens[at].folded).is_some()
    }

    /// Whether the run names an institution, a prize or a place.
    fn is_institution(&self, run: &Range<usize>) -> bool {
        let prefixed = self.is(Context::PlacePrefix, run.start);
        run.len() > 1 && (prefixed || self.is(Context::Institution, run.end - 1))
    }

    /// The rule by which a name is read, the position of its first name, and its pole.
    fn name(&self, name: &Range<usize>, lead: &Lead) -> Option<(Rule, usize, Pole)> {
        let at = name.start;
        let token = &self.tokens[at];
        let folded = token.folded.as_str();
        if lead.initials > 0 && (lead.initials > 1 || name.len() == 1) {
            // `J. K. Rowling`: the word after initials is a family name; `J. Robert Oppenheimer` has a first name in between.
            return None;
        }
        if name.len() == 2 && self.is(Context::FamilyThenGiven, at) {
            let given = &self.tokens[at + 1].folded;
            return self.vocabulary.first_name(given).map(|pole| (Rule::InvertedName, at + 1, pole));
        }
        let pole = self.vocabulary.first_name(folded)?;
        // `the Great Wall`
        let article =
            self.before(at).is_some_and(|before| ["the", "a", "an"].contains(&before.folded.as_str()));
        if article && self.vocabulary.is_word(folded) {
            return None;
        }
        // `Catherine of Aragon`, `Catherine the Great`.
        let of = name.len() == 1
            && self.after(at).is_some_and(|next| next.is("of") || next.is("the"))
            && self.tokens.get(at + 2).is_some_and(Token::capitalised);
        // `Pierre and Marie Curie`.
        let shared = name.len() == 1
            && self.after(at).is_some_and(|next| next.is("and"))
            && self.tokens.get(at + 2).is_some_and(Token::capitalised)
            && self.tokens.get(at + 3).is_some_and(|token| token.follows && token.capitalised());
        let full = name.len() > 1 || of || shared;
        let family = self.is(Context::FamilyName, at);
        if full {
            if self.is(Context::FamilyFirst, at) {
                return None;
            }
            // `Martin Marie`: the family name may come first.
            let last = &self.tokens[name.end - 1].folded;
            let reversed = name.len() == 2
                && family
                && !self.is(Context::FamilyName, name.end - 1)
                && self.vocabulary.first_name(last).is_some_and(|other| other != pole);
            return (!reversed).then_some((Rule::FullName, at, pole));
        }
        let bare = self.tokens.len() <= BARE_NAME_WORDS && self.tokens.iter().all(Token::capitalised);
        // `Mr. Kelvin` is followed by a family name, `Sir Stanley` by a first name.
        let titled = lead.title.is_some_and(|(title, _)| {
            let title = self.tokens[title].folded.as_str();
            self.vocabulary.pole(Kind::Rank, title).is_none() && !matches!(title, "sir" | "dame")
        });
        let place = self.before(at).is_some_and(|before| BEFORE_PLACES.contains(&before.folded.as_str()));
        // A family name alone, a place, or an ordinary word that opens a sentence.
        let other = family
            || titled
            || place
            || self.is(Context::NotPerson, at)
            || !bare && self.vocabulary.is_word(folded);
        (!other).then_some((Rule::FirstName, at, pole))
    }

    /// Whether a single capitalised word is not a person's name.
    pub(super) fn is_no_person(&self, at: usize) -> bool {
        let token = &self.tokens[at];
        let word = token.opens
            && self.tokens.len() > 2
            && self.vocabulary.is_word(&token.folded)
            && !self.may_be_called(at);
        // `CPR`, but `JFK`.
        let abbreviation =
            token.case == Case::Upper && token.word.len() <= 5 && !self.is(Context::Initials, at);
        let place = self.before(at).is_some_and(|before| BEFORE_PLACES.contains(&before.folded.as_str()));
        let thing = [Context::NotPerson, Context::Function, Context::Institution];
        word || abbreviation
            || place
            || thing.iter().any(|&context| self.is(context, at))
            || token.is_number()
    }

    /// Whether a word that opens a sentence may be a name: `Robin came`, `Grace left`; but `Mark the box`.
    pub(super) fn may_be_called(&self, at: usize) -> bool {
        const VERBS: [&str; 12] =
            ["is", "was", "has", "had", "does", "did", "will", "would", "can", "could", "never", "also"];
        let given = self.is_first_name(at) || self.is(Context::AlsoGivenName, at);
        let in_run = self.capitals == Capitals::Mixed && self.next_is_capitalised(at);
        given
            && !in_run
            && !self.ignored[at]
            && !self.is(Context::Function, at)
            && !self.is(Context::NotPerson, at)
            && self.after(at).is_some_and(|next| {
                VERBS.contains(&next.folded.as_str())
                    || !next.is_number() && !self.vocabulary.is(Context::Function, &next.folded)
            })
    }
}
