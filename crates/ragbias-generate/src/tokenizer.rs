//! Tokenizers as GGUF files hold them: byte-level BPE (`gpt2`) and SentencePiece (`llama`).

use std::collections::HashMap;

use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{Prepend, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer,
};

use crate::file::{GgufFile, integer};
use crate::{Error, Result};

/// A tokenizer with the ids that a generator needs.
pub(crate) struct Tokens {
    tokenizer: Tokenizer,
    /// Put before every text, where the model wants it.
    bos: Option<u32>,
    /// Put after every text, where the model wants it.
    eos: Option<u32>,
    /// Tokens that end an answer.
    ends: Vec<u32>,
}

/// Kinds of tokens in `tokenizer.ggml.token_type`.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

impl Tokens {
    pub(crate) fn load(file: &GgufFile) -> Result<Self> {
        let wrong = |reason: String| Error::Tokenizer { path: file.path().into(), reason };
        let texts = texts(file, "tokenizer.ggml.tokens")?;
        let kinds: Vec<i64> = match file.list("tokenizer.ggml.token_type")? {
            Some(kinds) => kinds
                .iter()
                .map(|kind| {
                    integer(kind)
                        .ok_or_else(|| wrong("tokenizer.ggml.token_type holds other than numbers".into()))
                })
                .collect::<Result<_>>()?,
            None => vec![1; texts.len()],
        };
        if kinds.len() != texts.len() {
            return Err(wrong(format!("{} kinds for {} tokens", kinds.len(), texts.len())));
        }
        let (mut tokenizer, adds_bos) = match file.text("tokenizer.ggml.model")? {
            Some("gpt2") => byte_level(file, &texts)?,
            Some("llama") => (sentence_piece(file, &texts, &kinds)?, true),
            other => {
                let received = other.unwrap_or("absent");
                return Err(wrong(format!("tokenizer.ggml.model is {received}, expected gpt2 or llama")));
            }
        };
        let of_kind =
            |kind: i64| texts.iter().zip(&kinds).filter(move |(_, k)| **k == kind).map(|(text, _)| text);
        let control: Vec<_> = of_kind(CONTROL).map(|text| AddedToken::from(text.clone(), true)).collect();
        // Runs of spaces and line breaks, found in the text as the normaliser leaves it.
        let defined: Vec<_> = of_kind(USER_DEFINED)
            .map(|text| AddedToken::from(text.clone(), false).normalized(true))
            .collect();
        tokenizer.add_special_tokens(control).map_err(|error| wrong(error.to_string()))?;
        tokenizer.add_tokens(defined).map_err(|error| wrong(error.to_string()))?;
        let id = |name: &str| -> Result<Option<u32>> {
            let key = format!("tokenizer.ggml.{name}_token_id");
            match file.number(&key)? {
                Some(id) if id as usize >= texts.len() => Err(wrong(format!(
                    "{key} is {id}, expected less than {}, the number of tokens",
                    texts.len()
                ))),
                id => Ok(id),
            }
        };
        let (bos, eos) = (id("bos")?, id("eos")?);
        let turn_ends = ["<|im_end|>", "<|endoftext|>", "<end_of_turn>", "<|eot_id|>", "</s>", "<eos>"];
        let ends = turn_ends.iter().filter_map(|text| tokenizer.token_to_id(text));
        let ends = ends.chain(eos).chain(id("eot")?).chain(id("eom")?).collect();
        let wanted = |name: &str, default: bool, token: Option<u32>| -> Result<Option<u32>> {
            let key = format!("tokenizer.ggml.add_{name}_token");
            match (file.flag(&key)?, token) {
                (Some(true), None) => {
                    Err(wrong(format!("{key} is true, and there is no tokenizer.ggml.{name}_token_id")))
                }
                (Some(true), token) => Ok(token),
                (None, token) if default => Ok(token),
                _ => Ok(None),
            }
        };
        let (bos, eos) = (wanted("bos", adds_bos, bos)?, wanted("eos", false, eos)?);
        Ok(Self { tokenizer, bos, eos, ends })
    }

    /// The ids of a text, with the model's BOS before them and its EOS after them, where it wants them and they are not there
    /// already.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, tokenizers::Error> {
        let encoding = self.tokenizer.encode_fast(text, false)?;
        let ids = encoding.get_ids();
        let bos = self.bos.filter(|bos| ids.first() != Some(bos));
        let eos = self.eos.filter(|eos| ids.last() != Some(eos));
        Ok(bos.into_iter().chain(ids.iter().copied()).chain(eos).collect())
    }

    pub(crate) fn decode(&self, ids: &[u32]) -> Result<String, tokenizers::Error> {
        self.tokenizer.decode(ids, true)
    }

    pub(crate) fn ends(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    pub(crate) fn text_of(&self, id: Option<u32>) -> String {
        id.and_then(|id| self.tokenizer.id_to_token(id)).unwrap_or_default()
    }

    /// The ids of a letter as an answer's first token: with and without a space before it.
    pub(crate) fn letter(&self, letter: &str) -> Vec<u32> {
        let spellings = [letter.to_owned(), format!("Ġ{letter}"), format!("▁{letter}")];
        spellings.iter().filter_map(|spelling| self.tokenizer.token_to_id(spelling)).collect()
    }
}

fn texts(file: &GgufFile, key: &str) -> Result<Vec<String>> {
    let missing = || Error::Tokenizer { path: file.path().into(), reason: format!("no list {key}") };
    let values = file.list(key)?.ok_or_else(missing)?;
    values.iter().map(|value| value.to_string().cloned().map_err(|_| missing())).collect()
}

