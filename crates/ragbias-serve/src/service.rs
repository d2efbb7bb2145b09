use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use ragbias::core::Role;

use crate::batch::{Job, Task, answer};
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::queue::{Full, Queue};
use crate::token::Token;
use crate::{Result, ServeConfig, Serving, embeddings, pages, search};

/// Bytes of texts that are embedded together, which bounds the time that a short text waits behind long ones.
const BATCH_BYTES: usize = 64 << 10;
/// Batches over which the time per text is averaged.
const SPAN: u64 = 5;
/// Longest time after which a refused request is told to come back, in seconds.
const LONGEST_WAIT: u64 = 60;

/// Answers requests. A clone shares everything.
///
/// One thread embeds, with all cores, what waits in a queue. When the last clone is dropped, it ends.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
    token: Option<Token>,
    /// Closes the queue when the last service is dropped.
    _open: Arc<Open>,
}

struct Shared {
    serving: RwLock<Arc<Serving>>,
    queue: Queue<Job>,
    config: ServeConfig,
    metrics: Metrics,
    /// Microseconds per text, lately; 0 before the first.
    pace: AtomicU64,
}

struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

impl Service {
    /// A service with these limits.
    ///
    /// # Errors
    /// A limit outside its range, or a thread that cannot be started.
    pub fn new(serving: Serving, config: ServeConfig) -> Result<Self> {
        config.check()?;
        let shared = Arc::new(Shared {
            serving: RwLock::new(Arc::new(serving)),
            queue: Queue::new(config.queue),
            config,
            metrics: Metrics::new(),
            pace: AtomicU64::new(0),
        });
        let worker = Arc::clone(&shared);
        thread::Builder::new().name("embedding".into()).spawn(move || worker.work())?;
        let open = Arc::new(Open(Arc::clone(&shared)));
        Ok(Self { shared, token: None, _open: open })
    }

    /// The same, for requests that send this token; only `/healthz` is answered without.
    #[must_use]
    pub fn guarded_by(self, token: Token) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Whether requests must send a token.
    pub fn is_guarded(&self) -> bool {
        self.token.is_some()
    }

    /// Serves this from the next batch on. Requests are not interrupted: what is being computed is answered as it was asked.
    pub fn swap(&self, serving: Serving) {
        *self.shared.serving.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(serving);
        self.shared.metrics.swaps.inc();
    }

    /// What is served now.
    pub fn serving(&self) -> Arc<Serving> {
        self.shared.serving()
    }

    /// Its limits.
    pub fn config(&self) -> &ServeConfig {
        &self.shared.config
    }

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

    /// A job that nobody waits for after the time of a request.
    pub(crate) fn job(&self, texts: Vec<String>, role: Role, truncate: bool, task: Task) -> Job {
        Job { texts, role, truncate, until: Instant::now() + self.config().timeout, task }
    }

    /// Adds jobs to the queue, all or none.
    pub(crate) fn enqueue(&self, jobs: Vec<Job>) -> Result<(), Failure> {
        self.shared.queue.push(jobs).map_err(|Full { waiting }| {
            self.shared.metrics.refused.inc();
            let wait = waiting as u64 * self.shared.pace.load(Ordering::Relaxed);
            Failure::Busy(wait.div_ceil(1_000_000).clamp(1, LONGEST_WAIT))
        })
    }

    pub(crate) fn metrics(&self) -> Result<String, std::fmt::Error> {
        let documents = self.serving().documents_served().unwrap_or(0);
        self.shared.metrics.text(self.shared.queue.waiting(), documents)
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("serving", &self.serving())
            .field("config", self.config())
            .field("guarded", &self.is_guarded())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn serving(&self) -> Arc<Serving> {
        Arc::clone(&self.serving.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Embeds what waits, until the queue is closed and empty.
    fn work(&self) {
        while let Some(jobs) = self.queue.take(self.config.batch, BATCH_BYTES) {
            let begun = Instant::now();
            let texts = answer(&self.serving(), jobs);
            self.note(texts, begun.elapsed());
        }
    }

    fn note(&self, texts: usize, took: Duration) {
        if texts == 0 {
            return;
        }
        self.metrics.batches.observe(texts as f64);
        self.metrics.texts.inc_by(texts as u64);
        let latest = took.as_micros() as u64 / texts as u64;
        let before = self.pace.load(Ordering::Relaxed);
        let pace = if before == 0 { latest } else { (before * (SPAN - 1) + latest) / SPAN };
        self.pace.store(pace, Ordering::Relaxed);
    }
}

/// Checks the token, limits the time, and counts the answer.
async fn watched(State(service): State<Service>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let free = route.as_deref().is_some_and(|route| route.ends_with("/healthz"));
    let known = service.token.is_none_or(|token| free || token.is_in(request.headers()));
    let response = if known {
        let answered = tokio::time::timeout(service.config().timeout, next.run(request)).await;
        answered.unwrap_or_else(|_| Failure::Late.into_response())
    } else {
        Failure::Unauthorised.into_response()
    };
    let response = if response.status() == StatusCode::PAYLOAD_TOO_LARGE && !is_json(&response) {
        let most = service.config().body_bytes;
        Failure::TooLarge(format!("the body has more than the {most} bytes that are allowed")).into_response()
    } else {
        response
    };
    let route = route.as_deref().unwrap_or("other");
    service.shared.metrics.answered(route, response.status().as_u16(), begun.elapsed());
    response
}

fn is_json(response: &Response) -> bool {
    let kind = response.headers().get(axum::http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}
