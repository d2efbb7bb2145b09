use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::json::Json;

/// Why a request is not answered, as OpenAI's API reports it: `{"error": {"message", "type", "code"}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The request is wrong.
    Wrong(String),
    /// It is larger than allowed.
    TooLarge(String),
    /// Another kind of body than JSON.
    NotJson,
    /// No such route, or no such model.
    NotFound(String),
    /// The route has other methods.
    Method,
    /// No token, or another.
    Unauthorised,
    /// Too many texts wait; some will have been embedded in so many seconds.
    Busy(u64),
    /// No answer in time.
    Late,
    /// The documents cannot be reached now.
    Unavailable(String),
    /// The embedder or the index failed.
    Internal(String),
}

impl Failure {
    fn parts(&self) -> (StatusCode, &'static str, String) {
        let request = "invalid_request_error";
        match self {
            Self::Wrong(message) => (StatusCode::BAD_REQUEST, request, message.clone()),
            Self::TooLarge(message) => (StatusCode::PAYLOAD_TOO_LARGE, request, message.clone()),
            Self::NotJson => {
                let message = "the body must be JSON, sent with `Content-Type: application/json`";
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, request, message.into())
            }
            Self::NotFound(message) => (StatusCode::NOT_FOUND, "not_found_error", message.clone()),
            Self::Method => {
                let message = "the route has other methods; GET /openapi.json lists them";
                (StatusCode::METHOD_NOT_ALLOWED, request, message.into())
            }
            Self::Unauthorised => {
                let message =
                    "expected the header `Authorization: Bearer TOKEN` with the token of this server";
                (StatusCode::UNAUTHORIZED, "authentication_error", message.into())
            }
            Self::Busy(seconds) => {
                let message = format!("too many texts wait to be embedded; try again in {seconds} s");
                (StatusCode::SERVICE_UNAVAILABLE, "overloaded_error", message)
            }
            Self::Late => {
                (StatusCode::SERVICE_UNAVAILABLE, "timeout_error", "no answer in time; try again".into())
            }
            Self::Unavailable(message) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable_error", message.clone())
            }
            Self::Internal(message) => (StatusCode::INTERNAL_SERVER_ERROR, "server_error", message.clone()),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, kind, message) = self.parts();
        let body = json!({ "error": { "message": message, "type": kind, "code": status.as_u16() } });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Busy(seconds) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            Self::Late | Self::Unavailable(_) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(1));
            }
            Self::Unauthorised => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}
