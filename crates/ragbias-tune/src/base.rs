use std::path::{Path, PathBuf};

use candle_core::Device;
use ragbias_core::{ContentId, Embedder};
use ragbias_embed::{BertConfig, Parameters, TextEmbedder, TextEmbedderConfig};

use crate::Result;

/// The embedder that a family starts from.
#[derive(Debug, Clone)]
pub struct Base {
    folder: PathBuf,
    pub(crate) embedder: TextEmbedder,
    pub(crate) parameters: Parameters,
    /// Where its weights are, and its members are trained.
    pub(crate) device: Device,
}

impl Base {
    /// Loads a checkpoint folder.
    ///
    /// # Errors
    /// Whatever is missing, malformed or of another architecture, with its file.
    pub fn load(folder: &Path, settings: &TextEmbedderConfig) -> Result<Self> {
        let embedder = TextEmbedder::load(folder, settings)?;
        let device = settings.processor.device()?;
        let parameters = Parameters::load(folder, &embedder.config().bert, &device)?;
        Ok(Self { folder: folder.into(), embedder, parameters, device })
    }

    /// The checkpoint folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The embedder as it is.
    pub fn embedder(&self) -> &TextEmbedder {
        &self.embedder
    }

    /// Hash of its weights and settings.
    pub fn id(&self) -> ContentId {
        self.embedder.id()
    }

    /// How many layers its encoder has.
    pub fn layers(&self) -> usize {
        self.shape().num_hidden_layers
    }

    pub(crate) fn shape(&self) -> &BertConfig {
        &self.embedder.config().bert
    }
}
