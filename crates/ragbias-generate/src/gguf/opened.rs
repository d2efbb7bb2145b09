//! A model's file after reading: its weights, its tokenizer and its template.

use std::path::{Path, PathBuf};

use ragbias_core::{ContentHasher, ContentId};

use super::loaded::Parts;
use crate::architecture::{Architecture, Sizes};
use crate::config::GenerateConfig;
use crate::decoder::Decoder;
use crate::file::GgufFile;
use crate::template::Template;
use crate::tokenizer::Tokens;
use crate::{Error, Result};

/// A model that has been read from its file.
pub(crate) struct Opened {
    pub(crate) decoder: Decoder,
    pub(crate) context: usize,
    path: PathBuf,
    tokens: Tokens,
    template: Template,
    config: GenerateConfig,
    content: ContentId,
}

impl Opened {
    /// Reads a file, of which every key and every tensor has to be used, or known to change no number.
    pub(crate) fn read(path: &Path, config: &GenerateConfig) -> Result<Self> {
        config.check()?;
        let file = GgufFile::open(path)?;
        let architecture = Architecture::of(&file)?;
        let sizes = Sizes::read(architecture, &file)?;
        let context = sizes.context as usize;
        // In parallel: building a vocabulary of hundreds of thousands of pieces takes longer than everything else.
        let (tokens, decoder) = rayon::join(
            || {
                let tokens = Tokens::load(&file)?;
                let template = Template::load(&file, tokens.bos_and_eos())?;
                file.refuse_keys("", architecture.name)?;
                Ok::<_, Error>((tokens, template))
            },
            || {
                let decoder = Decoder::load(architecture, sizes, &file)?;
                file.refuse_tensors(architecture.name)?;
                Ok::<_, Error>((decoder, file.content_id()))
            },
        );
        let ((tokens, template), (decoder, content)) = (tokens?, decoder?);
        if tokens.count() != decoder.vocabulary() {
            let (tokens, rows) = (tokens.count(), decoder.vocabulary());
            return Err(
                file.broken(format!("tokenizer.ggml.tokens has {tokens} tokens, the embedding {rows} rows"))
            );
        }
        Ok(Self { decoder, context, path: path.into(), tokens, template, config: config.clone(), content })
    }

    /// The weights, and everything else, with an identity that includes `other`: what changes answers beside file and settings.
    pub(crate) fn into_parts(self, other: Option<&[u8]>) -> (Decoder, Parts) {
        let Self { decoder, context, path, tokens, template, config, content } = self;
        let mut id = ContentHasher::new("gguf/4").field(content.as_bytes()).field(config.fingerprint());
        if let Some(other) = other {
            id = id.field(other);
        }
        let id = id.last(template.fingerprint()).finish();
        (decoder, Parts { path, tokens, template, config, context, id })
    }
}
