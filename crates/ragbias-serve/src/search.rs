//! `/search`: the nearest documents, with the control.

use axum::extract::{RawQuery, State};
use percent_encoding::percent_decode_str;
use ragbias::core::{Filter, Role};
use serde::{Deserialize, Serialize};

use crate::batch::Task;
use crate::body::{Body, Texts};
use crate::failure::Failure;
use crate::filter;
use crate::hit::SearchHit;
use crate::json::Json;
use crate::service::Service;

/// Documents per question, unless asked for more or fewer.
const TOP_K: usize = 10;

fn top_k() -> usize {
    TOP_K
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    query: Texts,
    #[serde(default = "top_k")]
    k: usize,
    #[serde(default)]
    filter: Filter,
    #[serde(default)]
    truncate: bool,
}

impl Request {
    /// The request of `GET /search?q=…&k=…&truncate=…`.
    fn by_address(query: &str) -> Result<Self, Failure> {
        let (mut question, mut k, mut truncate) = (None, TOP_K, false);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8();
            let value = value.map_err(|_| Failure::Wrong(format!("`{name}` is not UTF-8")))?;
            let wrong =
                |expected: &str| Failure::Wrong(format!("`{name}` is `{value}`, expected {expected}"));
            match name {
                "q" => question = Some(value.into_owned()),
                "k" => k = value.parse().map_err(|_| wrong("a number"))?,
                "truncate" => truncate = value.parse().map_err(|_| wrong("true or false"))?,
                other => {
                    return Err(Failure::Wrong(format!(
                        "unknown parameter `{other}`, expected q, k or truncate"
                    )));
                }
            }
        }
        let question =
            question.ok_or_else(|| Failure::Wrong("expected the parameter `q`, the question".into()))?;
        Ok(Self { query: Texts::One(question), k, filter: Filter::default(), truncate })
    }
}

/// What was found, best first: a list, or a list for each of several questions.
#[derive(Serialize)]
pub(crate) struct Answer {
    model: String,
    results: Results,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Results {
    One(Vec<SearchHit>),
    Many(Vec<Vec<SearchHit>>),
}

pub(crate) async fn search(
    State(service): State<Service>,
    Body(request): Body<Request>,
) -> Result<Json<Answer>, Failure> {
    find(&service, request).await
}

pub(crate) async fn search_by_address(
    State(service): State<Service>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer>, Failure> {
    find(&service, Request::by_address(&query.unwrap_or_default())?).await
}

async fn find(service: &Service, request: Request) -> Result<Json<Answer>, Failure> {
    let serving = service.serving();
    if serving.documents().is_none() {
        return Err(Failure::NotFound("no documents are served, only embeddings".into()));
    }
    filter::check(&request.filter, serving.fields())?;
    let config = service.config();
    if !(1..=config.top_k).contains(&request.k) {
        let (k, most) = (request.k, config.top_k);
        return Err(Failure::Wrong(format!("`k` is {k}, expected 1 to {most}")));
    }
    let one = request.query.is_one();
    let questions = request.query.checked("query", config.texts, config.text_bytes)?;
    let Request { k, filter, truncate, .. } = request;
    let task = |reply| Task::Search { k, filter: filter.clone(), reply };
    let found = service.compute(&serving, questions, Role::Question, truncate, task).await?;
    let mut results: Vec<Vec<SearchHit>> = found.into_iter().flatten().collect();
    let results = if one { Results::One(results.pop().unwrap_or_default()) } else { Results::Many(results) };
    Ok(Json(Answer { model: serving.model().to_owned(), results }))
}
