//! The routes that describe the service.

use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{Html, IntoResponse};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::json::Json;
use crate::service::Service;

/// The description of every route, in `OpenAPI` 3.1.
const DESCRIPTION: &str = include_str!("openapi.json");

/// A page that shows it.
const PAGE: &str = include_str!("page.html");

pub(crate) async fn health() -> &'static str {
    "ok"
}

pub(crate) async fn models(State(service): State<Service>) -> Json<Value> {
    let serving = service.serving();
    let model = json!({ "id": serving.model(), "object": "model", "created": 0, "owned_by": "ragbias" });
    Json(json!({ "object": "list", "data": [model] }))
}

pub(crate) async fn metrics(State(service): State<Service>) -> Result<impl IntoResponse, Failure> {
    let text = service.metrics().map_err(|error| Failure::Internal(error.to_string()))?;
    Ok(([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}

pub(crate) async fn description() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DESCRIPTION)
}

pub(crate) async fn page() -> impl IntoResponse {
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'";
    ([(CONTENT_SECURITY_POLICY, policy)], Html(PAGE))
}
