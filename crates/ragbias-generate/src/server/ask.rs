//! Sends a request until there is an answer, or a permanent failure.

use std::time::Duration;

use ragbias_core::ContentId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::failure::{ADDRESS, Failure, Then};
use super::parallel::{Call, Permit, Stopped};
use super::reply::{self, Ended, Reply};
use super::request::Asked;
use super::transport::Response;
use super::{LONGEST_LISTING, Server, Thinking, identity};
use crate::{Error, Result};

/// Additional attempts of a prompt while the server limits the rate.
const LIMITED_TRIES: u32 = 4;

/// Maximum number of times that the fields of one request are changed.
const MOST_CHANGES: usize = 12;

const NO_PATH: &str = "the address has no path; most servers' is /v1, as in http://localhost:8080/v1#llama3";

impl Server {
    /// Gets a page and reads it, or returns the failure.
    pub(super) fn page<T>(
        &self,
        url: &str,
        read: impl Fn(Result<Response, Failure>) -> Result<T, Failure>,
    ) -> Result<T, Stopped<Error>> {
        let timeout = LONGEST_LISTING.min(Duration::from_secs_f64(self.config.timeout));
        self.persist(&Call::new(), url, || read(self.transport.send(url, None, timeout)))
    }

    /// Posts one prompt; if the server rejects a field, without it.
    pub(super) fn ask(&self, call: &Call, asked: Asked<'_>) -> Result<Reply, Stopped<Error>> {
        let reply = self.persist(call, asked.prompt.user, || self.adapt(&asked))?;
        let mut seen = self.seen();
        if let Some(fingerprint) = &reply.fingerprint {
            *seen.fingerprints.entry(fingerprint.clone()).or_default() += 1;
        }
        for remark in &reply.remarks {
            *seen.remarks.entry(remark.clone()).or_default() += 1;
        }
        Ok(reply)
    }

    fn adapt(&self, asked: &Asked<'_>) -> Result<Reply, Failure> {
        let url = self.address.at("/chat/completions");
        let insists = self.config.thinking == Thinking::Off;
        let options = &self.config.options;
        for _ in 0..MOST_CHANGES {
            let fields = *self.fields();
            let body = fields.body(&self.identity.name, asked, options);
            let read = self
                .transport
                .send(&url, Some(&body), self.patience(asked.budget))
                .and_then(|response| Ok((reply::read(&response)?, response.held_secret)));
            let failure = match read {
                Ok((mut reply, held_secret)) => {
                    // A server may send the body as a stream.
                    let (text, in_pieces) = self.transport.without_secrets(reply.text);
                    reply.text = text;
                    self.seen().held_secret += usize::from(held_secret || in_pieces);
                    identity::check(self.identity.answered.as_deref(), reply.model.as_deref())?;
                    return Ok(reply);
                }
                Err(failure) => failure,
            };
            match &failure.then {
                Then::Refused => return Ok(Reply::without_text(Ended::Refused)),
                Then::Spent => return Ok(Reply::without_text(Ended::Cut)),
                Then::Adapt(complaint) => {
                    let mut now = self.fields();
                    // Another request may have had the same rejection meanwhile.
                    if *now == fields {
                        *now = fields.adapted(complaint, options, insists).ok_or(failure)?;
                    }
                }
                _ => return Err(failure),
            }
        }
        Err(Failure::new("the server takes no request, whatever is left out", ADDRESS, Then::Stop))
    }

    /// Retries until there is an answer, and waits in between as long as the server asks, or with exponential backoff.
    fn persist<T>(
        &self,
        call: &Call,
        seed: &str,
        attempt: impl Fn() -> Result<T, Failure>,
    ) -> Result<T, Stopped<Error>> {
        // Fewer attempts for a server that has never answered.
        let known = self.id.is_some();
        let mut jitter = ChaCha8Rng::from_seed(*ContentId::of(seed.as_bytes()).as_bytes());
        let mut wait = self.config.backoff;
        let (mut tries, mut limited, mut late) = (0, 0, 0);
        loop {
            let permit = self.throttle.enter(call).ok_or(Stopped::Abandoned)?;
            let failure = match attempt() {
                Ok(value) => {
                    permit.answered();
                    return Ok(value);
                }
                Err(failure) => failure,
            };
            let after = match &failure.then {
                Then::Again(after) => {
                    tries += 1;
                    *after
                }
                Then::Slower(after) => {
                    limited += 1;
                    Permit::too_many(permit, *after);
                    // All requests wait as long as the server asks.
                    after.map(|_| Duration::ZERO)
                }
                Then::Late => {
                    late += 1;
                    None
                }
                Then::Stop => return Err(Stopped::All(self.error(&failure, tries + limited + late + 1))),
                _ => return Err(Stopped::Failed(self.error(&failure, tries + limited + late + 1))),
            };
            let limited_tries = self.config.attempts * if known { LIMITED_TRIES } else { 1 };
            let most_late = if known { 2 } else { 1 };
            if tries >= self.config.attempts || limited >= limited_tries || late >= most_late {
                return Err(Stopped::Failed(self.error(&failure, tries + limited + late)));
            }
            let backoff = wait.mul_f64(jitter.random_range(0.75..1.25));
            wait = (wait * 2).min(super::failure::LONGEST_WAIT);
            call.rest(after.unwrap_or(backoff));
        }
    }

    fn error(&self, failure: &Failure, attempts: u32) -> Error {
        let hint = if failure.hint == ADDRESS && self.address.has_no_path() { NO_PATH } else { failure.hint };
        Error::Server { url: self.address.to_string(), reason: failure.reason.clone(), attempts, hint }
    }
}
