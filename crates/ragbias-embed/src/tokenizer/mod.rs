//! Tokenises texts like the tokenizer that transformers builds from a folder's files.
//!
//! The class named in `tokenizer_config.json` determines which file is used. A `BertTokenizer` takes only the
//! vocabulary from `tokenizer.json` (or `vocab.txt`), and lower-casing and accents from `tokenizer_config.json`; an
//! `XLMRobertaTokenizer` does likewise; a tokenizer without its own class uses `tokenizer.json` unchanged.

mod added;
mod bert;
mod between;
mod json;
mod long;
mod settings;
mod xlm_roberta;

use std::collections::HashSet;
use std::path::Path;

use ragbias_core::guarded;
use tokenizers::normalizers::{Lowercase, Sequence};
use tokenizers::{NormalizerWrapper, Tokenizer, TruncationDirection, TruncationParams};

use self::added::Added;
use self::settings::{Class, Settings};
use crate::files::read;
use crate::{Error, Result};

/// A checkpoint's tokenizer.
#[derive(Clone)]
pub(crate) struct TextTokenizer {
    tokenizer: Tokenizer,
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
    /// Differences from that file due to other files, as text; empty if there are none.
    pub(crate) changes: String,
}

/// Settings of a tokenizer from other files.
pub(crate) struct Wanted<'a> {
    /// From `config.json`.
    pub(crate) class: Option<&'a str>,
    /// From `sentence_bert_config.json`.
    pub(crate) max_seq_length: Option<usize>,
    /// From `sentence_bert_config.json` too.
    pub(crate) do_lower_case: bool,
    pub(crate) positions: usize,
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
        let settings = Settings::read(folder, wanted.class)?;
        let path = folder.join("tokenizer.json");
        let (loaded, bytes) = if path.is_file() {
            let bytes = read(&path)?;
            json::check(&path, &bytes)?;
            let tokenizer = Tokenizer::from_bytes(&bytes)
                .map_err(|reason| Error::Tokenizer { path: path.clone(), reason })?;
            settings::check_padding(&path, &tokenizer)?;
            (Some(tokenizer), bytes)
        } else {
            let vocabulary = folder.join("vocab.txt");
            if !(vocabulary.is_file() && settings.class == Class::Bert) {
                return Err(Error::MissingFile { folder: folder.into(), file: "tokenizer.json" });
            }
            (None, read(&vocabulary)?)
        };
        let added = Added::read(folder, &settings, loaded.as_ref())?;
        let mut tokenizer = match (&loaded, settings.class) {
            (None, _) => bert::of_vocabulary(&folder.join("vocab.txt"), &settings, &added)?,
            (Some(loaded), Class::Bert) => bert::of_file(&path, loaded, &settings, &added)?,
            (Some(loaded), Class::XlmRoberta) => {
                xlm_roberta::of_file(&path, &bytes, loaded, &settings, &added)?
            }
            (Some(loaded), Class::File) => {
                let mut tokenizer = loaded.clone();
                added.add_to(&path, &mut tokenizer)?;
                tokenizer
            }
        };
        if wanted.do_lower_case {
            lower_case_first(&path, &mut tokenizer)?;
        }
        let direction = settings.truncation.unwrap_or_else(|| {
            let own = loaded.as_ref().and_then(|loaded| loaded.get_truncation());
            own.map_or(TruncationDirection::Right, |truncation| truncation.direction)
        });
        let mut changes = loaded.as_ref().map_or(String::new(), |loaded| differences(loaded, &tokenizer));
        if matches!(direction, TruncationDirection::Left) {
            changes += "; cut at the start";
        }
        let special = added.special_ids(&tokenizer);
        let max_tokens = wanted.max_seq_length.unwrap_or_else(|| settings.max_length.min(wanted.positions));
        let splits_words = long::splits_words(&tokenizer);
        let mut text_tokenizer =
            Self { tokenizer, max_tokens, positions: wanted.positions, special, splits_words };
        text_tokenizer.cut_at(folder, max_tokens, direction)?;
        text_tokenizer.check_segments(&path)?;
        Ok((text_tokenizer, Source { bytes, changes }))
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

    /// Maximum tokens of a text.
    pub(crate) fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The token ids of a text, with special tokens, truncated; `row` is for the error.
    pub(crate) fn ids(&self, row: usize, prefix: &str, text: &str) -> Result<Vec<u32>> {
        let encode = if self.splits_words { long::cut } else { long::whole };
        let encoding = guarded(|| encode(&self.tokenizer, row, prefix, text))
            .map_err(|panic| Error::Tokenise { row, reason: panic.into() })??;
        let ids = encoding.get_ids().to_vec();
        if ids.len() > self.positions {
            let (tokens, positions, limit) = (ids.len(), self.positions, self.max_tokens);
            return Err(Error::TooLong { row, tokens, positions, limit });
        }
        Ok(ids)
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

/// The parts of a tokenizer that differ from its file, as JSON; empty if there are none.
fn differences(file: &Tokenizer, made: &Tokenizer) -> String {
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
            bert::describe(tokenizer.get_model()),
        ]
    };
    let pairs = parts(file).into_iter().zip(parts(made));
    pairs.filter(|(file, made)| file != made).map(|(_, made)| made).collect::<Vec<_>>().join("\n")
}

impl std::fmt::Debug for TextTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextTokenizer").field("max_tokens", &self.max_tokens).finish_non_exhaustive()
    }
}
