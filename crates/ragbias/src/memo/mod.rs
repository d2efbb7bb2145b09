//! Components that consult the store before computing.

mod embedder;
mod generator;
mod scorer;

pub use embedder::StoredEmbedder;
pub use generator::StoredGenerator;
pub use scorer::StoredScorer;

#[cfg(test)]
mod testing {
    use std::sync::atomic::AtomicUsize;

    use crate::Store;

    /// Counts the items that reach the wrapped component.
    pub(super) struct Counting<T>(pub(super) T, pub(super) AtomicUsize);

    impl<T> Counting<T> {
        pub(super) fn new(of: T) -> Self {
            Self(of, AtomicUsize::new(0))
        }
    }

    pub(super) fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store.sqlite")).unwrap();
        (folder, store)
    }
}
