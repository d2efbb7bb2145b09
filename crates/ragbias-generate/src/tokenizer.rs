//! The tokenizers in GGUF files: byte-level BPE (`gpt2`) and SentencePiece (`llama`).

mod byte_level;
mod sentence_piece;
mod special;
mod vocabulary;

use ragbias_core::guarded;
use tokenizers::{AddedToken, Tokenizer};

use self::special::Special;
use self::vocabulary::{CONTROL, USER_DEFINED, Vocabulary, wrong};
use crate::Result;
use crate::file::GgufFile;

/// Control tokens of Phi-3 after which white space is kept.
const KEEP_SPACE: [&str; 3] = ["<unk>", "<s>", "<|endoftext|>"];

/// Whether white space after control tokens is dropped: Phi-3's SentencePiece tokenizer does, and no key says so.
fn strips_after_control(file: &GgufFile) -> Result<bool> {
    let phi = file.text("general.architecture")? == Some("phi3");
    Ok(phi && file.text("tokenizer.ggml.model")? == Some("llama"))
}

/// A tokenizer with the token ids that a generator needs.
pub(crate) struct Tokens {
    tokenizer: Tokenizer,
    special: Special,
    count: usize,
    longest: usize,
}

impl Tokens {
    pub(crate) fn load(file: &GgufFile) -> Result<Self> {
        let mut vocabulary = Vocabulary::read(file)?;
        let mut special = Special::read(file, &vocabulary)?;
        // A token that ends an answer must be a special token, although some files declare it as ordinary text.
        for &end in &special.ends {
            vocabulary.kinds[end as usize] = CONTROL;
        }
        let mut tokenizer = match file.text("tokenizer.ggml.model")? {
            Some("gpt2") => byte_level::load(file, &vocabulary, &mut special)?,
            Some("llama") => sentence_piece::load(file, &vocabulary, &mut special)?,
            other => {
                let received = other.unwrap_or("absent").escape_debug();
                return Err(wrong(
                    file,
                    format!("tokenizer.ggml.model is {received}, expected gpt2 or llama"),
                ));
            }
        };
        special.check(file)?;
        let strips = strips_after_control(file)?;
        let control: Vec<_> = vocabulary
            .of_kind(CONTROL)
            .map(|text| {
                let strips = strips && !KEEP_SPACE.contains(&text.as_str());
                AddedToken::from(text.clone(), true).rstrip(strips)
            })
            .collect();
        // Runs of spaces and line breaks, matched in the normalised text.
        let defined: Vec<_> = vocabulary
            .of_kind(USER_DEFINED)
            .map(|text| AddedToken::from(text.clone(), false).normalized(true))
            .collect();
        tokenizer.add_special_tokens(control).map_err(|error| wrong(file, error.to_string()))?;
        tokenizer.add_tokens(defined).map_err(|error| wrong(file, error.to_string()))?;
        let longest = vocabulary.texts.iter().map(String::len).max().unwrap_or_default();
        Ok(Self { tokenizer, special, count: vocabulary.texts.len(), longest })
    }

    /// Number of tokens.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Bytes of the longest token.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// The token ids of a text, with the model's BOS first unless the text begins with it.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, tokenizers::Error> {
        let encoding = guarded(|| self.tokenizer.encode_fast(text, false))??;
        let ids = encoding.get_ids();
        let bos = self.special.bos.filter(|_| self.special.adds_bos).filter(|bos| ids.first() != Some(bos));
        Ok(bos.into_iter().chain(ids.iter().copied()).collect())
    }

    pub(crate) fn decode(&self, ids: &[u32]) -> Result<String, tokenizers::Error> {
        self.tokenizer.decode(ids, true)
    }

    pub(crate) fn ends(&self, id: u32) -> bool {
        self.special.ends.contains(&id)
    }

    /// The texts of BOS and EOS, if the model has them.
    pub(crate) fn bos_and_eos(&self) -> [Option<String>; 2] {
        [self.special.bos, self.special.eos].map(|id| self.tokenizer.id_to_token(id?))
    }

    /// The ids of a letter as an answer's first token: with and without a space before it.
    pub(crate) fn letter(&self, letter: &str) -> Vec<u32> {
        let spellings = [letter.to_owned(), format!("Ġ{letter}"), format!("▁{letter}")];
        spellings.iter().filter_map(|spelling| self.tokenizer.token_to_id(spelling)).collect()
    }
}

#[cfg(test)]
mod tests;
