//! Builds the tokenizer of XLM-RoBERTa like transformers' `XLMRobertaTokenizer`.

use std::path::Path;

use serde::Deserialize;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{ModelWrapper, Tokenizer};

use super::added::Added;
use super::between::between;
use super::settings::Settings;
use crate::files::{get, parse_json};
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

/// From the vocabulary of `tokenizer.json` and the character map in its normaliser; the rest of the file is ignored.
pub(super) fn of_file(
    path: &Path,
    bytes: &[u8],
    loaded: &Tokenizer,
    settings: &Settings,
    added: &Added,
) -> Result<Tokenizer> {
    let fail = |reason| Error::Tokenizer { path: path.into(), reason };
    let ModelWrapper::Unigram(model) = loaded.get_model() else {
        let expected = "Unigram, as the class XLMRobertaTokenizer has it";
        return Err(Error::unsupported(path, "the tokenizer's model", expected, "another"));
    };
    let unknown = parse_json::<File>(path, bytes)?.model.unk_id;
    if unknown != Some(UNKNOWN) {
        let expected = "3, which the class XLMRobertaTokenizer takes";
        return Err(Error::unsupported(path, "unk_id", expected, format!("{unknown:?}")));
    }
    let mut tokenizer = Tokenizer::new(model.clone());
    tokenizer.with_normalizer(loaded.get_normalizer().and_then(character_map)).map_err(fail)?;
    let prepends = get::<bool>(path, &settings.file, "add_prefix_space")?.unwrap_or(true);
    let scheme = if prepends { PrependScheme::Always } else { PrependScheme::Never };
    let spaces = Metaspace::new('\u{2581}', scheme, true);
    tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![WhitespaceSplit.into(), spaces.into()])));
    added.add_to(path, &mut tokenizer)?;
    between(path, &mut tokenizer, added, ["bos_token", "eos_token"])?;
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
