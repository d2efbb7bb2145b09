//! Long texts: only as much is tokenised as determines the tokens up to the truncation.

use tokenizers::{
    Encoding, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    Tokenizer, TruncationDirection,
};

use crate::{Error, Result};

/// Texts of up to this many bytes are tokenised completely.
const SHORT: usize = 32 << 10;
/// Maximum part of a longer text that is tokenised, which takes some 80 bytes of memory per byte.
const LONGEST: usize = 4 << 20;
/// If the part extends this many bytes beyond the kept tokens, they equal those of the whole text: a part that ends at white
/// space is tokenised as in the whole text, except for its last words.
const BEYOND: usize = 1 << 10;

/// Whether words are tokenised separately, so that text after white space changes nothing before it.
pub(super) fn splits_words(tokenizer: &Tokenizer) -> bool {
    let mut text = NormalizedString::from("a b");
    if tokenizer.get_normalizer().is_some_and(|own| own.normalize(&mut text).is_err()) {
        return false;
    }
    let mut text = PreTokenizedString::from(text);
    tokenizer.get_pre_tokenizer().is_some_and(|own| {
        own.pre_tokenize(&mut text).is_ok()
            && text.get_splits(OffsetReferential::Original, OffsetType::Byte).len() > 1
    })
}

/// The tokens of a text with a prefix, truncated like the tokenizer does; `row` is for the error.
pub(super) fn whole(tokenizer: &Tokenizer, row: usize, prefix: &str, text: &str) -> Result<Encoding> {
    let encoding = if prefix.is_empty() {
        tokenizer.encode_fast(text, true)
    } else {
        tokenizer.encode_fast(format!("{prefix}{text}"), true)
    };
    encoding.map_err(|reason| Error::Tokenise { row, reason })
}

/// The same for a tokenizer that [`splits_words`].
pub(super) fn cut(tokenizer: &Tokenizer, row: usize, prefix: &str, text: &str) -> Result<Encoding> {
    let Some(truncation) = tokenizer.get_truncation() else { return whole(tokenizer, row, prefix, text) };
    let mut length = SHORT;
    while length < text.len() && length <= LONGEST {
        let part = format!("{prefix}{}", part(text, length, truncation.direction));
        let encoding = tokenizer.encode(part.as_str(), true);
        let encoding = encoding.map_err(|reason| Error::Tokenise { row, reason })?;
        if encoding.len() == truncation.max_length
            && left(&encoding, part.len(), truncation.direction) >= BEYOND
        {
            return Ok(encoding);
        }
        length *= 2;
    }
    if text.len() > LONGEST {
        return Err(Error::NoWords { row, bytes: text.len(), of: LONGEST });
    }
    whole(tokenizer, row, prefix, text)
}

/// Number of bytes beyond the tokens, at the truncated end.
fn left(encoding: &Encoding, bytes: usize, direction: TruncationDirection) -> usize {
    let of_text = encoding.get_offsets().iter().zip(encoding.get_special_tokens_mask());
    let mut of_text = of_text.filter(|(_, special)| **special == 0).map(|(place, _)| *place);
    match direction {
        TruncationDirection::Right => bytes - of_text.map(|(_, end)| end).max().unwrap_or(bytes).min(bytes),
        TruncationDirection::Left => of_text.next().map_or(0, |(start, _)| start),
    }
}

/// At most `length` bytes from the kept end of a text, up to white space.
fn part(text: &str, length: usize, direction: TruncationDirection) -> &str {
    match direction {
        TruncationDirection::Right => {
            let start = &text[..text.floor_char_boundary(length)];
            &start[..start.rfind(char::is_whitespace).unwrap_or(0)]
        }
        TruncationDirection::Left => {
            let end = &text[text.ceil_char_boundary(text.len() - length)..];
            // White space is kept whole: byte-level tokens of it depend on where it begins.
            let word = end.trim_start();
            &word[word.find(char::is_whitespace).unwrap_or(word.len())..]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_at_a_white_space() {
        let text = "the mill by the sea";
        assert_eq!(part(text, 10, TruncationDirection::Right), "the mill");
        assert_eq!(part(text, 10, TruncationDirection::Left), " the sea");
        assert_eq!(part("über-mill", 1, TruncationDirection::Right), "");
        assert_eq!(part("mill-ü", 1, TruncationDirection::Left), "");
    }
}
