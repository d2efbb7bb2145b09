use ragbias_core::{Corpus, Document, Embedder, Role};

use crate::Result;

/// The most texts that are compared.
const MOST: usize = 200;
/// Texts of the corpus that are joined into long ones.
const LONG: usize = 3;
/// The most words of a long text.
const MOST_WORDS: usize = 1500;

/// The texts by which vectors are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Texts {
    /// Those that the checkpoint embeds whole.
    pub(super) short: Vec<String>,
    /// Texts of more tokens than it reads.
    pub(super) long: Vec<String>,
}

impl Texts {
    /// Documents of a corpus, evenly spaced, and long texts made of them: each begins with another document.
    pub(super) fn of(corpus: &Corpus, embedder: &dyn Embedder) -> Result<Self> {
        let documents: Vec<String> = corpus.documents().iter().map(Document::full_text).collect();
        let step = documents.len().div_ceil(MOST).max(1);
        let some: Vec<&String> = documents.iter().step_by(step).collect();
        let texts: Vec<&str> = some.iter().map(|text| text.as_str()).collect();
        let counts = embedder.token_counts(&texts, Role::Document)?;
        let is_short = |place: usize| counts.as_ref().is_none_or(|counts| !counts[place].truncated);
        let short = (0..texts.len()).filter(|place| is_short(*place)).map(|place| texts[place].to_owned());
        let short: Vec<String> = short.collect();
        let limit = limit(embedder)?.unwrap_or(512);
        let long = (0..LONG).map(|number| {
            let begin = number * texts.len() / LONG;
            let words = texts.iter().cycle().skip(begin).flat_map(|text| text.split_whitespace());
            let needed = (11 * limit / 5).min(MOST_WORDS);
            words.take(needed).collect::<Vec<_>>().join(" ")
        });
        Ok(Self { short, long: long.collect() })
    }
}

/// The number of tokens that an embedder reads of a text; none if it does not say, or if it is very large.
pub(super) fn limit(embedder: &dyn Embedder) -> Result<Option<usize>> {
    let endless = "a ".repeat(20_000);
    let counts = embedder.token_counts(&[&endless], Role::Document)?;
    Ok(counts.and_then(|counts| counts.first().filter(|count| count.truncated).map(|count| count.tokens)))
}
