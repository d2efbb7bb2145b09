//! Base models: what is known of them, where their files are kept, and where they come from.

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
