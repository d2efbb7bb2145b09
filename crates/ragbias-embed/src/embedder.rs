use std::path::Path;

use candle_core::Tensor;
use ndarray::Array2;
use ragbias_core::{ContentHasher, ContentId, Embedder, Embeddings, Role};
use tokenizers::{Tokenizer, TruncationParams};

use crate::config::{CheckpointConfig, Prefixes};
use crate::encoder::{Encoder, Input, Packed, Precision};
use crate::head::Head;
use crate::parameters::Parameters;
use crate::processor::Processor;
use crate::{Error, Result};

/// Where a checkpoint runs, and settings that its files leave open or get wrong; `None` keeps the checkpoint's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextEmbedderConfig {
    /// Longest sequence in tokens, special tokens included: 2 to the checkpoint's position embeddings.
    pub max_tokens: Option<usize>,
    /// What is put before texts.
    pub prefixes: Option<Prefixes>,
    /// Where the encoder runs.
    pub processor: Processor,
    /// What it computes in there; vectors of another precision are those of another embedder.
    pub precision: Precision,
}

/// A sentence embedder of the BERT family: MiniLM, E5, GTE, BGE.
///
/// Tokenises, runs the encoder, pools (mean or CLS) and scales to unit length, as sentence-transformers does with the
/// same folder. A text that is longer than the model's limit is cut at its end.
#[derive(Clone)]
pub struct TextEmbedder {
    encoder: Encoder,
    /// A linear map after pooling, where the checkpoint has one.
    head: Option<Head>,
    tokenizer: Tokenizer,
    config: CheckpointConfig,
    id: ContentId,
}

impl TextEmbedder {
    /// Loads a checkpoint folder.
    ///
    /// # Errors
    /// Whatever is missing, malformed or of another architecture, with its file.
    pub fn load(folder: &Path, settings: &TextEmbedderConfig) -> Result<Self> {
        let device = settings.processor.device()?;
        let mut config = CheckpointConfig::read(folder)?;
        if let Some(max_tokens) = settings.max_tokens {
            config.max_tokens = max_tokens.clamp(2, config.bert.max_position_embeddings);
        }
        if let Some(prefixes) = &settings.prefixes {
            config.prefixes = prefixes.clone();
        }
        let tokenizer_path = folder.join("tokenizer.json");
        if !tokenizer_path.is_file() {
            return Err(Error::MissingFile { folder: folder.into(), file: "tokenizer.json" });
        }
        let tokenizer_json = fs_err::read(&tokenizer_path)?;
        let tokenizer = load_tokenizer(&tokenizer_path, &tokenizer_json, config.max_tokens)?;
        let (parameters, weights_id) = Parameters::read(folder, &config.bert, &device)?;
        let encoder = Encoder::new(&config, &parameters, settings.precision)?;
        let head = Head::read(folder, config.bert.hidden_size, &device)?;
        let mut id = ContentHasher::new("text-embedder/1")
            .field(weights_id.as_bytes())
            .field(tokenizer_json)
            .field(format!("{config:?}"));
        if settings.precision != Precision::F32 {
            id = id.field(format!("{:?}", settings.precision));
        }
        if let Some((_, head_id)) = &head {
            id = id.field(head_id.as_bytes());
        }
        Ok(Self { encoder, head: head.map(|(head, _)| head), tokenizer, config, id: id.finish() })
    }

    /// The same checkpoint with other weights, and with a head (`(dim, dim)`, W of y = x·Wᵀ) or without one.
    ///
    /// `id` tells it from every other embedder: the hash of what made the weights.
    ///
    /// # Errors
    /// Weights that are not those of this encoder.
    pub fn with(&self, parameters: &Parameters, head: Option<Tensor>, id: ContentId) -> Result<Self> {
        let encoder = self.encoder.with(parameters)?;
        Ok(Self { encoder, head: head.map(Head::new), id, ..self.clone() })
    }

