use std::sync::Arc;

use ragbias_core::{BiasScorer, Embedder, Generator, Progress, Silent};

use crate::memo::{StoredEmbedder, StoredGenerator, StoredScorer};
use crate::{Models, Result, Store};

/// The context of all work: models by name, the store of their answers, and where progress is shown.
///
/// A clone shares all of them.
#[derive(Clone)]
pub struct Workspace {
    models: Models,
    store: Option<Store>,
    progress: Arc<dyn Progress>,
}

impl Workspace {
    /// These models, no store, and no progress shown.
    pub fn new(models: Models) -> Self {
        Self { models, store: None, progress: Arc::new(Silent) }
    }

    /// Models as in [`Models::from_env`], and the store of [`Store::default_path`].
    ///
    /// # Errors
    /// A user without a home directory, or a store that cannot be opened.
    pub fn from_env() -> Result<Self> {
        Ok(Self::new(Models::from_env()?).storing(Store::open(&Store::default_path()?)?))
    }

    /// Stores the answers of components there.
    #[must_use]
    pub fn storing(self, store: Store) -> Self {
        Self { store: Some(store), ..self }
    }

    /// The same without a store: for components that already use one, and those that should not.
    pub(crate) fn without_store(&self) -> Self {
        Self { store: None, ..self.clone() }
    }

    /// Shows progress there.
    #[must_use]
    pub fn showing(self, progress: Arc<dyn Progress>) -> Self {
        Self { progress, ..self }
    }

    /// Models by name.
    pub fn models(&self) -> &Models {
        &self.models
    }

    /// The store, if there is one.
    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Where progress is shown.
    pub fn progress(&self) -> &dyn Progress {
        self.progress.as_ref()
    }

    /// The same, shared.
    pub(crate) fn shared_progress(&self) -> Arc<dyn Progress> {
        Arc::clone(&self.progress)
    }

    /// The embedder, memoised if there is a store.
    pub(crate) fn embedder(&self, embedder: impl Embedder + 'static) -> Arc<dyn Embedder> {
        match &self.store {
            Some(store) => Arc::new(StoredEmbedder::new(embedder, store)),
            None => Arc::new(embedder),
        }
    }

    /// The LLM, memoised if there is a store.
    pub(crate) fn llm(&self, generator: impl Generator + 'static) -> Arc<dyn Generator> {
        match &self.store {
            Some(store) => Arc::new(StoredGenerator::new(generator, store)),
            None => Arc::new(generator),
        }
    }

    /// The scorer, memoised if there is a store.
    pub(crate) fn scorer(&self, scorer: impl BiasScorer + 'static) -> Arc<dyn BiasScorer> {
        match &self.store {
            Some(store) => Arc::new(StoredScorer::new(scorer, store)),
            None => Arc::new(scorer),
        }
    }
}
