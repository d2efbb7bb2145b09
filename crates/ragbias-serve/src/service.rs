use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use ragbias::core::Role;
use tokio::sync::oneshot;

use crate::batch::{Job, Task, answer};
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::queue::{Full, Queue};
use crate::token::Token;
use crate::{Result, ServeConfig, Serving};

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

    /// Serves this from the next request on. Requests are not interrupted: one that waits is answered by what it was checked against.
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

    /// Whether these headers have the token, where there is one.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        self.token.is_none_or(|token| token.is_in(headers))
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, route: &str, status: u16, took: Duration) {
        self.shared.metrics.answered(route, status, took);
    }

    /// Embeds texts in batches with what the request was checked against, and does with them what `task` says; the results of the batches, in order.
    ///
    /// All batches wait in the queue, or none; nobody waits for them after the time of a request.
    pub(crate) async fn compute<R>(
        &self,
        serving: &Arc<Serving>,
        texts: Vec<String>,
        role: Role,
        truncate: bool,
        task: impl Fn(oneshot::Sender<Result<R, Failure>>) -> Task,
    ) -> Result<Vec<R>, Failure> {
        let until = Instant::now() + self.config().timeout;
        let (mut jobs, mut replies) = (Vec::new(), Vec::new());
        let mut texts = texts.into_iter();
        while texts.len() > 0 {
            let (reply, replied) = oneshot::channel();
            let texts = texts.by_ref().take(self.config().batch).collect();
            jobs.push(Job { serving: Arc::clone(serving), texts, role, truncate, until, task: task(reply) });
            replies.push(replied);
        }
        self.enqueue(jobs)?;
        let mut results = Vec::with_capacity(replies.len());
        for replied in replies {
            results.push(replied.await.map_err(|_| Failure::Late)??);
        }
        Ok(results)
    }

    /// Adds jobs to the queue, all or none.
    fn enqueue(&self, jobs: Vec<Job>) -> Result<(), Failure> {
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
            let texts = answer(jobs);
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
