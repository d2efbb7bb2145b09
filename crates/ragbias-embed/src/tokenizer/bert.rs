//! Builds the tokenizer of BERT like transformers' `BertTokenizer`.

use std::path::Path;

use tokenizers::models::wordpiece::WordPiece;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{Model, ModelWrapper, Tokenizer};

use super::added::Added;
use super::between::between;
use super::settings::Settings;
use crate::{Error, Result};

/// From the vocabulary of `tokenizer.json`; the rest of the file is ignored.
pub(super) fn of_file(
    path: &Path,
    loaded: &Tokenizer,
    settings: &Settings,
    added: &Added,
) -> Result<Tokenizer> {
    let ModelWrapper::WordPiece(model) = loaded.get_model() else {
        let expected = "WordPiece, as the class BertTokenizer has it";
        return Err(Error::unsupported(path, "the tokenizer's model", expected, "another"));
    };
    of_model(path, model.clone(), settings, added)
}

/// From `vocab.txt`, one token per line.
pub(super) fn of_vocabulary(path: &Path, settings: &Settings, added: &Added) -> Result<Tokenizer> {
    let fail = |reason| Error::Tokenizer { path: path.into(), reason };
    let model = WordPiece::builder().files(path.to_string_lossy().into_owned()).build().map_err(fail)?;
    of_model(path, model, settings, added)
}

fn of_model(path: &Path, mut model: WordPiece, settings: &Settings, added: &Added) -> Result<Tokenizer> {
    let fail = |reason| Error::Tokenizer { path: path.into(), reason };
    let unknown = added.named("unk_token");
    unknown
        .ok_or_else(|| Error::unsupported(path, "unk_token", "a token", "missing"))?
        .clone_into(&mut model.unk_token);
    if model.token_to_id(&model.unk_token).is_none() {
        let expected = format!("a vocabulary with the token {}", model.unk_token);
        return Err(Error::unsupported(path, "unk_token", expected, "one without it"));
    }
    "##".clone_into(&mut model.continuing_subword_prefix);
    model.max_input_chars_per_word = 100;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_normalizer(Some(settings.normalizer)).map_err(fail)?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    added.add_to(path, &mut tokenizer)?;
    between(path, &mut tokenizer, added, ["cls_token", "sep_token"])?;
    Ok(tokenizer)
}

/// Settings of the WordPiece model; its vocabulary comes from the file.
pub(super) fn describe(model: &ModelWrapper) -> String {
    match model {
        ModelWrapper::WordPiece(model) => format!(
            "{} {} {}",
            model.unk_token, model.continuing_subword_prefix, model.max_input_chars_per_word
        ),
        _ => String::new(),
    }
}
