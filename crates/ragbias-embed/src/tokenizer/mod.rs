//! Tokenises texts like the tokenizer that transformers builds from a folder's files.
//!
//! The class named in `tokenizer_config.json` determines which file is used. A `BertTokenizer` or `MPNetTokenizer` takes
//! only the vocabulary from `tokenizer.json` (or `vocab.txt`), and lower-casing and accents from `tokenizer_config.json`;
//! a `RobertaTokenizer` takes vocabulary and merges (or `vocab.json` and `merges.txt`), an `XLMRobertaTokenizer`
//! vocabulary and character map; a `Qwen2Tokenizer` or `GemmaTokenizer` vocabulary, merges and the special tokens around a text;
//! a tokenizer without its own class uses `tokenizer.json` unchanged. If no file names a
//! class, that of the `model_type` in `config.json` is used.

mod added;
mod between;
mod byte_level;
mod byte_pairs;
mod class;
mod json;
mod long;
mod settings;
mod unigram;
mod vocabulary;
mod wanted;
mod wordpiece;

use std::collections::HashSet;
use std::path::Path;

use ragbias_core::{TokenCount, guarded};
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{Lowercase, Sequence};
use tokenizers::{
    Encoding, ModelWrapper, NormalizerWrapper, Tokenizer, TruncationDirection, TruncationParams,
};

use self::added::Added;
use self::between::Ends;
use self::class::Class;
use self::settings::Settings;
use self::vocabulary::Vocabulary;
use crate::{Error, Result};

pub(crate) use self::wanted::Wanted;

/// A checkpoint's tokenizer.
#[derive(Clone)]
pub(crate) struct TextTokenizer {
    tokenizer: Tokenizer,
    class: Class,
    /// Maximum tokens of a text.
    max_tokens: usize,
    /// Number of positions of the encoder; at least `max_tokens`, unless the checkpoint is inconsistent.
    positions: usize,
    special: HashSet<u32>,
    /// Whether the start of a long text can be tokenised without the rest.
    splits_words: bool,
}

/// The input of the tokenizer's id.
pub(crate) struct Source {
    /// The file with the vocabulary.
    pub(crate) bytes: Vec<u8>,
    /// Parts of the tokenizer that are not from that file, as text; empty if there are none.
    pub(crate) changes: String,
}

/// Runs `work`; panics of the tokenizers crate are errors of the file.
fn of_file<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    guarded(work).map_err(|panic| Error::Tokenizer { path: path.into(), reason: panic.into() })?
}

impl TextTokenizer {
    pub(crate) fn read(folder: &Path, wanted: &Wanted<'_>) -> Result<(Self, Source)> {
        of_file(&folder.join("tokenizer.json"), || Self::read_here(folder, wanted))
    }

    fn read_here(folder: &Path, wanted: &Wanted<'_>) -> Result<(Self, Source)> {
        let settings = Settings::read(folder, wanted)?;
        let path = folder.join("tokenizer.json");
        let vocabulary = Vocabulary::read(folder, settings.class)?;
        let loaded = vocabulary.whole();
        if let Some(loaded) = loaded.filter(|_| !wanted.pads_anywhere) {
            settings::refuse_left_padding(&path, loaded)?;
        }
        let added = Added::read(folder, &settings, loaded)?;
        let mut tokenizer = build(&vocabulary, &settings, &added)?;
        if wanted.do_lower_case {
            lower_case_first(&path, &mut tokenizer)?;
        }
        let direction = settings.truncation.unwrap_or_else(|| {
            let own = loaded.and_then(|loaded| loaded.get_truncation());
            own.map_or(TruncationDirection::Right, |truncation| truncation.direction)
        });
        let mut changes = differences(loaded, &tokenizer);
        if matches!(direction, TruncationDirection::Left) {
            changes += "; cut at the start";
        }
        let special = added.special_ids(&tokenizer);
        let max_tokens =
            wanted.max_seq_length.unwrap_or_else(|| settings.max_length.min(wanted.usual_length));
        let splits_words = long::splits_words(&tokenizer);
        let mut text_tokenizer = Self {
            tokenizer,
            class: settings.class,
            max_tokens,
            positions: wanted.positions,
            special,
            splits_words,
        };
        text_tokenizer.cut_at(folder, max_tokens, direction)?;
        text_tokenizer.check_segments(&path)?;
        Ok((text_tokenizer, Source { bytes: vocabulary.bytes, changes }))
    }

