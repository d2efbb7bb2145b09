use std::sync::Arc;

use ragbias_core::{Axis, BiasScorer, Embedder, Generator};

/// A component of a system, given by name or as a value.
pub enum Component<T: ?Sized> {
    /// A name, a path or an address.
    Named(String),
    /// A value of the caller.
    Given(Arc<T>),
}

impl<T: ?Sized> From<&str> for Component<T> {
    fn from(name: &str) -> Self {
        Self::Named(name.to_owned())
    }
}

impl<T: ?Sized> From<String> for Component<T> {
    fn from(name: String) -> Self {
        Self::Named(name)
    }
}

impl<T: ?Sized> From<Arc<T>> for Component<T> {
    fn from(part: Arc<T>) -> Self {
        Self::Given(part)
    }
}

impl From<Axis> for Component<Axis> {
    fn from(axis: Axis) -> Self {
        Self::Given(Arc::new(axis))
    }
}

impl<E: Embedder + 'static> From<Arc<E>> for Component<dyn Embedder> {
    fn from(embedder: Arc<E>) -> Self {
        Self::Given(embedder)
    }
}

impl<G: Generator + 'static> From<Arc<G>> for Component<dyn Generator> {
    fn from(generator: Arc<G>) -> Self {
        Self::Given(generator)
    }
}

impl<S: BiasScorer + 'static> From<Arc<S>> for Component<dyn BiasScorer> {
    fn from(scorer: Arc<S>) -> Self {
        Self::Given(scorer)
    }
}
