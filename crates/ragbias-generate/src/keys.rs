//! Which keys of a GGUF file may be left unread: those that change no number here.

/// Keys of the architecture, without its name before them.
const OF_THE_MODEL: [&str; 5] = [
    // The vocabulary is as large as its embedding.
    "vocab_size",
    // How it was trained, not how it is to be run.
    "rope.scaling.finetuned",
    // Without experts, how many of them are used; a file with experts is refused.
    "expert_used_count",
    // Old converters' note on the order of rows, of which only one was ever written.
    "tensor_data_layout",
    // Of embeddings, not of the next token.
    "pooling_type",
];

/// Keys of the tokenizer.
const OF_THE_TOKENIZER: [&str; 25] = [
    // Of byte-level BPE, which reads it; SentencePiece splits nothing beforehand.
    "ggml.pre",
    // Of SentencePiece, which reads it; byte-level BPE adds no space.
    "ggml.add_space_prefix",
    // Ids that no prompt of ours needs.
    "ggml.padding_token_id",
    "ggml.seperator_token_id",
    "ggml.separator_token_id",
    "ggml.cls_token_id",
    "ggml.mask_token_id",
    "ggml.prefix_token_id",
    "ggml.suffix_token_id",
    "ggml.middle_token_id",
    "ggml.fim_pre_token_id",
    "ggml.fim_suf_token_id",
    "ggml.fim_mid_token_id",
    "ggml.fim_pad_token_id",
    "ggml.fim_rep_token_id",
    "ggml.fim_sep_token_id",
    // Of encoders' pairs of texts.
    "ggml.token_type_count",
    "ggml.add_sep_token",
    // Of Unigram models, which are refused.
    "ggml.precompiled_charsmap",
    // Byte-level BPE has no scores, SentencePiece's merges follow from its own.
    "ggml.scores",
    "ggml.merges",
    // The same once more, as Hugging Face writes it.
    "huggingface.json",
    "rwkv.world",
    // Of SentencePiece; byte-level BPE has a token for every byte.
    "ggml.unknown_token_id",
    // Names of the templates beside the one that is used.
    "chat_templates",
];

/// Whether a key that nothing asked for changes no number.
///
/// What stands under another name than the model's and the tokenizer's (`general`, `split`, `quantize`, those of the
/// programs that made the file) describes the file, not the model.
pub(crate) fn is_irrelevant(key: &str, architecture: &str) -> bool {
    if let Some(key) = key.strip_prefix(architecture).and_then(|key| key.strip_prefix('.')) {
        return OF_THE_MODEL.contains(&key);
    }
    match key.strip_prefix("tokenizer.") {
        Some(key) => OF_THE_TOKENIZER.contains(&key) || key.starts_with("chat_template."),
        None => true,
    }
}
