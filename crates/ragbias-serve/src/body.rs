//! What a request contains.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::de::DeserializeOwned;

use crate::Service;
use crate::failure::Failure;

/// A body, which must be JSON and be sent as JSON: a page of another origin cannot send that without being allowed to.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Service> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, service: &Service) -> Result<Self, Failure> {
        let kind =
            request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let is_json = kind.eq_ignore_ascii_case("application/json");
        let most = service.config().body_bytes;
        let too_large =
            || Failure::TooLarge(format!("the body has more than the {most} bytes that are allowed"));
        // One that is announced as too large is refused before it is received.
        let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        if announced.and_then(|length| length.parse().ok()).is_some_and(|length: u64| length > most as u64) {
            return Err(too_large());
        }
        let body =
            Bytes::from_request(request, service).await.map_err(|rejected| match rejected.status() {
                StatusCode::PAYLOAD_TOO_LARGE => too_large(),
                _ => Failure::Wrong(format!("the body: {}", rejected.body_text())),
            })?;
        if !is_json {
            return Err(Failure::NotJson);
        }
        let parsed = serde_json::from_slice(&body);
        parsed.map(Self).map_err(|error| Failure::Wrong(format!("the body: {error}")))
    }
}

/// One text, or several.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(untagged, expecting = "expected a string, or a list of strings")]
pub(crate) enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Texts {
    pub(crate) fn is_one(&self) -> bool {
        matches!(self, Self::One(_))
    }

    /// The texts, none of them empty or too long, and not too many.
    pub(crate) fn checked(self, name: &str, most: usize, bytes: usize) -> Result<Vec<String>, Failure> {
        let texts = match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        };
        if texts.is_empty() {
            return Err(Failure::Wrong(format!("`{name}` is an empty list")));
        }
        if texts.len() > most {
            let number = texts.len();
            return Err(Failure::TooLarge(format!(
                "`{name}` has {number} texts, at most {most} are allowed"
            )));
        }
        for (place, text) in texts.iter().enumerate() {
            if text.trim().is_empty() {
                return Err(Failure::Wrong(format!("text {place} of `{name}` is empty")));
            }
            if text.len() > bytes {
                let long = text.len();
                return Err(Failure::TooLarge(format!(
                    "text {place} of `{name}` has {long} bytes, at most {bytes} are allowed"
                )));
            }
        }
        Ok(texts)
    }
}
