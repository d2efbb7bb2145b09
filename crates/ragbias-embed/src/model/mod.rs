//! Base models: what is known of them, where their files are kept, and where they come from.

mod hub;
mod package;
mod registry;
mod snapshot;
mod store;

pub use registry::{Model, ModelFile, ModelKind, Package, Registry};
pub use store::ModelStore;
