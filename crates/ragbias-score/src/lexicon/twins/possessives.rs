//! Whether a pronoun stands before its noun (`her book`, `his book`) or alone (`met her`, `it is his`).

use super::words::Words;
use crate::lexicon::reader::Reader;

/// How a third-person pronoun is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Before a noun: `his`, `her`.
    Determiner,
    /// Alone: `him`, `her`; `his`, `hers`.
    Alone,
    /// Either.
    Unclear,
}

/// After these, a pronoun with a noun belongs to the noun.
const PREPOSITIONS: [&str; 40] = [
    "about",
    "across",
    "after",
    "against",
    "among",
    "around",
    "as",
    "at",
    "before",
    "behind",
    "beside",
    "between",
    "beyond",
    "by",
    "despite",
    "during",
    "following",
    "for",
    "from",
    "in",
    "including",
    "inside",
    "into",
    "of",
    "on",
    "onto",
    "over",
    "since",
    "through",
    "throughout",
    "to",
    "toward",
    "towards",
    "under",
    "until",
    "upon",
    "via",
    "with",
    "within",
    "without",
];
/// How many words after the pronoun may hold the noun that shows what it is.
const AHEAD: usize = 4;

/// How the pronoun at a position is used, by the words around it alone: so `her` gets the same answer as the `his` or `him` that it
/// becomes, and what is exchanged twice is the same.
pub(super) fn use_of(reader: &Reader<'_>, words: &Words, at: usize) -> Use {
    let Some(next) = reader.tokens.get(at + 1) else { return Use::Alone };
    let quoted = matches!(next.gap, " \"" | " “" | " ‘" | " '" | " «");
    if !next.follows && !quoted {
        return Use::Alone;
    }
    let before = reader.before(at).map_or("", |before| before.folded.as_str());
    if words.after_object.contains(&next.folded) && !quoted {
        return Use::Alone;
    }
    if PREPOSITIONS.contains(&before) {
        return Use::Determiner;
    }
    let manner = next.folded.ends_with("ly") && !matches!(next.folded.as_str(), "family" | "early");
    if words.after_either.contains(&next.folded) || manner {
        return Use::Unclear;
    }
    if !words.before_either.contains(before) {
        return Use::Determiner;
    }
    let ahead =
        (at + 1..).take(AHEAD).map_while(|place| reader.tokens.get(place).filter(|token| token.follows));
    let mut ahead = ahead.map(|token| token.folded.as_str());
    if ahead.any(|word| words.noun_follows.contains(word)) { Use::Determiner } else { Use::Unclear }
}