    /// Sequences are truncated there and not padded: a file's own truncation and padding are for other uses.
    fn cut_at(&mut self, folder: &Path, max_tokens: usize, direction: TruncationDirection) -> Result<()> {
        let path = folder.join("tokenizer.json");
        self.tokenizer.with_padding(None);
        self.tokenizer
            .with_truncation(None)
            .map_err(|reason| Error::Tokenizer { path: path.clone(), reason })?;
        let encoding = self.tokenizer.encode_fast("", true);
        let least = encoding.map_err(|reason| Error::Tokenizer { path: path.clone(), reason })?.len();
        if max_tokens < least.max(1) {
            let expected = format!("at least {least}, its special tokens");
            return Err(Error::unsupported(&path, "the longest text", expected, max_tokens.to_string()));
        }
        let truncation =
            TruncationParams { max_length: max_tokens, direction, ..TruncationParams::default() };
        self.tokenizer
            .with_truncation(Some(truncation))
            .map_err(|reason| Error::Tokenizer { path, reason })?;
        self.max_tokens = max_tokens;
        Ok(())
    }

    /// The encoder gives every token the embedding of the first segment.
    fn check_segments(&self, path: &Path) -> Result<()> {
        let encoding = self.tokenizer.encode("a", true);
        let encoding = encoding.map_err(|reason| Error::Tokenizer { path: path.into(), reason })?;
        if encoding.get_type_ids().iter().any(|&segment| segment != 0) {
            return Err(Error::unsupported(path, "post_processor", "segment 0 for every token", "another"));
        }
        Ok(())
    }

    /// Changes the text length: at least the special tokens, at most the encoder's positions.
    pub(crate) fn with_max_tokens(mut self, folder: &Path, max_tokens: usize) -> Result<Self> {
        let direction =
            self.tokenizer.get_truncation().map(|truncation| truncation.direction).unwrap_or_default();
        of_file(&folder.join("tokenizer.json"), || {
            self.cut_at(folder, max_tokens.clamp(2, self.positions), direction)?;
            Ok(self)
        })
    }

    /// A `tokenizer.json` that gives the same tokens when it is read alone.
    pub(crate) fn to_json(&self, folder: &Path) -> Result<String> {
        let fail = |reason| Error::Tokenizer { path: folder.join("tokenizer.json"), reason };
        let mut tokenizer = self.tokenizer.clone();
        tokenizer.with_truncation(None).map_err(fail)?;
        tokenizer.to_string(true).map_err(fail)
    }

