//! Large language models behind one trait: GGUF files and OpenAI-compatible servers.
//!
//! [`Gguf`] runs a `.gguf` file, on the CPU or on a device; [`Server`] uses an endpoint. Both implement
//! [`Generator`](ragbias_core::Generator): free answers, and choices between two claims read from the
//! log-probabilities of two letters, with the claims in both orders. [`GenerateConfig`] holds the settings of both.
//!
//! ```no_run
//! use ragbias_core::GenerateAll;
//! use ragbias_generate::{GenerateConfig, Gguf};
//!
//! let llm = Gguf::load("SmolLM2-135M-Instruct.Q4_1.gguf".as_ref(), &GenerateConfig::default())?;
//! let answers = llm.generate_all(["Who discovered radium? Give just one name of a person."])?;
//! assert!(answers[0].text.contains("Curie"));
//! # Ok::<(), ragbias_core::Error>(())
//! ```

mod adapter;
mod architecture;
mod attention;
mod change;
mod choice;
mod config;
mod decoder;
mod error;
mod file;
mod format;
mod gguf;
mod kernel;
mod lanes;
mod matrix;
mod model;
mod operators;
mod processor;
mod prompts;
mod rope;
mod sample;
mod server;
mod template;
#[cfg(test)]
mod testing;
mod tokenizer;

pub use adapter::{Adapter, AdapterConfig, FineTuning};
pub use change::{LayerMatrix, WeightChange, WeightFormat};
pub use config::GenerateConfig;
pub use error::{Error, Result};
pub use gguf::Gguf;
pub use server::{
    Address, AllowedHost, ChoiceMethod, EmbeddingRequest, EmbeddingServer, Options, SearchServer, Server,
    ServerConfig, Thinking, without_secrets,
};
