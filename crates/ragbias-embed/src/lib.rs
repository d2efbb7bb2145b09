//! Text embedders: encoders of the families of BERT, RoBERTa, MPNet, ModernBERT, NomicBERT, GTE, Qwen3 and Gemma 3.
//!
//! [`TextEmbedder`] loads a checkpoint folder (`modules.json` and what it names, or a transformer alone) and gives the vectors
//! that sentence-transformers gives for it.
//!
//! [`Encoder`], [`Parameters`] and [`Checkpoint`] are for training: an encoder is a function of its parameters, and
//! the [`Tape`] of a pass gives their gradients, an [`InputTape`] those of the word embeddings of a text; a checkpoint is saved as a folder that sentence-transformers loads.
//!
//! [`Clip`] is apart from these: texts and [`Picture`]s in one space, on the CPU, with the gradients of pixels.
//!
//! ```no_run
//! use ragbias_core::{Embedder, Role};
//! use ragbias_embed::TextEmbedder;
//!
//! let embedder = TextEmbedder::load("models/minilm".as_ref(), &Default::default())?;
//! let vectors = embedder.embed(&["Who discovered radium?"], Role::Question)?;
//! assert_eq!((vectors.len(), vectors.dim()), (1, 384));
//! assert!(vectors.is_normalised());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod card;
mod checkpoint;
mod clip;
mod config;
mod cpu;
mod embedder;
mod encoder;
mod erasure;
mod error;
mod files;
mod input;
mod operators;
mod parameters;
mod parts;
mod processor;
mod projection;
mod relative;
mod steps;
mod tokenizer;
mod weights;

pub use card::Card;
pub use checkpoint::Checkpoint;
pub use clip::{Clip, Picture, PictureTape};
pub use config::{
    Activation, Architecture, Attention, CheckpointConfig, DenseConfig, EncoderConfig, Family, Function,
    Gate, Local, Matrices, Mlp, NormKind, NormOrder, Norms, Pooling, PoolingMode, Positions, Prefixes, Reach,
    Rotary, RotaryScaling, Rounding, StepConfig,
};
pub use embedder::{TextEmbedder, TextEmbedderConfig};
pub use encoder::{Encoder, InputTape, Tape};
pub use erasure::{Erased, Eraser, Sides};
pub use error::{Error, Result};
pub use input::{Boundary, Input, Packed};
pub use parameters::{Parameters, WORD_EMBEDDINGS};
pub use projection::Projected;
pub use ragbias_core::{Precision, Processor};
pub use steps::read_head;