    /// The name of its class in transformers.
    pub(crate) fn class_name(&self) -> &'static str {
        self.class.name()
    }

    /// Maximum tokens of a text.
    pub(crate) fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The token ids of a text, with special tokens, truncated; `row` is for the error.
    pub(crate) fn ids(&self, row: usize, prefix: &str, text: &str) -> Result<Vec<u32>> {
        Ok(self.encoding(row, prefix, text)?.get_ids().to_vec())
    }

    /// Words that are one token, see [`TextEmbedder::whole_words`](crate::TextEmbedder::whole_words).
    pub(crate) fn whole_words(&self) -> Result<Vec<(u32, String)>> {
        let is_word = |word: &str| word.len() > 1 && word.bytes().all(|letter| letter.is_ascii_lowercase());
        let vocabulary = self.tokenizer.get_vocab(false).into_iter();
        let mut words: Vec<(u32, String)> =
            vocabulary.filter(|(word, _)| is_word(word)).map(|(word, id)| (id, word)).collect();
        words.sort_unstable();
        let mut whole = Vec::with_capacity(words.len());
        for (id, word) in words {
            let ids = self.ids(0, "", &format!("{word} {word}"))?;
            let own: Vec<u32> = ids.into_iter().filter(|id| !self.special.contains(id)).collect();
            if own == [id, id] && !self.special.contains(&id) {
                whole.push((id, word));
            }
        }
        Ok(whole)
    }

    /// Number of those tokens, and whether the text is truncated.
    pub(crate) fn count(&self, row: usize, prefix: &str, text: &str) -> Result<TokenCount> {
        let encoding = self.encoding(row, prefix, text)?;
        Ok(TokenCount { tokens: encoding.len(), truncated: !encoding.get_overflowing().is_empty() })
    }

    fn encoding(&self, row: usize, prefix: &str, text: &str) -> Result<Encoding> {
        let encode = if self.splits_words { long::cut } else { long::whole };
        let encoding = guarded(|| encode(&self.tokenizer, row, prefix, text))
            .map_err(|panic| Error::Tokenise { row, reason: panic.into() })??;
        if encoding.len() > self.positions {
            let (tokens, positions, limit) = (encoding.len(), self.positions, self.max_tokens);
            return Err(Error::TooLong { row, tokens, positions, limit });
        }
        Ok(encoding)
    }

    /// Number of tokens of a prompt at the start of a text: those of the prompt alone, without the final special token.
    ///
    /// # Errors
    /// A prompt that cannot be tokenised, with the folder.
    pub(crate) fn prompt_tokens(&self, folder: &Path, prompt: &str) -> Result<usize> {
        if prompt.is_empty() {
            return Ok(0);
        }
        let ids = self.ids(0, "", prompt).map_err(|error| match error {
            Error::Tokenise { reason, .. } => {
                Error::Tokenizer { path: folder.join("tokenizer.json"), reason }
            }
            other => other,
        })?;
        Ok(ids.len() - usize::from(ids.last().is_some_and(|last| self.special.contains(last))))
    }
}

/// The tokenizer of a class.
fn build(vocabulary: &Vocabulary, settings: &Settings, added: &Added) -> Result<Tokenizer> {
    let path = &vocabulary.path;
    let ends = |tokenizer: &Tokenizer| Ends::of(path, tokenizer, added, ["cls_token", "sep_token"]);
    match settings.class {
        Class::Bert => {
            let mut tokenizer = wordpiece::build(vocabulary, settings, added)?;
            let template = ends(&tokenizer)?.template(path)?;
            tokenizer.with_post_processor(Some(template));
            Ok(tokenizer)
        }
        Class::Mpnet => {
            let mut tokenizer = wordpiece::build(vocabulary, settings, added)?;
            let processor = ends(&tokenizer)?.roberta(true, false);
            tokenizer.with_post_processor(Some(processor));
            Ok(tokenizer)
        }
        Class::Roberta => byte_level::build(vocabulary, settings, added),
        Class::XlmRoberta => unigram::build(vocabulary, settings, added),
        Class::Clip => byte_pairs::clip(vocabulary, added),
        Class::Qwen2 => {
            refuse_other_ends(vocabulary, settings)?;
            byte_pairs::qwen2(vocabulary, settings, added)
        }
        Class::Gemma => {
            refuse_other_ends(vocabulary, settings)?;
            byte_pairs::gemma(vocabulary, added)
        }
        Class::File => {
            refuse_dropout(vocabulary)?;
            refuse_other_ends(vocabulary, settings)?;
            let whole =
                vocabulary.whole().expect("without a class, only tokenizer.json is read; this is a bug");
            let mut tokenizer = whole.clone();
            added.add_to(path, &mut tokenizer)?;
            Ok(tokenizer)
        }
    }
}

