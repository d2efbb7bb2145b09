//! Documents and their vectors in PostgreSQL, searched with its extension pgvector.
//!
//! A [`Table`] has a row for every document: id, title, text, metadata and vector. An [`Ingestion`] fills it, and sends nothing that is
//! there already; [`Documents`] searches it, as a [`DocumentIndex`](ragbias_core::DocumentIndex), for a service. [`PgVector`] is an
//! [`IndexBackend`](ragbias_core::IndexBackend): it keeps the vectors of a measurement in the database.
//!
//! Every table says in its comment which embedder its vectors are of; vectors of another are refused by name. A lost connection is made
//! again. No password is part of any error.
//!
//! ```no_run
//! use ragbias_core::{DocumentIndex, Embedder, Filter, Role, Silent, Document};
//! use ragbias_postgres::{Address, Documents, Ingestion, Search, Table, TableConfig};
//!
//! # fn example(embedder: &dyn Embedder, documents: &[Document]) -> ragbias_core::Result<()> {
//! let address: Address = "postgres://me@localhost/library".parse()?;
//! let table = Table::create(&address, "documents", &TableConfig::of("minilm", embedder))?;
//! let mut ingestion = Ingestion::new(&table, embedder, documents.len(), &Silent)?;
//! ingestion.add(documents)?;
//! table.set_search(Search::Hnsw, &Silent)?;
//!
//! let index = Documents::open(&address, "documents")?;
//! let question = embedder.embed(&["Who designed the bridge?"], Role::Question)?;
//! let hits = index.nearest(&question, 5, &Filter::default())?;
//! # Ok(())
//! # }
//! ```
//!
//! All calls block, and must not be made within an asynchronous task: tokio has `spawn_blocking` for them.

mod address;
mod backend;
mod connection;
mod description;
mod documents;
mod error;
mod hnsw;
mod ingestion;
mod name;
mod nearest;
mod place;
mod row;
mod statements;
mod table;
mod tls;
mod wire;

pub use address::Address;
pub use backend::PgVector;
pub use description::{Search, TableConfig, VectorType};
pub use documents::Documents;
pub use error::{Cause, Error, Result};
pub use ingestion::{Ingested, Ingestion};
pub use table::Table;
