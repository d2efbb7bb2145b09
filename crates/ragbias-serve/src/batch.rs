//! What requests wait for, computed for many of them together.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use ragbias::Retriever;
use ragbias::core::{Embedder, Embeddings, Filter, Role, TokenCount, message};
use tokio::sync::oneshot;

use crate::failure::Failure;
use crate::hit::SearchHit;
use crate::queue::Load;
use crate::serving::Serving;

/// Texts of one request that are embedded together.
pub(crate) struct Job {
    /// What the request was checked against, by which it is answered whatever is served by then.
    pub(crate) serving: Arc<Serving>,
    pub(crate) texts: Vec<String>,
    pub(crate) role: Role,
    /// Whether the end of a text may be left out that is longer than the model's limit.
    pub(crate) truncate: bool,
    /// After this nobody waits for it any more.
    pub(crate) until: Instant,
    pub(crate) task: Task,
}

/// What is done with the vectors, and who waits for it.
pub(crate) enum Task {
    Embed(oneshot::Sender<Result<Vectors, Failure>>),
    Search { k: usize, filter: Filter, reply: oneshot::Sender<Result<Vec<Vec<SearchHit>>, Failure>> },
}

/// The vectors of a job's texts.
pub(crate) struct Vectors {
    pub(crate) rows: Embeddings,
    /// Number of tokens of all texts, if the embedder knows it.
    pub(crate) tokens: Option<usize>,
}

impl Load for Job {
    fn texts(&self) -> usize {
        self.texts.len()
    }

    fn bytes(&self) -> usize {
        self.texts.iter().map(String::len).sum()
    }
}

impl Job {
    fn fail(self, failure: Failure) {
        // Nobody may wait for the reply any more.
        match self.task {
            Task::Embed(reply) => drop(reply.send(Err(failure))),
            Task::Search { reply, .. } => drop(reply.send(Err(failure))),
        }
    }

    fn is_awaited(&self) -> bool {
        let closed = match &self.task {
            Task::Embed(reply) => reply.is_closed(),
            Task::Search { reply, .. } => reply.is_closed(),
        };
        !closed && Instant::now() < self.until
    }
}

/// Answers every job; returns the number of texts that were embedded.
pub(crate) fn answer(jobs: Vec<Job>) -> usize {
    let awaited = jobs.into_iter().filter_map(|job| {
        if job.is_awaited() {
            return Some(job);
        }
        job.fail(Failure::Late);
        None
    });
    // Those that ask the same one together; after a swap there are two for a moment.
    let mut groups: Vec<(Arc<Serving>, Role, Vec<Job>)> = Vec::new();
    for job in awaited {
        let is_its = |(serving, role, _): &&mut (Arc<Serving>, Role, _)| {
            *role == job.role && Arc::ptr_eq(serving, &job.serving)
        };
        match groups.iter_mut().find(is_its) {
            Some((_, _, jobs)) => jobs.push(job),
            None => groups.push((Arc::clone(&job.serving), job.role, vec![job])),
        }
    }
    groups.into_iter().map(|(serving, role, jobs)| answer_as(&serving, jobs, role)).sum()
}

/// The same for jobs of one role.
fn answer_as(serving: &Serving, jobs: Vec<Job>, role: Role) -> usize {
    let mut ready = Vec::with_capacity(jobs.len());
    for job in jobs {
        match counted(serving.vectors(), &job) {
            Ok(tokens) => ready.push((job, tokens)),
            Err(failure) => job.fail(failure),
        }
    }
    if ready.is_empty() {
        return 0;
    }
    let texts: Vec<&str> = ready.iter().flat_map(|(job, _)| job.texts.iter().map(String::as_str)).collect();
    let number = texts.len();
    match guarded(|| serving.vectors().embed(&texts, role).map_err(internal)) {
        Ok(vectors) if vectors.len() == number => {
            hand_out(serving, ready, &vectors);
            number
        }
        Ok(vectors) => {
            let given = format!("the embedder gave {} vectors for {number} texts", vectors.len());
            fail_all(ready.into_iter().map(|(job, _)| job), &Failure::Internal(given));
            0
        }
        Err(failure) if ready.len() == 1 => {
            fail_all(ready.into_iter().map(|(job, _)| job), &failure);
            0
        }
        // One text may be at fault; the other jobs are not to suffer for it.
        Err(_) => ready.into_iter().map(|(job, _)| answer_as(serving, vec![job], role)).sum(),
    }
}