fn vocabulary(texts: &[String]) -> tokenizers::models::bpe::Vocab {
    texts.iter().enumerate().map(|(id, text)| (text.clone(), id as u32)).collect()
}

/// GPT-2's byte-level BPE, with the pre-tokenizer that `tokenizer.ggml.pre` names; and whether its models begin with BOS where
/// the file does not say, as in llama.cpp.
fn byte_level(file: &GgufFile, texts: &[String]) -> Result<(Tokenizer, bool)> {
    let wrong = |reason: String| Error::Tokenizer { path: file.path().into(), reason };
    let merges = self::texts(file, "tokenizer.ggml.merges")?
        .iter()
        .map(|merge| match merge.split_once(' ') {
            Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
            None => Err(wrong(format!("merge `{merge}` is not two tokens with a space between them"))),
        })
        .collect::<Result<Vec<_>>>()?;
    let plain = || PreTokenizerWrapper::from(ByteLevel::new(false, true, true));
    let split = |pattern: &str| -> Result<PreTokenizerWrapper> {
        let split = Split::new(SplitPattern::Regex(pattern.into()), SplitDelimiterBehavior::Isolated, false)
            .map_err(|error| wrong(error.to_string()))?;
        let bytes = ByteLevel::new(false, true, false);
        Ok(PreTokenizers::new(vec![split.into(), bytes.into()]).into())
    };
    // The patterns are the models' own, as their authors published them.
    let pre = file.text("tokenizer.ggml.pre")?;
    let (pre_tokenizer, ignore_merges) = match pre.unwrap_or("absent") {
        "gpt-2" => (plain(), false),
        "smollm" => (PreTokenizers::new(vec![Digits::new(true).into(), plain()]).into(), false),
        "llama-bpe" | "llama3" | "llama-v3" => (
            split(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
            )?,
            true,
        ),
        other => {
            return Err(wrong(format!(
                "tokenizer.ggml.pre is {other}, expected gpt-2, smollm, llama-bpe or llama3, since another way of splitting \
                 gives other tokens; convert the model again with a converter that knows it"
            )));
        }
    };
    let model = BPE::builder()
        .vocab_and_merges(vocabulary(texts), merges)
        .ignore_merges(ignore_merges)
        .build()
        .map_err(|error| wrong(error.to_string()))?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer));
    tokenizer.with_decoder(Some(ByteLevel::new(false, true, true)));
    Ok((tokenizer, ignore_merges))
}

/// SentencePiece's BPE: no list of merges, but a score for every piece; the pair whose piece has the highest score is
/// merged first, so the merges are all ways to cut a piece in two, in the order of its score.
fn sentence_piece(file: &GgufFile, texts: &[String], kinds: &[i64]) -> Result<Tokenizer> {
    let wrong = |reason: String| Error::Tokenizer { path: file.path().into(), reason };
    let scores =
        file.list("tokenizer.ggml.scores")?.ok_or_else(|| wrong("no list tokenizer.ggml.scores".into()))?;
    let scores: Vec<f32> = scores
        .iter()
        .map(|score| {
            score.to_f32().map_err(|_| wrong("tokenizer.ggml.scores holds other than numbers".into()))
        })
        .collect::<Result<_>>()?;
    if scores.len() != texts.len() || kinds.len() != texts.len() {
        let (tokens, received) = (texts.len(), scores.len());
        return Err(wrong(format!("{received} scores and {} kinds for {tokens} tokens", kinds.len())));
    }
    let ids: HashMap<&str, u32> =
        texts.iter().enumerate().map(|(id, text)| (text.as_str(), id as u32)).collect();
    let mut merges = Vec::new();
    for (id, text) in texts.iter().enumerate() {
        if matches!(kinds[id], CONTROL | USER_DEFINED) {
            continue;
        }
        for (cut, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(cut);
            if let (Some(&left), Some(&right)) = (ids.get(left), ids.get(right)) {
                merges.push((scores[id], left, right));
            }
        }
    }
    merges.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let text = |id: u32| texts[id as usize].clone();
    let merges = merges.into_iter().map(|(_, left, right)| (text(left), text(right))).collect();
    let mut builder =
        BPE::builder().vocab_and_merges(vocabulary(texts), merges).byte_fallback(true).fuse_unk(true);
    match file.number("tokenizer.ggml.unknown_token_id")? {
        Some(id) if id as usize >= texts.len() => {
            return Err(wrong(format!(
                "tokenizer.ggml.unknown_token_id is {id}, expected less than {}",
                texts.len()
            )));
        }
        Some(id) => builder = builder.unk_token(text(id)),
        None => {}
    }
    let mut tokenizer = Tokenizer::new(builder.build().map_err(|error| wrong(error.to_string()))?);
    let spaces = Replace::new(" ", "▁").map_err(|error| wrong(error.to_string()))?;
    let mut normalizers: Vec<NormalizerWrapper> = vec![spaces.into()];
    if file.flag("tokenizer.ggml.add_space_prefix")? != Some(false) {
        normalizers.insert(0, Prepend::new("▁".into()).into());
    }
    tokenizer
        .with_normalizer(Some(Normalizers::new(normalizers)))
        .map_err(|error| wrong(error.to_string()))?;
    let back = Replace::new("▁", " ").map_err(|error| wrong(error.to_string()))?;
    let decoders: Vec<DecoderWrapper> = vec![back.into(), ByteFallback::new().into(), Fuse::new().into()];
    tokenizer.with_decoder(Some(tokenizers::decoders::sequence::Sequence::new(decoders)));
    Ok(tokenizer)
}
