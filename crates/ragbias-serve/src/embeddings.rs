//! `POST /v1/embeddings`, as in OpenAI's API.

use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ragbias::core::Role;
use serde::{Deserialize, Serialize};

use crate::batch::Task;
use crate::body::{Body, Texts};
use crate::failure::Failure;
use crate::json::Json;
use crate::service::Service;
use crate::serving::Serving;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    input: Texts,
    model: Option<String>,
    #[serde(default)]
    encoding_format: Encoding,
    dimensions: Option<usize>,
    /// Not part of OpenAI's API: whether texts are questions or documents.
    input_type: Option<InputType>,
    /// Not part of it either: whether the end of a text may be left out.
    #[serde(default)]
    truncate: bool,
    /// Who asks; it changes no vector.
    #[serde(rename = "user")]
    _user: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Float,
    Base64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum InputType {
    #[serde(alias = "question")]
    Query,
    #[serde(alias = "passage")]
    Document,
}

#[derive(Serialize)]
pub(crate) struct Answer {
    object: &'static str,
    data: Vec<Row>,
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct Row {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

/// A vector as a list of numbers, or as its little-endian bytes in base64.
#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

pub(crate) async fn embed(
    State(service): State<Service>,
    Body(request): Body<Request>,
) -> Result<Json<Answer>, Failure> {
    let serving = service.serving();
    let role = check(&request, &serving)?;
    let config = service.config();
    let texts = request.input.checked("input", config.texts, config.text_bytes)?;
    let (mut data, mut tokens) = (Vec::with_capacity(texts.len()), Some(0));
    for vectors in service.compute(&serving, texts, role, request.truncate, Task::Embed).await? {
        tokens = tokens.zip(vectors.tokens).map(|(sum, more)| sum + more);
        for row in vectors.rows.as_slice().chunks_exact(vectors.rows.dim()) {
            let embedding = Vector::of(row, request.encoding_format);
            data.push(Row { object: "embedding", index: data.len(), embedding });
        }
    }
    let usage = tokens.map(|tokens| Usage { prompt_tokens: tokens, total_tokens: tokens });
    Ok(Json(Answer { object: "list", data, model: serving.model().to_owned(), usage }))
}

/// The role of the texts; a request for anything else than what is served is refused.
fn check(request: &Request, serving: &Serving) -> Result<Role, Failure> {
    let served = serving.model();
    if let Some(model) = request.model.as_deref().filter(|model| *model != served) {
        return Err(Failure::NotFound(format!("the model `{model}` is not served; `{served}` is")));
    }
    let dim = serving.vectors().dim();
    if let Some(dimensions) = request.dimensions.filter(|dimensions| *dimensions != dim) {
        return Err(Failure::Wrong(format!(
            "`dimensions` is {dimensions}; the vectors of `{served}` have {dim}, and are not shortened"
        )));
    }
    match request.input_type {
        Some(InputType::Query) => Ok(Role::Question),
        None if serving.roles_differ() => Err(Failure::Wrong(format!(
            "`{served}` embeds questions and documents differently, expected `input_type`: \"query\" or \"document\""
        ))),
        Some(InputType::Document) | None => Ok(Role::Document),
    }
}

impl Vector {
    fn of(row: &[f32], encoding: Encoding) -> Self {
        match encoding {
            Encoding::Float => Self::Float(row.to_vec()),
            Encoding::Base64 => {
                let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
                Self::Base64(STANDARD.encode(bytes))
            }
        }
    }
}
