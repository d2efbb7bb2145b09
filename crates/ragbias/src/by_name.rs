use std::path::PathBuf;
use std::sync::Arc;

use ragbias_core::limits::PROJECTION;
use ragbias_core::{Embedder, Generator, Precision, Processor, Progress};
use ragbias_embed::{Card, Projected, TextEmbedder, TextEmbedderConfig};
use ragbias_generate::{
    AllowedHost, EmbeddingServer, GenerateConfig, Gguf, SearchServer, Server, ServerConfig,
};
use ragbias_models::{ModelKind, ModelStore};
use ragbias_tune::Base;

use crate::llm::{LlmName, Place};
use crate::{Error, Result};

/// Makes models from the user's designations: a name of the registry, a folder, a `.gguf` file, or the address of a server.
#[derive(Debug, Clone)]
pub struct Models {
    store: ModelStore,
    processor: Processor,
    precision: Precision,
    /// Hosts to which keys may be sent, beside those that the user named.
    allowed: Vec<AllowedHost>,
    /// LLMs that the user named, as opposed to those named in a file.
    named: Vec<LlmName>,
}

impl Models {
    /// Models in `RAGBIAS_MODEL_DIR`, or in the user's cache directory.
    ///
    /// # Errors
    /// The user has no home directory.
    pub fn from_env() -> Result<Self> {
        Ok(Self::of(ModelStore::from_env()?))
    }