fn fail_all(jobs: impl IntoIterator<Item = Job>, failure: &Failure) {
    for job in jobs {
        job.fail(failure.clone());
    }
}

fn internal(error: impl std::error::Error + 'static) -> Failure {
    Failure::Internal(message(&error))
}

/// The number of tokens of a job, if it is known.
fn counted(embedder: &dyn Embedder, job: &Job) -> Result<Option<usize>, Failure> {
    let texts: Vec<&str> = job.texts.iter().map(String::as_str).collect();
    let counts = guarded(|| embedder.token_counts(&texts, job.role).map_err(internal));
    let Some(counts) = counts? else { return Ok(None) };
    if let (false, Some(long)) = (job.truncate, counts.iter().position(|count| count.truncated)) {
        let TokenCount { tokens, .. } = counts[long];
        return Err(Failure::TooLarge(format!(
            "a text of {} bytes is longer than the {tokens} tokens that the model reads; `\"truncate\": true` leaves its end out",
            job.texts[long].len()
        )));
    }
    Ok(Some(counts.iter().map(|count| count.tokens).sum()))
}

/// Replies to embedding jobs, and searches with the vectors of the others: those that ask alike, together.
fn hand_out(serving: &Serving, jobs: Vec<(Job, Option<usize>)>, vectors: &Embeddings) {
    let mut searches: BTreeMap<usize, Vec<(Job, Embeddings)>> = BTreeMap::new();
    let mut first = 0;
    for (job, tokens) in jobs {
        let rows = vectors.rows(first..first + job.texts.len());
        first += job.texts.len();
        match job.task {
            Task::Embed(reply) => drop(reply.send(Ok(Vectors { rows, tokens }))),
            Task::Search { k, ref filter, .. } if filter.is_empty() => {
                searches.entry(k).or_default().push((job, rows));
            }
            Task::Search { k, .. } => search(serving, k, vec![(job, rows)]),
        }
    }
    for (k, jobs) in searches {
        search(serving, k, jobs);
    }
}

/// Searches for jobs that ask for as many documents, all with the filter of the first.
fn search(serving: &Serving, k: usize, jobs: Vec<(Job, Embeddings)>) {
    let (jobs, vectors): (Vec<Job>, Vec<Embeddings>) = jobs.into_iter().unzip();
    let found = serving.documents().ok_or_else(|| Failure::Internal("no documents are served".to_owned()));
    let found = found.and_then(|retriever| guarded(|| find(retriever, k, &jobs, vectors)));
    let mut found = match found {
        Ok(found) => found.into_iter(),
        Err(failure) => return fail_all(jobs, &failure),
    };
    for job in jobs {
        let hits = found.by_ref().take(job.texts.len()).collect();
        if let Task::Search { reply, .. } = job.task {
            drop(reply.send(Ok(hits)));
        }
    }
}

/// The documents of every question, in order.
fn find(
    retriever: &Retriever,
    k: usize,
    jobs: &[Job],
    vectors: Vec<Embeddings>,
) -> Result<Vec<Vec<SearchHit>>, Failure> {
    let questions: Vec<&str> = jobs.iter().flat_map(|job| job.texts.iter().map(String::as_str)).collect();
    let filter = jobs.first().and_then(|job| match &job.task {
        Task::Search { filter, .. } => Some(filter.clone()),
        Task::Embed(_) => None,
    });
    let vectors = Embeddings::concatenated(vectors).map_err(internal)?;
    let found = retriever.search_by(&questions, &vectors, k, &filter.unwrap_or_default());
    let found = found.map_err(|error| {
        if error.is_unavailable() { Failure::Unavailable(message(&error)) } else { internal(error) }
    })?;
    Ok(found.into_iter().map(|hits| hits.into_iter().map(SearchHit::of).collect()).collect())
}

/// The result of some work; a panic is an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Failure::Internal("the request could not be computed; this is a bug".into())))
}
