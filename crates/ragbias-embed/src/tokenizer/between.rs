//! Texts between special tokens.

use std::path::Path;

use tokenizers::Tokenizer;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::processors::template::TemplateProcessing;

use super::added::Added;
use crate::{Error, Result};

/// The special tokens before and after a text, with their ids.
pub(super) struct Ends {
    first: (String, u32),
    last: (String, u32),
}

impl Ends {
    /// `keys` are those of the first and the last token.
    pub(super) fn of(
        path: &Path,
        tokenizer: &Tokenizer,
        added: &Added,
        keys: [&'static str; 2],
    ) -> Result<Self> {
        let token = |key: &'static str| -> Result<(String, u32)> {
            let token =
                added.named(key).and_then(|token| Some((token.to_owned(), tokenizer.token_to_id(token)?)));
            token.ok_or_else(|| Error::unsupported(path, key, "a token of the vocabulary", "missing"))
        };
        Ok(Self { first: token(keys[0])?, last: token(keys[1])? })
    }

    /// One text between both; a second one after it, followed by the last.
    pub(super) fn template(self, path: &Path) -> Result<TemplateProcessing> {
        let fail = |reason| Error::Tokenizer { path: path.into(), reason };
        let Self { first, last } = self;
        let template = TemplateProcessing::builder()
            .try_single(format!("{}:0 $A:0 {}:0", first.0, last.0))
            .and_then(|builder| builder.try_pair(format!("{0}:0 $A:0 {1}:0 $B:1 {1}:1", first.0, last.0)))
            .map(|builder| builder.special_tokens(vec![first, last]).build());
        match template {
            Ok(Ok(template)) => Ok(template),
            Ok(Err(error)) => Err(fail(error.to_string().into())),
            Err(error) => Err(fail(error.into())),
        }
    }

    /// One text between both; offsets with or without the spaces of a byte-level tokenizer.
    pub(super) fn roberta(self, trims_offsets: bool, prepends_space: bool) -> RobertaProcessing {
        RobertaProcessing::new(self.last, self.first)
            .trim_offsets(trims_offsets)
            .add_prefix_space(prepends_space)
    }
}
