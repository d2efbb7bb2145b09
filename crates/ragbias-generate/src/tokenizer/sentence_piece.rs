//! SentencePiece's BPE, whose merges follow from its scores.

use std::collections::HashMap;

use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{Prepend, Replace, Sequence as Normalizers};
use tokenizers::{DecoderWrapper, NormalizerWrapper, Tokenizer};

use super::special::Special;
use super::vocabulary::{CONTROL, USER_DEFINED, Vocabulary, wrong};
use crate::Result;
use crate::file::GgufFile;

/// SentencePiece's BPE: it has no list of merges, but a score for every piece; the pair whose piece has the highest score is
/// merged first, so the merges are all ways to split a piece in two, sorted by its score.
pub(super) fn load(file: &GgufFile, vocabulary: &Vocabulary, special: &mut Special) -> Result<Tokenizer> {
    let Vocabulary { texts, kinds } = vocabulary;
    let wrong = |reason: String| wrong(file, reason);
    // SentencePiece's own ids, if the file has none.
    special.bos = special.bos.or(Some(1).filter(|_| texts.len() > 1));
    special.eos = special.eos.or(Some(2).filter(|_| texts.len() > 2));
    special.ends.extend(special.eos);
    special.adds_bos_unless_told(true);
    let key = "tokenizer.ggml.scores";
    let scores = file.floats(key)?.ok_or_else(|| wrong(format!("no list {key}")))?;
    if scores.len() != texts.len() {
        let (tokens, received) = (texts.len(), scores.len());
        return Err(wrong(format!("{received} scores for {tokens} tokens")));
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
        BPE::builder().vocab_and_merges(vocabulary.ids(), merges).byte_fallback(true).fuse_unk(true);
    let unknown = file.number("tokenizer.ggml.unknown_token_id")?.unwrap_or(0);
    builder = builder.unk_token(text(unknown));
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
