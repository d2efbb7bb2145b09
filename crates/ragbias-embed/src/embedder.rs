use std::path::Path;

use candle_core::Tensor;
use ndarray::Array2;
use ragbias_core::{
    ContentHasher, ContentId, Embedder, Embeddings, Precision, Processor, Role, Similarity, TokenCount,
};

use crate::Result;
use crate::config::{CheckpointConfig, CheckpointFiles, Pooling, Prefixes, Rounding};
use crate::encoder::Encoder;
use crate::input::{Input, Packed};
use crate::parameters::Parameters;
use crate::processor::device;
use crate::steps::Step;
use crate::tokenizer::{TextTokenizer, Wanted};

/// Where a checkpoint runs, and settings that its files lack or get wrong; `None` keeps the checkpoint's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TextEmbedderConfig {
    /// Longest sequence in tokens, including special tokens; at most the number of position embeddings.
    pub max_tokens: Option<usize>,
    /// Prefixes of texts.
    pub prefixes: Option<Prefixes>,
    /// How tokens are pooled.
    pub pooling: Option<Pooling>,
    /// Whether texts are lower-cased before the tokenizer, which may do so itself.
    pub lower_case: Option<bool>,
    /// The type to which weights are rounded.
    pub rounding: Option<Rounding>,
    /// The device of the encoder.
    pub processor: Processor,
    /// The precision of its products; each precision has its own embedder id.
    pub precision: Precision,
}

ragbias_core::setters!(TextEmbedderConfig {
    max_tokens: Option<usize>,
    prefixes: Option<Prefixes>,
    pooling: Option<Pooling>,
    lower_case: Option<bool>,
    rounding: Option<Rounding>,
    processor: Processor,
    precision: Precision,
});

/// A sentence embedder: an encoder of one of the families of [`Family`](crate::Family), such as MiniLM, E5, BGE, MPNet.
///
/// Tokenises, runs the encoder, pools, and applies the further modules, as sentence-transformers does with the same
/// folder. If vectors are compared by cosine, they are scaled to unit length. A text longer than the model's limit
/// is truncated.
///
/// Any setting that would change a vector and is not supported is refused by name when the checkpoint is loaded.
#[derive(Clone)]
pub struct TextEmbedder {
    encoder: Encoder,
    /// The steps applied to pooled vectors.
    steps: Vec<Step>,
    tokenizer: TextTokenizer,
    config: CheckpointConfig,
    /// Number of tokens of a question's prompt, and of a document's, that are excluded from pooling.
    skipped: [usize; 2],
    notes: Vec<String>,
    id: ContentId,
}

impl TextEmbedder {
    /// Loads a checkpoint folder.
    ///
    /// # Errors
    /// Anything missing, malformed or of another architecture, with its file.
    pub fn load(folder: &Path, settings: &TextEmbedderConfig) -> Result<Self> {
        let embedder = Self::load_as(folder, settings, |config, parameters, precision| {
            Ok((Encoder::for_inference(&config.encoder, &config.pooling, parameters, precision)?, ()))
        });
        Ok(embedder?.0)
    }

    /// The same, with the weights of its encoder, which can be trained.
    ///
    /// # Errors
    /// Those of [`TextEmbedder::load`].
    pub fn load_with_parameters(folder: &Path, settings: &TextEmbedderConfig) -> Result<(Self, Parameters)> {
        Self::load_as(folder, settings, |config, parameters, precision| {
            Ok((Encoder::new(&config.encoder, &config.pooling, &parameters, precision)?, parameters))
        })
    }

    fn load_as<R>(
        folder: &Path,
        settings: &TextEmbedderConfig,
        encoder: impl FnOnce(&CheckpointConfig, Parameters, Precision) -> Result<(Encoder, R)>,
    ) -> Result<(Self, R)> {
        let device = device(settings.processor)?;
        let mut files = CheckpointFiles::read(folder)?;
        if let Some(prefixes) = &settings.prefixes {
            files.config.prefixes = prefixes.clone();
        }
        if let Some(pooling) = &settings.pooling {
            files.config.pooling = pooling.clone();
        }
        files.do_lower_case = settings.lower_case.unwrap_or(files.do_lower_case);
        files.rounding = settings.rounding.or(files.rounding);
        let (mut tokenizer, source) = TextTokenizer::read(&files.transformer, &Wanted::of(&files))?;
        let config = files.config;
        if let Some(max_tokens) = settings.max_tokens {
            tokenizer = tokenizer.with_max_tokens(&files.transformer, max_tokens)?;
        }
        let (parameters, weights_id) =
            Parameters::read(&files.transformer, &config.encoder, files.rounding, &device)?;
        let (encoder, kept) = encoder(&config, parameters, settings.precision)?;
        let mut id = ContentHasher::new("text-embedder/1")
            .field(weights_id.as_bytes())
            .field(source.bytes)
            .field(config.describe(tokenizer.max_tokens()));
        if settings.precision != Precision::F32 {
            id = id.field(format!("{:?}", settings.precision));
        }
        if !source.changes.is_empty() {
            id = id.field(source.changes);
        }
        if let Some(rounding) = files.rounding {
            id = id.field(format!("{rounding:?}"));
        }
        let mut steps = Vec::with_capacity(config.steps.len());
        for (folder, step) in files.steps.iter().zip(&config.steps) {
            let (step, weights_id) = Step::read(folder, step, &device)?;
            if let Some(weights_id) = weights_id {
                id = id.field(weights_id.as_bytes());
            }
            steps.push(step);
        }
        let skipped = if config.pooling.includes_prompt() {
            [0, 0]
        } else {
            let prefixes = &config.prefixes;
            let tokens = |prompt: &str| tokenizer.prompt_tokens(folder, prompt);
            [tokens(&prefixes.question)?, tokens(&prefixes.document)?]
        };
        let notes = notes(folder, &files.unused_prompts);
        Ok((Self { encoder, steps, tokenizer, config, skipped, notes, id: id.finish() }, kept))
    }