/// Where `tokenizer.json` has no special tokens around a text, and only there, transformers adds them by these settings.
fn refuse_other_ends(vocabulary: &Vocabulary, settings: &Settings) -> Result<()> {
    if vocabulary.whole().is_some_and(|whole| whole.get_post_processor().is_some()) {
        return Ok(());
    }
    for key in ["add_bos_token", "add_eos_token"] {
        if settings.flag_or_null(key)? {
            let expected = "false, or a post_processor in tokenizer.json";
            return Err(Error::unsupported(&settings.path, key, expected, "true"));
        }
    }
    Ok(())
}

/// With dropout, a text has other tokens every time.
fn refuse_dropout(vocabulary: &Vocabulary) -> Result<()> {
    match vocabulary.model() {
        ModelWrapper::BPE(BPE { dropout: Some(rate), .. }) if *rate > 0.0 => Err(Error::unsupported(
            &vocabulary.path,
            "dropout",
            "null: no merge left out at random",
            rate.to_string(),
        )),
        _ => Ok(()),
    }
}

/// Lower-cases before everything else, unless the normaliser already does; that of `BertNormalizer` does not count.
fn lower_case_first(path: &Path, tokenizer: &mut Tokenizer) -> Result<()> {
    let is_lower_case =
        |normalizer: &NormalizerWrapper| matches!(normalizer, NormalizerWrapper::Lowercase(_));
    let mut parts = vec![NormalizerWrapper::Lowercase(Lowercase)];
    match tokenizer.get_normalizer() {
        Some(own) if is_lower_case(own) => return Ok(()),
        Some(NormalizerWrapper::Sequence(sequence)) if sequence.as_ref().iter().any(is_lower_case) => {
            return Ok(());
        }
        Some(NormalizerWrapper::Sequence(sequence)) => parts.extend(sequence.as_ref().iter().cloned()),
        Some(own) => parts.push(own.clone()),
        None => {}
    }
    let all = NormalizerWrapper::Sequence(Sequence::new(parts));
    tokenizer.with_normalizer(Some(all)).map_err(|reason| Error::Tokenizer { path: path.into(), reason })?;
    Ok(())
}

/// The parts of a tokenizer that differ from its file, as JSON; empty if there are none. Without `tokenizer.json`, all of them.
fn differences(file: Option<&Tokenizer>, made: &Tokenizer) -> String {
    fn json<T: serde::Serialize>(part: Option<&T>) -> String {
        serde_json::to_string(&part).unwrap_or_else(|error| error.to_string())
    }
    let parts = |tokenizer: &Tokenizer| {
        let mut added: Vec<_> = tokenizer.get_added_tokens_decoder().into_iter().collect();
        added.sort_unstable_by_key(|(id, _)| *id);
        [
            json(tokenizer.get_normalizer()),
            json(tokenizer.get_pre_tokenizer()),
            json(tokenizer.get_post_processor()),
            json(Some(&added)),
            describe(tokenizer.get_model()),
        ]
    };
    let own = file.map(parts);
    let made = parts(made).into_iter().enumerate();
    let differing = made.filter(|(at, made)| own.as_ref().is_none_or(|own| own[*at] != *made));
    differing.map(|(_, made)| made).collect::<Vec<_>>().join("\n")
}

/// Settings of a model that a class has its own of; the vocabulary comes from the file.
fn describe(model: &ModelWrapper) -> String {
    match model {
        ModelWrapper::WordPiece(model) => format!(
            "{} {} {}",
            model.unk_token, model.continuing_subword_prefix, model.max_input_chars_per_word
        ),
        ModelWrapper::BPE(model) => format!(
            "{:?} {:?} {:?} {} {} {}",
            model.dropout,
            model.unk_token,
            model.end_of_word_suffix.as_deref().unwrap_or_default(),
            model.fuse_unk,
            model.byte_fallback,
            model.ignore_merges
        ),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;

impl std::fmt::Debug for TextTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextTokenizer").field("max_tokens", &self.max_tokens).finish_non_exhaustive()
    }
}
