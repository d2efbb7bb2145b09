//! Whether a gendered noun is about the person of a passage.

use super::left_out::Reason;
use super::person::Subject;
use super::words::{WordKind, Words};
use crate::lexicon::reader::Reader;
use crate::lexicon::tokens::Token;

/// How far before a noun its article may be.
const LONGEST_PHRASE: usize = 9;
/// Before an article, they say that what follows is the person.
const IDENTIFYING: [&str; 20] = [
    "is",
    "was",
    "be",
    "been",
    "being",
    "become",
    "becomes",
    "became",
    "becoming",
    "remain",
    "remains",
    "remained",
    "as",
    "born",
    "also",
    "still",
    "then",
    "not",
    "once",
    "primarily",
];
/// Before a noun without an article: `was chairman of`, `as spokeswoman`.
const WITHOUT_ARTICLE: [&str; 8] = ["is", "was", "as", "became", "become", "elected", "appointed", "named"];

/// Whether the noun at a position is about the person; if not, why the passage is left out.
pub(super) fn is_about(
    reader: &Reader<'_>,
    words: &Words,
    subject: &Subject,
    (at, kind): (usize, WordKind),
) -> Result<(), Reason> {
    let occupation = matches!(kind, WordKind::Occupation | WordKind::Neutral);
    let token = &reader.tokens[at];
    if subject.begins_at(at + 1) && reader.after(at).is_some() {
        return Ok(());
    }
    let Some(phrase) = phrase(reader, words, at, occupation) else { return Err(Reason::UnclearNoun) };
    if phrase.possessed {
        return Err(Reason::Relative);
    }
    if phrase.award {
        return Ok(());
    }
    if token.capitalised() && !token.opens {
        return Err(Reason::UnclearNoun);
    }
    if phrase.ordinal {
        return Err(Reason::FirstOfGender);
    }
    if phrase.article.is_none() {
        return if occupation { Ok(()) } else { Err(Reason::UnclearNoun) };
    }
    let article = phrase.article.unwrap_or(at);
    let opening = &reader.tokens[article];
    let apposed = article > 0 && opening.gap.contains([',', '(', '–', '—']);
    let before = reader.before(article).map_or("", |before| before.folded.as_str());
    let identified = apposed || IDENTIFYING.contains(&before);
    let definite = opening.is("the") || opening.opens || before == "and";
    if identified || occupation && definite { Ok(()) } else { Err(Reason::UnclearNoun) }
}

/// What stands before a noun, back to its article.
#[derive(Default)]
struct Phrase {
    article: Option<usize>,
    possessed: bool,
    ordinal: bool,
    /// `Best Actress`.
    award: bool,
}

/// The phrase of a noun; none if it has no beginning that is understood.
fn phrase(reader: &Reader<'_>, words: &Words, at: usize, occupation: bool) -> Option<Phrase> {
    let mut phrase = Phrase::default();
    let mut place = at;
    while place > 0 && at - place < LONGEST_PHRASE {
        let token = &reader.tokens[place];
        let listed = occupation && matches!(token.gap, ", " | "/" | " & ");
        if !token.follows && !listed {
            return None;
        }
        place -= 1;
        let before = &reader.tokens[place];
        match before.folded.as_str() {
            "a" | "an" | "the" => {
                phrase.article = Some(place);
                return Some(phrase);
            }
            "best" if before.capitalised() => {
                phrase.award = true;
                return Some(phrase);
            }
            _ if is_possessive(before) => {
                phrase.possessed = true;
                return Some(phrase);
            }
            word if WITHOUT_ARTICLE.contains(&word) => return Some(phrase),
            "and" | "or" if occupation => {}
            "of" | "for" | "by" | "to" | "with" | "in" | "on" | "from" | "who" | "that" | "has" | "had" => {
                return None;
            }
            word => phrase.ordinal |= words.is_ordinal(word),
        }
    }
    None
}

fn is_possessive(token: &Token<'_>) -> bool {
    token.possessive
        || matches!(token.folded.as_str(), "his" | "her" | "their" | "my" | "our" | "your" | "its" | "whose")
}
