//! The crate on a real server. Where there is no PostgreSQL with pgvector, the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test says what went wrong by panicking")]

mod encrypted;
mod ingestion;
mod refused;
mod searches;
mod server;
mod times;

use std::sync::OnceLock;

use ndarray::Array2;
use ragbias_core::{Document, Embedder, Embeddings, Silent};
use ragbias_postgres::{Address, Ingested, Ingestion, Table, TableConfig};
use serde_json::json;

use server::Server;

/// The server of all tests that do not stop it.
fn server() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(Server::start).as_ref()
}

/// Vectors of unit length with values that look random.
fn unit(n: usize, dim: usize, seed: u64) -> Embeddings {
    raw(n, dim, seed).normalised().unwrap()
}

/// The same of different lengths.
fn raw(n: usize, dim: usize, seed: u64) -> Embeddings {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let rows = Array2::from_shape_fn((n, dim), |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    });
    Embeddings::new(rows).unwrap()
}

/// Documents with titles and metadata of all kinds; some have the same words as others.
fn documents(n: usize) -> Vec<Document> {
    let words = ["bridge", "comet", "engine", "river", "star"];
    let document = |at: usize| {
        let text = format!("the {} of the {}", words[at % 5], words[at / 5 % 5]);
        let mut document = Document::new(format!("d{at:04}"), text);
        document.title = at.is_multiple_of(3).then(|| format!("number {}", at % 7));
        let metadata = match at % 4 {
            0 => json!({ "year": 2000 + at % 10, "tags": ["law", words[at % 5]] }),
            1 => json!({ "year": (2000 + at % 10) as f64, "draft": at % 2 == 1 }),
            2 => json!({ "tags": "law", "nested": { "a": [1, null] }, "it's": "\"quoted\" \\ back" }),
            _ => json!({}),
        };
        document.metadata.clone_from(metadata.as_object().unwrap());
        document
    };
    (0..n).map(document).collect()
}

fn table(address: &str, name: &str, embedder: &dyn Embedder) -> Table {
    let address: Address = address.parse().unwrap();
    Table::create(&address, name, &TableConfig::of("hash", embedder)).unwrap()
}

fn ingest(
    table: &Table,
    embedder: &dyn Embedder,
    documents: &[Document],
) -> ragbias_postgres::Result<Ingested> {
    let mut ingestion = Ingestion::new(table, embedder, documents.len(), &Silent)?;
    ingestion.add(documents)?;
    Ok(ingestion.done())
}
