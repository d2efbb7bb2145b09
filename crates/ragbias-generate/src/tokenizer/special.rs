//! Special tokens at the beginning and end of texts.

use super::vocabulary::{CONTROL, NORMAL, USER_DEFINED, Vocabulary, wrong};
use crate::Result;
use crate::file::GgufFile;

#[derive(Debug)]
pub(super) struct Special {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    /// Whether BOS precedes prompts.
    pub(super) adds_bos: bool,
    /// The value in the file, whatever the kind of tokenizer.
    says: Option<bool>,
    /// Tokens that end an answer.
    pub(super) ends: Vec<u32>,
}

/// Texts of tokens that end answers and turns, as in llama.cpp.
const ENDS: [&str; 22] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

/// Keys of further tokens that end an answer.
const END_KEYS: [&str; 5] =
    ["eot_token_id", "eom_token_id", "fim_pad_token_id", "fim_rep_token_id", "fim_sep_token_id"];

impl Special {
    pub(super) fn read(file: &GgufFile, vocabulary: &Vocabulary) -> Result<Self> {
        let count = vocabulary.texts.len();
        let id = |name: &str| {
            let key = format!("tokenizer.ggml.{name}");
            match file.number(&key)? {
                Some(id) if id as usize >= count => Err(wrong(
                    file,
                    format!("{key} is {id}, expected less than {count}, the number of tokens"),
                )),
                id => Ok(id),
            }
        };
        let (bos, eos) = (id("bos_token_id")?, id("eos_token_id")?);
        id("unknown_token_id")?;
        let mut ends: Vec<u32> = eos.into_iter().collect();
        for name in END_KEYS {
            ends.extend(id(name)?);
        }
        let known = vocabulary.texts.iter().zip(&vocabulary.kinds).enumerate().filter(|(_, (text, kind))| {
            matches!(**kind, NORMAL | CONTROL | USER_DEFINED) && ENDS.contains(&text.as_str())
        });
        ends.extend(known.map(|(id, _)| id as u32));
        // Harmony's `<|end|>` ends a message, after which the answer may follow.
        let has = |text: &str| ends.iter().any(|&end| vocabulary.texts[end as usize] == text);
        if has("<|call|>") && has("<|return|>") || has("<|calls|>") && has("<|flush|>") {
            ends.retain(|&end| vocabulary.texts[end as usize] != "<|end|>");
        }
        if file.flag("tokenizer.ggml.add_eos_token")? == Some(true) {
            return Err(file.refused(
                "`tokenizer.ggml.add_eos_token`".into(),
                "it is true: an EOS after the prompt would end the text before the answer".into(),
                "this is how models are trained, or embed; set the flag to false: `gguf-set-metadata FILE \
                 tokenizer.ggml.add_eos_token 0`",
            ));
        }
        let says = file.flag("tokenizer.ggml.add_bos_token")?;
        Ok(Self { bos, eos, adds_bos: says == Some(true), says, ends })
    }

    /// Whether BOS precedes a text by default for tokenizers of this kind.
    pub(super) fn adds_bos_unless_told(&mut self, adds_bos: bool) {
        self.adds_bos = self.says.unwrap_or(adds_bos);
    }

    pub(super) fn check(&self, file: &GgufFile) -> Result<()> {
        if self.adds_bos && self.bos.is_none() {
            return Err(wrong(
                file,
                "a BOS is put before prompts, but there is no tokenizer.ggml.bos_token_id".into(),
            ));
        }
        Ok(())
    }
}
