//! Builds the tokenizer of XLM-RoBERTa like transformers' `XLMRobertaTokenizer`.

use serde::Deserialize;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{ModelWrapper, Tokenizer};

use super::added::Added;
use super::between::Ends;
use super::settings::Settings;
use super::vocabulary::Vocabulary;
use crate::files::parse_json;
use crate::{Error, Result};

/// The id that the class gives the unknown token, whatever the file says.
const UNKNOWN: usize = 3;

#[derive(Deserialize)]
struct File {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    unk_id: Option<usize>,
}

/// With the file's vocabulary and the character map in its normaliser, and nothing else of it.
pub(super) fn build(vocabulary: &Vocabulary, settings: &Settings, added: &Added) -> Result<Tokenizer> {
    let Vocabulary { path, bytes, .. } = vocabulary;
    let fail = |reason| Error::Tokenizer { path: path.clone(), reason };
    let ModelWrapper::Unigram(model) = vocabulary.model() else {
        return Err(vocabulary.other_model("Unigram, as the class XLMRobertaTokenizer has it"));
    };
    let unknown = parse_json::<File>(path, bytes)?.model.unk_id;
    if unknown != Some(UNKNOWN) {
        let expected = "3, which the class XLMRobertaTokenizer takes";
        return Err(Error::unsupported(path, "unk_id", expected, format!("{unknown:?}")));
    }
    let characters = vocabulary.whole().and_then(|whole| character_map(whole.get_normalizer()?));
    let mut tokenizer = Tokenizer::new(model.clone());
    tokenizer.with_normalizer(characters).map_err(fail)?;
    let prepends = settings.flag("add_prefix_space", true)?;
    let scheme = if prepends { PrependScheme::Always } else { PrependScheme::Never };
    let spaces = Metaspace::new('\u{2581}', scheme, true);
    tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![WhitespaceSplit.into(), spaces.into()])));
    added.add_to(path, &mut tokenizer)?;
    let ends = Ends::of(path, &tokenizer, added, ["bos_token", "eos_token"])?;
    tokenizer.with_post_processor(Some(ends.template(path)?));
    Ok(tokenizer)
}

/// SentencePiece's own normalisation, alone or in a sequence.
fn character_map(normalizer: &NormalizerWrapper) -> Option<NormalizerWrapper> {
    match normalizer {
        NormalizerWrapper::Precompiled(_) => Some(normalizer.clone()),
        NormalizerWrapper::Sequence(parts) => parts.as_ref().iter().find_map(character_map),
        _ => None,
    }
}
