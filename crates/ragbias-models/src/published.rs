//! Published data sets by name: the registry of `corpora/published.toml`, and the folder that holds what was pulled.

mod entry;
mod record;
mod registry;
mod set;
mod store;

pub use registry::PublishedSets;
pub use set::{PublishedSet, SetFile, SetLayout, SetSource};
pub use store::{Pulled, Received, SetStore};
