//! Builds the tokenizers of BERT and MPNet like transformers' `BertTokenizer` and `MPNetTokenizer`.

use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{Model, ModelWrapper, Tokenizer};

use super::added::Added;
use super::settings::Settings;
use super::vocabulary::Vocabulary;
use crate::files::get;
use crate::{Error, Result};

/// With the file's vocabulary and nothing else of it; special tokens at the ends of a text are left to the caller.
pub(super) fn build(vocabulary: &Vocabulary, settings: &Settings, added: &Added) -> Result<Tokenizer> {
    let path = &vocabulary.path;
    let fail = |reason| Error::Tokenizer { path: path.clone(), reason };
    let ModelWrapper::WordPiece(model) = vocabulary.model() else {
        return Err(
            vocabulary.other_model("WordPiece, as the classes BertTokenizer and MPNetTokenizer have it")
        );
    };
    let mut model: WordPiece = model.clone();
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
    let normalizer = BertNormalizer::new(
        true,
        settings.flag("tokenize_chinese_chars", true)?,
        get(&settings.path, &settings.file, "strip_accents")?,
        settings.flag("do_lower_case", true)?,
    );
    tokenizer.with_normalizer(Some(normalizer)).map_err(fail)?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    added.add_to(path, &mut tokenizer)?;
    Ok(tokenizer)
}
