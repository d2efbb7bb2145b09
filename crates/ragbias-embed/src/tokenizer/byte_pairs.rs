//! Builds byte-pair tokenizers like transformers' `Qwen2Tokenizer`, `GemmaTokenizer` and `CLIPTokenizer`: with the vocabulary and merges of
//! the file, the first two also with its special tokens around a text, and parts of their own for everything else.

use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{ModelWrapper, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};

use super::added::Added;
use super::between::Ends;
use super::settings::Settings;
use super::vocabulary::Vocabulary;
use crate::{Error, Result};

/// Where Qwen2 splits a text: contractions, words with a character before them, single digits, punctuation, lines, spaces.
const WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Where CLIP splits a text: special tokens, contractions, words, single digits, punctuation.
const CLIP_WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// The tokenizer of CLIP.
pub(super) fn clip(vocabulary: &Vocabulary, added: &Added) -> Result<Tokenizer> {
    let path = &vocabulary.path;
    let fail = |reason| Error::Tokenizer { path: path.clone(), reason };
    let spaces = Replace::new(ReplacePattern::Regex(r"\s+".into()), " ").map_err(fail)?;
    let normalizer = Normalizers::new(vec![NFC.into(), spaces.into(), Lowercase.into()]);
    let words = Split::new(SplitPattern::Regex(CLIP_WORDS.into()), SplitDelimiterBehavior::Removed, true);
    let bytes = ByteLevel::new(false, true, true);
    let parts = Sequence::new(vec![words.map_err(fail)?.into(), bytes.into()]);
    let mut tokenizer = build(vocabulary, added, Kind::Words, normalizer.into(), parts.into())?;
    let ends = Ends::of(path, &tokenizer, added, ["bos_token", "eos_token"])?;
    tokenizer.with_post_processor(Some(ends.roberta(false, false)));
    Ok(tokenizer)
}

/// The tokenizer of Qwen2 and Qwen3.
pub(super) fn qwen2(vocabulary: &Vocabulary, settings: &Settings, added: &Added) -> Result<Tokenizer> {
    let prepends = settings.flag("add_prefix_space", false)?;
    let words = split(vocabulary, SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Isolated)?;
    let bytes = ByteLevel::new(prepends, true, false);
    let parts = Sequence::new(vec![words, bytes.into()]);
    build(vocabulary, added, Kind::Bytes, NFC.into(), parts.into())
}

/// The tokenizer of Gemma.
pub(super) fn gemma(vocabulary: &Vocabulary, added: &Added) -> Result<Tokenizer> {
    let fail = |reason| Error::Tokenizer { path: vocabulary.path.clone(), reason };
    let spaces = Replace::new(" ".to_owned(), "\u{2581}").map_err(fail)?;
    // As spaces are replaced before, it splits nothing.
    let words =
        split(vocabulary, SplitPattern::String(" ".into()), SplitDelimiterBehavior::MergedWithPrevious)?;
    build(vocabulary, added, Kind::Pieces, spaces.into(), words)
}

fn split(
    vocabulary: &Vocabulary,
    pattern: SplitPattern,
    behavior: SplitDelimiterBehavior,
) -> Result<PreTokenizerWrapper> {
    let split = Split::new(pattern, behavior, false);
    Ok(split.map_err(|reason| Error::Tokenizer { path: vocabulary.path.clone(), reason })?.into())
}

/// What the tokens are made of.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Bytes, each as a character.
    Bytes,
    /// Bytes, of which the last of a word has a suffix.
    Words,
    /// Characters, or bytes for one that is not in the vocabulary.
    Pieces,
}

fn build(
    vocabulary: &Vocabulary,
    added: &Added,
    kind: Kind,
    normalizer: NormalizerWrapper,
    pre_tokenizer: PreTokenizerWrapper,
) -> Result<Tokenizer> {
    let path = &vocabulary.path;
    let ModelWrapper::BPE(model) = vocabulary.model() else {
        return Err(vocabulary.other_model("BPE, as its class has it"));
    };
    // The merges were read with this prefix, and the classes read them without it.
    if let Some(prefix) = model.continuing_subword_prefix.as_ref().filter(|prefix| !prefix.is_empty()) {
        return Err(Error::unsupported(path, "continuing_subword_prefix", "an empty one", prefix));
    }
    let mut model = model.clone();
    model.dropout = None;
    model.unk_token = added.named("unk_token").filter(|_| kind != Kind::Bytes).map(str::to_owned);
    model.end_of_word_suffix = (kind == Kind::Words).then(|| "</w>".to_owned());
    model.fuse_unk = kind == Kind::Pieces;
    model.byte_fallback = kind == Kind::Pieces;
    model.ignore_merges = false;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer
        .with_normalizer(Some(normalizer))
        .map_err(|reason| Error::Tokenizer { path: path.clone(), reason })?;
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer));
    added.add_to(path, &mut tokenizer)?;
    let template = vocabulary.whole().and_then(|whole| whole.get_post_processor());
    tokenizer.with_post_processor(template.cloned());
    Ok(tokenizer)
}
