//! The files with a tokenizer's vocabulary.

use std::path::{Path, PathBuf};

use tokenizers::models::bpe::BPE;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::{ModelWrapper, Tokenizer};

use super::class::Class;
use super::json;
use crate::files::read;
use crate::{Error, Result};

/// A tokenizer's vocabulary, and the bytes that determine it.
pub(super) struct Vocabulary {
    /// The file; the first of two.
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    from: From,
}

enum From {
    /// `tokenizer.json`.
    Whole(Box<Tokenizer>),
    /// `vocab.txt`, or `vocab.json` and `merges.txt`.
    Model(Box<ModelWrapper>),
}

impl Vocabulary {
    /// Reads `tokenizer.json`, or the files that transformers reads without one.
    pub(super) fn read(folder: &Path, class: Class) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        if path.is_file() {
            return Self::of_whole(path);
        }
        match class {
            Class::Bert | Class::Mpnet if folder.join("vocab.txt").is_file() => {
                Self::of_words(folder.join("vocab.txt"))
            }
            Class::Roberta | Class::Clip if folder.join("vocab.json").is_file() => Self::of_merges(folder),
            _ => Err(Error::MissingFile { folder: folder.into(), file: "tokenizer.json" }),
        }
    }

    fn of_whole(path: PathBuf) -> Result<Self> {
        let bytes = read(&path)?;
        json::check(&path, &bytes)?;
        let tokenizer = Tokenizer::from_bytes(&bytes)
            .map_err(|reason| Error::Tokenizer { path: path.clone(), reason })?;
        Ok(Self { path, bytes, from: From::Whole(Box::new(tokenizer)) })
    }

    /// `vocab.txt`, one token per line.
    fn of_words(path: PathBuf) -> Result<Self> {
        let bytes = read(&path)?;
        let model = WordPiece::builder().files(path.to_string_lossy().into_owned()).build();
        let model = model.map_err(|reason| Error::Tokenizer { path: path.clone(), reason })?;
        Ok(Self { path, bytes, from: From::Model(Box::new(model.into())) })
    }

    /// `vocab.json`, ids by token, and `merges.txt`, one pair of tokens per line.
    fn of_merges(folder: &Path) -> Result<Self> {
        let [path, merges] = ["vocab.json", "merges.txt"].map(|name| folder.join(name));
        if !merges.is_file() {
            return Err(Error::MissingFile { folder: folder.into(), file: "merges.txt" });
        }
        let mut bytes = read(&path)?;
        // JSON holds no zero byte: where the second file begins is unambiguous.
        bytes.push(0);
        bytes.extend(read(&merges)?);
        let [vocabulary, pairs] = [&path, &merges].map(|path| path.to_string_lossy().into_owned());
        let model = BPE::from_file(&vocabulary, &pairs).build();
        let model = model.map_err(|reason| Error::Tokenizer { path: merges, reason })?;
        Ok(Self { path, bytes, from: From::Model(Box::new(model.into())) })
    }

    /// The tokenizer of `tokenizer.json`, if the vocabulary comes from there.
    pub(super) fn whole(&self) -> Option<&Tokenizer> {
        match &self.from {
            From::Whole(tokenizer) => Some(tokenizer),
            From::Model(_) => None,
        }
    }

    pub(super) fn model(&self) -> &ModelWrapper {
        match &self.from {
            From::Whole(tokenizer) => tokenizer.get_model(),
            From::Model(model) => model,
        }
    }

    /// The error for a vocabulary of a kind that the class does not have.
    pub(super) fn other_model(&self, expected: &'static str) -> Error {
        Error::unsupported(&self.path, "the tokenizer's model", expected, kind(self.model()))
    }
}

fn kind(model: &ModelWrapper) -> &'static str {
    match model {
        ModelWrapper::BPE(_) => "BPE",
        ModelWrapper::WordPiece(_) => "WordPiece",
        ModelWrapper::WordLevel(_) => "WordLevel",
        ModelWrapper::Unigram(_) => "Unigram",
    }
}
