//! Texts between special tokens.

use std::path::Path;

use tokenizers::Tokenizer;
use tokenizers::processors::template::TemplateProcessing;

use super::added::Added;
use crate::{Error, Result};

/// Puts a text between two special tokens, and a second text after it, followed by the latter of them.
pub(super) fn between(
    path: &Path,
    tokenizer: &mut Tokenizer,
    added: &Added,
    keys: [&'static str; 2],
) -> Result<()> {
    let fail = |reason| Error::Tokenizer { path: path.into(), reason };
    let token = |key: &'static str| -> Result<(String, u32)> {
        let token =
            added.named(key).and_then(|token| Some((token.to_owned(), tokenizer.token_to_id(token)?)));
        token.ok_or_else(|| Error::unsupported(path, key, "a token of the vocabulary", "missing"))
    };
    let [first, last] = [token(keys[0])?, token(keys[1])?];
    let template = TemplateProcessing::builder()
        .try_single(format!("{}:0 $A:0 {}:0", first.0, last.0))
        .and_then(|builder| builder.try_pair(format!("{0}:0 $A:0 {1}:0 $B:1 {1}:1", first.0, last.0)))
        .map(|builder| builder.special_tokens(vec![first, last]).build());
    match template {
        Ok(Ok(template)) => tokenizer.with_post_processor(Some(template)),
        Ok(Err(error)) => return Err(fail(error.to_string().into())),
        Err(error) => return Err(fail(error.into())),
    };
    Ok(())
}
