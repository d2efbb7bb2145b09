//! Builds the tokenizer of RoBERTa like transformers' `RobertaTokenizer`.

use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{ModelWrapper, Tokenizer};

use super::added::Added;
use super::between::Ends;
use super::settings::Settings;
use super::vocabulary::Vocabulary;
use crate::{Error, Result};

/// With the file's vocabulary and merges, and nothing else of it.
pub(super) fn build(vocabulary: &Vocabulary, settings: &Settings, added: &Added) -> Result<Tokenizer> {
    let path = &vocabulary.path;
    let ModelWrapper::BPE(model) = vocabulary.model() else {
        return Err(vocabulary.other_model("BPE, as the class RobertaTokenizer has it"));
    };
    // The merges were read with this prefix, and the class reads them without it.
    if let Some(prefix) = model.continuing_subword_prefix.as_ref().filter(|prefix| !prefix.is_empty()) {
        return Err(Error::unsupported(path, "continuing_subword_prefix", "an empty one", prefix));
    }
    let mut model = model.clone();
    model.dropout = None;
    model.unk_token = None;
    model.end_of_word_suffix = None;
    model.fuse_unk = false;
    model.byte_fallback = false;
    model.ignore_merges = false;
    let prepends = settings.flag("add_prefix_space", false)?;
    let trims = settings.flag("trim_offsets", true)?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(prepends, true, true)));
    added.add_to(path, &mut tokenizer)?;
    let ends = Ends::of(path, &tokenizer, added, ["cls_token", "sep_token"])?;
    tokenizer.with_post_processor(Some(ends.roberta(trims, prepends)));
    Ok(tokenizer)
}
