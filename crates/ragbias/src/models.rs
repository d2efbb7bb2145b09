use std::path::PathBuf;
use std::sync::Arc;

use ragbias_core::{Embedder, Generator, Progress};
use ragbias_embed::{
    ModelKind, ModelStore, Precision, Processor, Projected, TextEmbedder, TextEmbedderConfig,
};
use ragbias_generate::{GenerateConfig, Gguf, Server, ServerConfig};

use crate::{Error, Result};

/// Models from what a user calls them: a name of the registry, a folder, a `.gguf` file, or the address of a server.
#[derive(Debug, Clone)]
pub struct Models {
    store: ModelStore,
    processor: Processor,
    precision: Precision,
}

impl Models {
    /// Models in `RAGBIAS_MODEL_DIR`, or in the user's cache directory.
    ///
    /// # Errors
    /// Where the user has no home directory.
    pub fn from_env() -> Result<Self> {
        Ok(Self::of(ModelStore::from_env()?))
    }

    /// Models in this folder, which need not be there yet.
    ///
    /// # Errors
    /// Where the registry is malformed, which a test rules out.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self::of(ModelStore::new(folder)?))
    }

    fn of(store: ModelStore) -> Self {
        Self { store, processor: Processor::default(), precision: Precision::default() }
    }

    /// Embedders run, and are trained, there; LLMs stay on the CPU.
    #[must_use]
    pub fn on(self, processor: Processor, precision: Precision) -> Self {
        Self { processor, precision, ..self }
    }

    /// How checkpoints are loaded.
    pub(crate) fn embedder_config(&self) -> TextEmbedderConfig {
        let (processor, precision) = (self.processor, self.precision);
        TextEmbedderConfig { processor, precision, ..TextEmbedderConfig::default() }
    }

    /// The folder of models and the registry.
    pub fn store(&self) -> &ModelStore {
        &self.store
    }

    /// An embedder by name, folder or hub id; a missing one is pulled.
    ///
    /// # Errors
    /// An unknown name, a model that no source has, or a damaged checkpoint.
    pub fn embedder(&self, model: &str, progress: &dyn Progress) -> Result<Arc<dyn Embedder>> {
        let folder = self.store.resolve(model, ModelKind::Embedder, progress)?;
        let embedder = TextEmbedder::load(&folder, &self.embedder_config())?;
        for note in embedder.notes() {
            progress.note(note);
        }
        Ok(Arc::new(embedder))
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
            return Err(Error::Setting { setting: "--project", expected, received: projection.into() });
        };
        Ok(Arc::new(Projected::onto_word(embedder, word, alpha)?))
    }

    /// An LLM by name, `.gguf` file or address; a missing one is pulled, a server is asked for a first answer.
    ///
    /// The address of a server may carry the model's name after `#`: `http://localhost:8080/v1#llama3`. `server` says how
    /// it is asked, and decides nothing else.
    ///
    /// # Errors
    /// An unknown name, a model that no source has, a damaged file, or a server that does not answer as it should.
    pub fn generator(
        &self,
        model: &str,
        config: &GenerateConfig,
        server: &ServerConfig,
        progress: &dyn Progress,
    ) -> Result<Arc<dyn Generator>> {
        match Place::of(model) {
            Place::Server => Ok(Arc::new(Server::connect(model, server, config)?)),
            Place::Nowhere => {
                let expected =
                    "a model's name, a .gguf file, or an address that begins with http:// or https://";
                Err(Error::Setting { setting: "the LLM", expected, received: model.into() })
            }
            Place::Here => {
                let path = self.store.resolve(model, ModelKind::Llm, progress)?;
                Ok(Arc::new(Gguf::load(&path, config)?))
            }
        }
    }
}

/// Where an LLM is, by what it is called.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Server,
    /// A name or a file.
    Here,
    /// An address of another kind, or without its scheme.
    Nowhere,
}

impl Place {
    fn of(model: &str) -> Self {
        let scheme = model.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("http" | "https") => return Self::Server,
            Some(_) => return Self::Nowhere,
            None => {}
        }
        let address = model.split(['/', '#', '?']).next().unwrap_or_default();
        let port =
            address.rsplit_once(':').filter(|(host, _)| host.len() > 1).map(|(_, port)| port.parse::<u16>());
        if matches!(port, Some(Ok(_))) { Self::Nowhere } else { Self::Here }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_names_and_files() {
        for (model, place) in [
            ("http://localhost:8080/v1#m", Place::Server),
            ("HTTPS://host/v1", Place::Server),
            ("localhost:8080/v1#m", Place::Nowhere),
            ("127.0.0.1:80", Place::Nowhere),
            ("ftp://host/x", Place::Nowhere),
            ("smollm2-135m", Place::Here),
            ("./models/m.gguf", Place::Here),
            ("C:\\models\\m.gguf", Place::Here),
        ] {
            assert_eq!(Place::of(model), place, "{model}");
        }
    }
}
