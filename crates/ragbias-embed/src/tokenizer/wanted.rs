//! What other files of a checkpoint say of its tokenizer.

use crate::config::CheckpointFiles;

/// Settings of a tokenizer from other files.
pub(crate) struct Wanted<'a> {
    /// From `config.json`.
    pub(crate) class: Option<&'a str>,
    /// From `sentence_bert_config.json`.
    pub(crate) max_seq_length: Option<usize>,
    /// From `sentence_bert_config.json` too.
    pub(crate) do_lower_case: bool,
    /// Tokens of the longest text that the encoder can compute.
    pub(crate) positions: usize,
    /// Those of the longest text if no file gives them.
    pub(crate) usual_length: usize,
    /// Whether a text's vector does not depend on padding before it.
    pub(crate) pads_anywhere: bool,
}

impl<'f> Wanted<'f> {
    /// According to a checkpoint's files.
    pub(crate) fn of(files: &'f CheckpointFiles) -> Self {
        Self {
            class: files.tokenizer_class.as_deref(),
            max_seq_length: files.max_seq_length,
            do_lower_case: files.do_lower_case,
            positions: files.config.encoder.most_tokens(),
            usual_length: files.config.encoder.longest_text(),
            pads_anywhere: files.config.pads_anywhere(),
        }
    }
}