    /// The transformer and its pooling.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// What the checkpoint's files and the settings say.
    pub fn config(&self) -> &CheckpointConfig {
        &self.config
    }

    /// The token ids of texts as the encoder sees them: prefixed, cut, with special tokens.
    ///
    /// # Errors
    /// [`Error::Tokenise`] where the tokenizer fails on a text.
    pub fn tokenise(&self, texts: &[&str], role: Role) -> Result<Vec<Vec<u32>>> {
        use rayon::prelude::*;
        let prefix = self.config.prefixes.of(role);
        texts
            .par_iter()
            .enumerate()
            .map(|(row, text)| {
                let encoding = if prefix.is_empty() {
                    self.tokenizer.encode_fast(*text, true)
                } else {
                    self.tokenizer.encode_fast(format!("{prefix}{text}"), true)
                };
                Ok(encoding.map_err(|source| Error::Tokenise { row, source })?.get_ids().to_vec())
            })
            .collect()
    }

    fn embed_texts(&self, texts: &[&str], role: Role) -> Result<Embeddings> {
        let sequences = self.tokenise(texts, role)?;
        let dim = self.dim();
        let mut values = Vec::with_capacity(texts.len() * dim);
        for batch in passes(&sequences, self.encoder.tokens_per_pass()) {
            let packed = Packed::new(batch);
            let mut pooled = self.encoder.vectors(Input::Tokens(&packed))?;
            if let Some(head) = &self.head {
                pooled = head.forward(&pooled)?;
            }
            values.extend(pooled.flatten_all()?.to_vec1::<f32>()?);
        }
        let rows = Array2::from_shape_vec((texts.len(), dim), values)
            .expect("the encoder gives one row per text; this is a bug");
        Ok(Embeddings::new(rows)?.normalised()?)
    }
}

impl std::fmt::Debug for TextEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextEmbedder")
            .field("id", &self.id)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Embedder for TextEmbedder {
    fn id(&self) -> ContentId {
        self.id
    }

    fn dim(&self) -> usize {
        self.head.as_ref().map_or(self.config.bert.hidden_size, Head::dim)
    }

    fn embed(&self, texts: &[&str], role: Role) -> ragbias_core::Result<Embeddings> {
        Ok(self.embed_texts(texts, role)?)
    }
}

/// Cuts a batch into slices of no more than so many tokens, each of at least one sequence.
fn passes(sequences: &[Vec<u32>], most: usize) -> impl Iterator<Item = &[Vec<u32>]> {
    let mut rest = sequences;
    std::iter::from_fn(move || {
        let mut tokens = 0;
        let fit = rest
            .iter()
            .take_while(|sequence| {
                tokens += sequence.len();
                tokens <= most
            })
            .count();
        let (pass, after) = rest.split_at(fit.max(1).min(rest.len()));
        rest = after;
        (!pass.is_empty()).then_some(pass)
    })
}

/// The file's own truncation and padding are for other uses: sequences here are cut at `max_tokens` and not padded.
fn load_tokenizer(path: &Path, json: &[u8], max_tokens: usize) -> Result<Tokenizer> {
    let fail = |source| Error::Tokenizer { path: path.into(), source };
    let mut tokenizer = Tokenizer::from_bytes(json).map_err(fail)?;
    let truncation = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
    tokenizer.with_truncation(Some(truncation)).map_err(fail)?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sequence_is_in_one_pass_even_one_that_is_too_long() {
        let sequences: Vec<Vec<u32>> = [9000, 9000, 20_000, 10, 20].map(|n| vec![1; n]).to_vec();
        let cut: Vec<Vec<usize>> =
            passes(&sequences, 16_384).map(|pass| pass.iter().map(Vec::len).collect()).collect();
        assert_eq!(cut, [vec![9000], vec![9000], vec![20_000], vec![10, 20]]);
        assert_eq!(passes(&[], 1).count(), 0);
    }
}
