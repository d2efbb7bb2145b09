//! Serves embeddings, and search with a chosen control, over HTTP.
//!
//! A [`Serving`] is what is served: an embedder, or a [`Retriever`](ragbias::Retriever) with its embedder. A [`Service`] answers with
//! it: texts of requests that wait at the same time are embedded together, as many as its [`ServeConfig`] allows, and what would wait
//! too long is refused at once. [`Service::router`] is an axum router, for an application of one's own; [`run()`] is a whole server.
//! [`Service::swap`] replaces what is served without losing a request.
//!
//! ```
//! use std::sync::Arc;
//! use ragbias::core::testing::HashEmbedder;
//! use ragbias_serve::{ServeConfig, Service, Serving};
//!
//! let serving = Serving::embedder("hash", Arc::new(HashEmbedder::new(8, 1)))?;
//! let service = Service::new(serving, ServeConfig::default())?;
//! let router: axum::Router = service.router(); // nest it in your own
//! assert!(router.has_routes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | route | answers |
//! | --- | --- |
//! | `POST /v1/embeddings` | vectors, as OpenAI's API gives them |
//! | `GET /v1/models` | the name of the embedder |
//! | `POST /search`, `GET /search?q=…` | the nearest documents, with the control |
//! | `GET /healthz` | `ok`, without a token |
//! | `GET /metrics` | Prometheus' text format |
//! | `GET /openapi.json`, `GET /` | a description of all this, for programs and for people |

mod batch;
mod body;
mod config;
mod embeddings;
mod error;
mod failure;
mod filter;
mod hit;
mod json;
mod metrics;
mod pages;
mod queue;
mod routes;
mod search;
mod server;
mod service;
mod serving;
mod token;

pub use config::ServeConfig;
pub use error::{Error, Result};
pub use server::{run, serve};
pub use service::Service;
pub use serving::Serving;
pub use token::Token;