    /// Models in this folder, which may not exist yet.
    ///
    /// # Errors
    /// The registry is malformed, which a test excludes.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self::of(ModelStore::new(folder)?))
    }

    fn of(store: ModelStore) -> Self {
        let (processor, precision) = (Processor::default(), Precision::default());
        Self { store, processor, precision, allowed: Vec::new(), named: Vec::new() }
    }

    /// Sets the device on which embedders run and are trained, and on which `.gguf` files are computed.
    #[must_use]
    pub fn on(self, processor: Processor, precision: Precision) -> Self {
        Self { processor, precision, ..self }
    }

    /// Allows keys to be sent to these hosts even if a file names them.
    #[must_use]
    pub fn allowing(self, hosts: Vec<AllowedHost>) -> Self {
        Self { allowed: hosts, ..self }
    }

    /// Marks these LLMs as named by the user: if a file names one of them, the key may be sent there, and the password of its
    /// address is taken from here, as no file of a run contains it.
    #[must_use]
    pub fn naming(self, llms: Vec<LlmName>) -> Self {
        Self { named: llms, ..self }
    }

    /// Checks that keys may be sent to each of these LLMs.
    ///
    /// # Errors
    /// The first to which a key must not be sent, with how to allow it.
    pub fn check_keys<'l>(&self, llms: impl IntoIterator<Item = &'l LlmName>) -> Result<()> {
        for llm in llms {
            if let Place::Server(address) = self.own(llm).place() {
                Server::check_key(address, &self.allowed)?;
            }
        }
        Ok(())
    }

    /// The LLM as the user named it, if the user did.
    fn own<'l>(&'l self, llm: &'l LlmName) -> &'l LlmName {
        self.named.iter().find(|named| named.as_str() == llm.as_str()).unwrap_or(llm)
    }

    /// How checkpoints are loaded.
    pub(crate) fn embedder_config(&self) -> TextEmbedderConfig {
        TextEmbedderConfig::default().processor(self.processor).precision(self.precision)
    }

    /// The folder of models and the registry.
    pub fn store(&self) -> &ModelStore {
        &self.store
    }

    /// The folder of an embedder given by name, folder or hub id, in which every file was verified.
    pub(crate) fn checkpoint(&self, model: &str, progress: &dyn Progress) -> Result<PathBuf> {
        let folder = self.store.resolve(model, ModelKind::Embedder, progress)?;
        if let Card::Unchecked(_) = Card::read(&folder)? {
            let said = "its ragbias.json has no checksums, as an earlier version wrote it; the files are taken as they are";
            progress.note(&format!("{}: {said}", folder.display()));
        }
        Ok(folder)
    }

    /// An embedder by name, folder or hub id; a missing one is downloaded.
    ///
    /// # Errors
    /// An unknown name, a model that no source has, or a damaged checkpoint.
    pub fn embedder(&self, model: &str, progress: &dyn Progress) -> Result<Arc<dyn Embedder>> {
        let folder = self.checkpoint(model, progress)?;
        let embedder = TextEmbedder::load(&folder, &self.embedder_config())?;
        for note in embedder.notes() {
            progress.note(note);
        }
        Ok(Arc::new(embedder))
    }

    /// The same as a base of tuned embedders.
    ///
    /// # Errors
    /// As for [`Models::embedder`]; a model that cannot be tuned.
    pub fn base(&self, model: &str, progress: &dyn Progress) -> Result<Base> {
        Ok(Base::load(&self.checkpoint(model, progress)?, &self.embedder_config())?)
    }

    /// The `.gguf` file of an LLM by name or path; a missing one is downloaded.
    ///
    /// # Errors
    /// An unknown name, a model that no source has, or the address of a server, whose weights cannot be read.
    pub fn llm_file(&self, model: &LlmName, progress: &dyn Progress) -> Result<PathBuf> {
        if !matches!(model.place(), Place::Here) {
            let expected = "a model's name or a .gguf file, whose weights are read";
            return Err(Error::Setting { setting: "the LLM", expected, received: model.to_string() });
        }
        Ok(self.store.resolve(model.as_str(), ModelKind::Llm, progress)?)
    }

    /// A server of vectors at an address named by the user, with the model's name after `#`.
    ///
    /// # Errors
    /// An address that is none, a key that must not be sent there, or a server with several models and no name.
    pub fn embedding_server(&self, address: &str) -> Result<EmbeddingServer> {
        Ok(EmbeddingServer::connect(address, &self.allowed)?)
    }

    /// The service at an address that searches documents. A key is sent only to hosts that the user named or allowed.
    ///
    /// # Errors
    /// An address that is none, or a key that must not be sent there.
    pub fn search_server(&self, address: &str) -> Result<SearchServer> {
        Ok(SearchServer::connect(address, &self.allowed)?)
    }

    /// An embedder whose questions are moved along a word's direction: `WORD=α`.
    ///
    /// # Errors
    /// Another form than `WORD=α`, or a failure of the embedder.
    pub fn projected(embedder: Arc<dyn Embedder>, projection: &str) -> Result<Arc<dyn Embedder>> {
        let parsed = projection.split_once('=').and_then(|(word, alpha)| {
            let alpha: f32 = alpha.trim().parse().ok()?;
            (!word.trim().is_empty() && alpha.is_finite()).then(|| (word.trim(), alpha))
        });
        let Some((word, alpha)) = parsed else {
            let expected = "WORD=NUMBER, as in woman=-0.5";
            return Err(Error::Setting { setting: "project", expected, received: projection.into() });
        };
        PROJECTION.check("project", alpha)?;
        Ok(Arc::new(Projected::onto_word(embedder, word, alpha)?))
    }

    /// An LLM by name, `.gguf` file or address; a missing one is downloaded, a server is asked for a first answer.
    ///
    /// The address of a server may include the model's name after `#`: `http://localhost:8080/v1#llama3`. `server` has the settings
    /// of its requests, and applies to nothing else.
    ///
    /// # Errors
    /// An unknown name, a model that no source has, a damaged file, a key that must not be sent there, or a server that does not
    /// answer as expected.
    pub fn generator(
        &self,
        model: &LlmName,
        config: &GenerateConfig,
        server: &ServerConfig,
        progress: &dyn Progress,
    ) -> Result<Arc<dyn Generator>> {
        match self.own(model).place() {
            Place::Server(address) => Ok(Arc::new(Server::at(address, &self.allowed, server, config)?)),
            Place::Nowhere => {
                let expected =
                    "a model's name, a .gguf file, or an address that begins with http:// or https://";
                Err(Error::Setting { setting: "the LLM", expected, received: model.to_string() })
            }
            Place::Here => {
                let path = self.llm_file(model, progress)?;
                Ok(Arc::new(Gguf::load_on(&path, config, self.processor, self.precision)?))
            }
        }
    }
}
