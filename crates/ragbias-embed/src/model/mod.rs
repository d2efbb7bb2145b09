//! Base models: the registry, the local store, and the sources of their files.

pub(crate) mod checksum;
mod hub;
mod hub_cache;
mod listing;
mod package;
mod pip;
mod receive;
mod registry;
mod snapshot;
mod store;
mod verified;

pub use registry::{Model, ModelFile, ModelKind, Package, Registry};
pub use store::ModelStore;
pub use verified::FileCheck;