    /// The same checkpoint with other weights, and with or without a head after its linear maps (`(dim, dim)`, W of y = x·Wᵀ).
    ///
    /// `id` distinguishes it from every other embedder: the hash of how the weights were made.
    ///
    /// # Errors
    /// Weights that do not belong to this encoder.
    pub fn with(&self, parameters: &Parameters, head: Option<Tensor>, id: ContentId) -> Result<Self> {
        let encoder = self.encoder.with(parameters)?;
        let steps = self.linear_maps().cloned().chain(head.map(Step::linear)).collect();
        Ok(Self { encoder, steps, id, ..self.clone() })
    }

    /// The steps that are linear maps.
    fn linear_maps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.matrix().is_some())
    }

    /// Pooled vectors after the linear maps of the checkpoint, `(texts, pooled)` to `(texts, dim)`.
    ///
    /// # Errors
    /// Vectors of another width.
    pub fn map(&self, pooled: Tensor) -> Result<Tensor> {
        self.linear_maps().try_fold(pooled, |vectors, step| step.forward(&vectors))
    }

    /// The transformer and its pooling.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The settings from the checkpoint's files and the caller.
    pub fn config(&self) -> &CheckpointConfig {
        &self.config
    }

    /// The token ids of texts as passed to the encoder: with prefix and special tokens, truncated.
    ///
    /// # Errors
    /// [`Error::Tokenise`](crate::Error::Tokenise) if the tokenizer fails on a text.
    pub fn tokenise(&self, texts: &[&str], role: Role) -> Result<Vec<Vec<u32>>> {
        use rayon::prelude::*;
        let prefix = self.config.prefixes.of(role);
        texts.par_iter().enumerate().map(|(row, text)| self.tokenizer.ids(row, prefix, text)).collect()
    }

    /// The words of the vocabulary, of two or more lower-case Latin letters, with their token ids: those that are that one token wherever
    /// they stand between spaces, in order of id. No special tokens and no parts of words.
    ///
    /// # Errors
    /// [`Error::Tokenise`](crate::Error::Tokenise) if the tokenizer fails on a word.
    pub fn whole_words(&self) -> Result<Vec<(u32, String)>> {
        self.tokenizer.whole_words()
    }

    /// Notes for the user on how the checkpoint was read.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn embed_texts(&self, texts: &[&str], role: Role) -> Result<Embeddings> {
        let sequences = self.tokenise(texts, role)?;
        let dim = self.dim();
        let skipped = self.skipped[usize::from(role == Role::Document)];
        let mut values = Vec::with_capacity(texts.len() * dim);
        for batch in passes(&sequences, self.encoder.tokens_per_pass()) {
            let packed = Packed::new(batch);
            let mut vectors = self.encoder.vectors_after(Input::Tokens(&packed), skipped)?;
            for step in &self.steps {
                vectors = step.forward(&vectors)?;
            }
            values.extend(vectors.narrow(1, 0, dim)?.flatten_all()?.to_vec1::<f32>()?);
        }
        let rows = Array2::from_shape_vec((texts.len(), dim), values)
            .expect("the encoder gives one row per text; this is a bug");
        let vectors = Embeddings::new(rows)?;
        Ok(if self.config.similarity.wants_unit_vectors() { vectors.normalised()? } else { vectors })
    }
}

/// Entries of `config_sentence_transformers.json` that sentence-transformers does not use either.
fn notes(folder: &Path, unused_prompts: &[String]) -> Vec<String> {
    if unused_prompts.is_empty() {
        return Vec::new();
    }
    let file = folder.join("config_sentence_transformers.json");
    vec![format!(
        "{}: of its prompts, `query` and `document` are put before texts, as encode_query and encode_document of \
         sentence-transformers do it, and not {}",
        file.display(),
        unused_prompts.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    )]
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
        let pooled = self.config.pooled_dim();
        let whole = self.steps.iter().rev().find_map(Step::dim).unwrap_or(pooled);
        self.config.truncate_dim.map_or(whole, |dim| dim.min(whole))
    }

    fn similarity(&self) -> Similarity {
        self.config.similarity
    }

    fn embed(&self, texts: &[&str], role: Role) -> ragbias_core::Result<Embeddings> {
        Ok(self.embed_texts(texts, role)?)
    }

    fn token_counts(&self, texts: &[&str], role: Role) -> ragbias_core::Result<Option<Vec<TokenCount>>> {
        let prefix = self.config.prefixes.of(role);
        let counts = texts.iter().enumerate().map(|(row, text)| self.tokenizer.count(row, prefix, text));
        Ok(Some(counts.collect::<Result<_>>()?))
    }
}

/// Divides a batch into slices with at most this many tokens, each of at least one sequence.
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
