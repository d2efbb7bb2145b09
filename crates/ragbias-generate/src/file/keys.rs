//! Keys of a file that change no number.
//!
//! Any key that is neither requested nor listed here is refused, because a reader that ignores unknown keys can silently
//! give wrong numbers.

use super::value::Value;

/// Ignored keys, each with the reason.
const PASSED_OVER: [(&str, &str); 33] = [
    (
        "general.*",
        "names, authors, licences, sources, sizes, and hints for sampling, which the caller decides",
    ),
    ("split.*", "read with the parts"),
    ("quantize.*", "how the file was quantised; the weights say the rest"),
    ("imatrix.*", "how the file was quantised"),
    ("mradermacher.*", "a publisher's notes on quantisation"),
    ("unsloth.*", "a publisher's notes"),
    ("training.*", "how the model was trained"),
    ("ARCHITECTURE.vocab_size", "the embedding's height, which is compared with the tokens"),
    ("ARCHITECTURE.tensor_data_layout", "the name of the one layout that there is"),
    ("ARCHITECTURE.rope.scaling.finetuned", "whether the model was trained with its scaling"),
    ("tokenizer.chat_templates", "the names of templates for tools and documents"),
    ("tokenizer.chat_template.*", "templates for tools and documents, which no prompt here has"),
    ("tokenizer.huggingface.json", "what the lists of tokens and merges say"),
    ("tokenizer.ggml.token_type_count", "of BERT"),
    ("tokenizer.ggml.add_sep_token", "of BERT"),
    ("tokenizer.ggml.pre", "of byte-level BPE, where it is read"),
    ("tokenizer.ggml.merges", "of byte-level BPE, where they are read"),
    ("tokenizer.ggml.scores", "of SentencePiece, where they are read"),
    ("tokenizer.ggml.bos_token_id", "read where a BOS is put before prompts"),
    ("tokenizer.ggml.unknown_token_id", "byte-level BPE knows every byte"),
    ("tokenizer.ggml.padding_token_id", "nothing is padded"),
    ("tokenizer.ggml.seperator_token_id", "one text is read at a time"),
    ("tokenizer.ggml.separator_token_id", "one text is read at a time"),
    ("tokenizer.ggml.cls_token_id", "of BERT"),
    ("tokenizer.ggml.mask_token_id", "of BERT"),
    ("tokenizer.ggml.fim_pre_token_id", "prompts have no middle to fill in"),
    ("tokenizer.ggml.fim_suf_token_id", "prompts have no middle to fill in"),
    ("tokenizer.ggml.fim_mid_token_id", "prompts have no middle to fill in"),
    ("tokenizer.ggml.prefix_token_id", "prompts have no middle to fill in"),
    ("tokenizer.ggml.suffix_token_id", "prompts have no middle to fill in"),
    ("tokenizer.ggml.middle_token_id", "prompts have no middle to fill in"),
    ("general.alignment", "read with the header"),
    ("general.quantization_version", "read with the file"),
];

/// Keys that would change numbers if they had any other value.
const NEUTRAL: [(&str, Neutral); 21] = [
    ("ARCHITECTURE.attention.causal", Neutral::Flag(true)),
    ("ARCHITECTURE.attention.clamp_kqv", Neutral::Number(0.0)),
    ("ARCHITECTURE.attention.max_alibi_bias", Neutral::Number(0.0)),
    ("ARCHITECTURE.attn_logit_softcapping", Neutral::Number(0.0)),
    ("ARCHITECTURE.final_logit_softcapping", Neutral::Number(0.0)),
    ("ARCHITECTURE.expert_count", Neutral::Number(0.0)),
    ("ARCHITECTURE.expert_used_count", Neutral::Number(0.0)),
    ("ARCHITECTURE.expert_group_count", Neutral::Number(0.0)),
    ("ARCHITECTURE.nextn_predict_layers", Neutral::Number(0.0)),
    ("ARCHITECTURE.pooling_type", Neutral::Number(0.0)),
    ("ARCHITECTURE.use_parallel_residual", Neutral::Flag(false)),
    ("ARCHITECTURE.logit_scale", Neutral::Number(1.0)),
    ("ARCHITECTURE.residual_scale", Neutral::Number(1.0)),
    ("ARCHITECTURE.embedding_scale", Neutral::Number(1.0)),
    ("ARCHITECTURE.rope.scaling.alpha", Neutral::Number(0.0)),
    ("ARCHITECTURE.rope.scaling.yarn_log_multiplier", Neutral::Number(0.0)),
    ("tokenizer.ggml.add_space_prefix", Neutral::Flag(false)),
    ("tokenizer.ggml.remove_extra_whitespaces", Neutral::Flag(false)),
    ("tokenizer.ggml.normalizer.lowercase", Neutral::Flag(false)),
    ("tokenizer.ggml.precompiled_charsmap", Neutral::Nothing),
    ("tokenizer.ggml.suppress_tokens", Neutral::Nothing),
];

#[derive(Debug, Clone, Copy)]
enum Neutral {
    Flag(bool),
    Number(f64),
    /// An empty list.
    Nothing,
}

impl Neutral {
    fn is(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Flag(neutral), Value::Flag(flag)) => neutral == *flag,
            (Self::Number(neutral), Value::Integer(number)) => neutral == *number as f64,
            (Self::Number(neutral), Value::Float(number)) => neutral == *number,
            (Self::Nothing, Value::List { count, .. }) => *count == 0,
            _ => false,
        }
    }

    fn describe(self) -> String {
        match self {
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Nothing => "an empty list".into(),
        }
    }
}

/// Checks a key that was not requested: `Ok` if it changes no number, otherwise the expected value.
pub(crate) fn passed_over(key: &str, architecture: &str, value: &Value) -> Result<(), Option<String>> {
    let matches = |pattern: &str| {
        let rest = match pattern.strip_prefix("ARCHITECTURE") {
            Some(rest) => key.strip_prefix(architecture).map(|key| (key, rest)),
            None => Some((key, pattern)),
        };
        rest.is_some_and(|(key, pattern)| match pattern.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => key == pattern,
        })
    };
    if PASSED_OVER.iter().any(|(pattern, _)| matches(pattern)) {
        return Ok(());
    }
    match NEUTRAL.iter().find(|(pattern, _)| matches(pattern)) {
        Some((_, neutral)) if neutral.is(value) => Ok(()),
        Some((_, neutral)) => Err(Some(neutral.describe())),
        None => Err(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_change_nothing_is_passed_over() {
        let over = |key, value| passed_over(key, "llama", &value);
        assert_eq!(over("general.name", Value::Integer(1)), Ok(()));
        assert_eq!(over("llama.expert_count", Value::Integer(0)), Ok(()));
        assert_eq!(over("llama.expert_count", Value::Integer(8)), Err(Some("0".into())));
        assert_eq!(over("llama.logit_scale", Value::Float(0.5)), Err(Some("1".into())));
        assert_eq!(over("llama.surprise", Value::Integer(0)), Err(None));
        assert_eq!(over("gemma3.vocab_size", Value::Integer(5)), Err(None));
    }
}
