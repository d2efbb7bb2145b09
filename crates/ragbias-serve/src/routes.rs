//! The routes, with their limits, times, and counts.

use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::failure::Failure;
use crate::{Service, embeddings, pages, search};

impl Service {
    /// The routes, with their limits, times, and counts.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/v1/embeddings", post(embeddings::embed))
            .route("/v1/models", get(pages::models))
            .route("/search", post(search::search).get(search::search_by_address))
            .route("/metrics", get(pages::metrics))
            .route("/openapi.json", get(pages::description))
            .route("/", get(pages::page))
            .route("/healthz", get(pages::health))
            .fallback(async || Failure::NotFound("no such route; GET /openapi.json lists them".into()))
            .method_not_allowed_fallback(async || Failure::Method)
            .layer(DefaultBodyLimit::max(self.config().body_bytes))
            .layer(from_fn_with_state(self.clone(), watched))
            .with_state(self.clone())
    }
}

/// Checks the token, limits the time, and counts the answer.
async fn watched(State(service): State<Service>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let free = route.as_deref().is_some_and(|route| route.ends_with("/healthz"));
    let known = free || service.admits(request.headers());
    let response = if known {
        let answered = tokio::time::timeout(service.config().timeout, next.run(request)).await;
        answered.unwrap_or_else(|_| Failure::Late.into_response())
    } else {
        Failure::Unauthorised.into_response()
    };
    let route = route.as_deref().unwrap_or("other");
    service.answered(route, response.status().as_u16(), begun.elapsed());
    response
}
