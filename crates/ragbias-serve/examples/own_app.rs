//! Searches with a chosen control inside an axum application of one's own.
//!
//! `cargo run --release -p ragbias-serve --example own_app -- runs/gender/choice/gender-smollm2-135m-merge corpus.jsonl`

use axum::{Router, routing::get};
use ragbias::core::Silent;
use ragbias::{Retriever, data::read_corpus};
use ragbias_serve::{ServeConfig, Service, Serving, serve};
use tokio::net::TcpListener;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (control, corpus) = args.next().zip(args.next()).ok_or("expected CONTROL CORPUS")?;
    let documents = read_corpus(corpus.as_ref(), None, &Silent)?;
    let retriever = Retriever::load(control, &documents)?;
    let service = Service::new(Serving::retriever("fair", retriever)?, ServeConfig::default())?;
    let app = Router::new().route("/", get(async || "mine")).nest("/rag", service.router());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Or `axum::serve(listener, app)`, which has no limit on connections.
        let listener = TcpListener::bind("127.0.0.1:8080").await?;
        serve(&service, app, listener, async { drop(tokio::signal::ctrl_c().await) }).await;
        Ok(())
    })
}
