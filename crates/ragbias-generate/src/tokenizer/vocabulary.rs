//! The lists of tokens in a file.

use crate::file::GgufFile;
use crate::{Error, Result};

/// The file's lists of tokens.
pub(super) struct Vocabulary {
    pub(super) texts: Vec<String>,
    /// `tokenizer.ggml.token_type`.
    pub(super) kinds: Vec<i64>,
}

/// Kinds of tokens.
pub(super) const NORMAL: i64 = 1;
pub(super) const CONTROL: i64 = 3;
pub(super) const USER_DEFINED: i64 = 4;

impl Vocabulary {
    pub(super) fn read(file: &GgufFile) -> Result<Self> {
        let key = "tokenizer.ggml.tokens";
        let texts = file.texts(key)?.ok_or_else(|| wrong(file, format!("no list {key}")))?;
        let key = "tokenizer.ggml.token_type";
        let kinds = file.integers(key)?.unwrap_or_else(|| vec![NORMAL; texts.len()]);
        if texts.is_empty() || kinds.len() != texts.len() {
            let (tokens, received) = (texts.len(), kinds.len());
            return Err(wrong(file, format!("{key} has {received} kinds for {tokens} tokens")));
        }
        if let Some(other) = kinds.iter().find(|kind| !(0..=6).contains(*kind)) {
            return Err(wrong(file, format!("{key} has a kind {other}, expected 0 to 6")));
        }
        Ok(Self { texts, kinds })
    }

    pub(super) fn of_kind(&self, kind: i64) -> impl Iterator<Item = &String> {
        self.texts.iter().zip(&self.kinds).filter(move |(_, k)| **k == kind).map(|(text, _)| text)
    }

    pub(super) fn ids(&self) -> tokenizers::models::bpe::Vocab {
        self.texts.iter().enumerate().map(|(id, text)| (text.clone(), id as u32)).collect()
    }
}

pub(super) fn wrong(file: &GgufFile, reason: String) -> Error {
    Error::Tokenizer { path: file.path().into(), reason }
}
