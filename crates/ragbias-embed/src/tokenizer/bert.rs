//! The tokenizer of BERT as transformers' `BertTokenizer` makes it.

use std::path::Path;

use tokenizers::models::wordpiece::WordPiece;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{ModelWrapper, Tokenizer};

use super::added::Added;
use super::settings::Settings;
use crate::{Error, Result};

/// Out of the vocabulary of `tokenizer.json`, of which nothing else counts.
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

/// Out of `vocab.txt`, a token a line.
pub(super) fn of_vocabulary(path: &Path, settings: &Settings, added: &Added) -> Result<Tokenizer> {
    let fail = |reason| Error::Tokenizer { path: path.into(), reason };
    let model = WordPiece::builder().files(path.to_string_lossy().into_owned()).build().map_err(fail)?;
    of_model(path, model, settings, added)
}

fn of_model(path: &Path, mut model: WordPiece, settings: &Settings, added: &Added) -> Result<Tokenizer> {
    let fail = |reason| Error::Tokenizer { path: path.into(), reason };
    let missing = |key: &'static str| Error::unsupported(path, key, "a token", "missing");
    let token = |key: &'static str| added.named(key).ok_or_else(|| missing(key));
    token("unk_token")?.clone_into(&mut model.unk_token);
    "##".clone_into(&mut model.continuing_subword_prefix);
    model.max_input_chars_per_word = 100;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_normalizer(Some(settings.normalizer)).map_err(fail)?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    added.add_to(path, &mut tokenizer)?;
    let id = |key: &'static str| -> Result<(String, u32)> {
        let content = token(key)?;
        Ok((content.to_owned(), tokenizer.token_to_id(content).ok_or_else(|| missing(key))?))
    };
    let (first, last) = (id("cls_token")?, id("sep_token")?);
    let template = TemplateProcessing::builder()
        .try_single(format!("{}:0 $A:0 {}:0", first.0, last.0))
        .and_then(|builder| builder.try_pair(format!("{0}:0 $A:0 {1}:0 $B:1 {1}:1", first.0, last.0)))
        .map(|builder| builder.special_tokens(vec![first, last]).build());
    match template {
        Ok(Ok(template)) => tokenizer.with_post_processor(Some(template)),
        Ok(Err(error)) => return Err(fail(error.to_string().into())),
        Err(error) => return Err(fail(error.into())),
    };
    Ok(tokenizer)
}

/// Settings of a model of the kind; its vocabulary is its file's.
pub(super) fn describe(model: &ModelWrapper) -> String {
    match model {
        ModelWrapper::WordPiece(model) => format!(
            "{} {} {}",
            model.unk_token, model.continuing_subword_prefix, model.max_input_chars_per_word
        ),
        _ => String::new(),
    }
}
