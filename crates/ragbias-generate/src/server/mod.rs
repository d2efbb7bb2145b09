//! OpenAI-compatible servers.
//!
//! `address` and `key`: where requests are sent and with which credentials; `hosts`: whether a key may be sent there; `secrets`:
//! what is never shown; `request`: what is sent; `transport` and `ask`: sending and retrying; `failure` and `reply`: reading
//! responses; `letters` and `choice`: choices; `identity`: which model answered; `embeddings` and `search`: vectors and
//! documents instead of answers, `patient`: their requests, repeated.

mod address;
mod ask;
mod choice;
mod config;
mod content;
mod embeddings;
mod failure;
mod hosts;
mod identity;
mod key;
mod letters;
mod parallel;
mod patient;
mod reasoning;
mod reply;
mod request;
mod search;
mod secrets;
mod seen;
mod stream;
mod tokens;
mod transport;
mod wait;

#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use ragbias_core::{Answer, ChoicePrompt, Chosen, ContentId, Finish, Generator, Keep, Prompt};

pub use address::Address;
pub use config::{ChoiceMethod, Options, ServerConfig, Thinking};
pub use embeddings::{EmbeddingRequest, EmbeddingServer};
pub use hosts::AllowedHost;
pub use search::SearchServer;
pub use secrets::without_secrets;

use self::failure::Then;
use self::identity::{Identity, Listing};
use self::key::Key;
use self::parallel::{Call, Stopped, Throttle};
use self::reply::{Ended, Reply};
use self::request::{Asked, Fields, sets_budget};
use self::seen::Seen;
use self::transport::Transport;
use crate::config::GenerateConfig;
use crate::{Error, Result};

/// An OpenAI-compatible server.
///
/// `POST {address}/chat/completions`, with the password or key of the address, or else the key from `RAGBIAS_API_KEY` or
/// `OPENAI_API_KEY` if set; it appears in no error, answer or `Debug`, and is sent to no other host. [`ServerConfig`] has
/// the settings; `docs/formats.md` says how answers are read, and which are refused.
///
/// The model is identified once, at [`connect`](Self::connect), and is part of [`id`](Generator::id): the entry in
/// `GET /models`, and the name in its answers. A later answer with another name is an error.
pub struct Server {
    transport: Transport,
    address: Address,
    identity: Identity,
    config: ServerConfig,
    generate: GenerateConfig,
    fields: Mutex<Fields>,
    throttle: Throttle,
    seen: Mutex<Seen>,
    /// Set once the first request has been answered.
    id: Option<ContentId>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address.to_string())
            .field("model", &self.identity.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The first request to a server: the answer reveals the name of the model, and which fields of a request are accepted.
const FIRST_PROMPT: &str = "Reply with the letter A.";

/// Factor of the timeout if a model may reason first.
const THINKING_TAKES: f64 = 10.0;

/// Number of attempts to list the models of a busy server.
const LISTING_TRIES: u32 = 3;

/// Timeout of the requests that identify a server.
const LONGEST_LISTING: Duration = Duration::from_secs(20);

impl Server {
    /// Connects to the server at `address`, such as `http://localhost:8080/v1#llama3`: identifies its model and gets an answer.
    ///
    /// # Errors
    /// A setting out of range, a key that cannot be sent, and a server that does not answer as expected.
    pub fn connect(address: &str, config: &ServerConfig, generate: &GenerateConfig) -> Result<Self> {
        Self::at(&Address::parse(address)?, &[], config, generate)
    }

    /// Like [`connect`](Self::connect), with additional hosts to which keys may be sent.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect); [`Error::KeyHost`] before anything is sent.
    pub fn at(
        address: &Address,
        allowed: &[AllowedHost],
        config: &ServerConfig,
        generate: &GenerateConfig,
    ) -> Result<Self> {
        Self::with_key(address, Key::from_env()?, allowed, config, generate)
    }

    /// Whether the key from the environment, or that of the address, may be sent there.
    ///
    /// # Errors
    /// [`Error::KeyHost`], which says how to allow it.
    pub fn check_key(address: &Address, allowed: &[AllowedHost]) -> Result<()> {
        Transport::new(address, Key::from_env()?, allowed, 1).map(drop)
    }

    fn with_key(
        address: &Address,
        key: Option<Key>,
        allowed: &[AllowedHost],
        config: &ServerConfig,
        generate: &GenerateConfig,
    ) -> Result<Self> {
        config.check()?;
        generate.check()?;
        let address = address.clone();
        let mut server = Self {
            transport: Transport::new(&address, key, allowed, config.parallel)?,
            identity: Identity::of(&address, Listing::Nothing("not asked yet".into()), SystemTime::now())?,
            address,
            config: config.clone(),
            generate: generate.clone(),
            fields: Mutex::new(Fields::new(config.thinking == Thinking::Off)),
            throttle: Throttle::new(config.parallel),
            seen: Mutex::new(Seen::default()),
            id: None,
        };
        let whole = |stopped| match stopped {
            Stopped::Failed(error) | Stopped::All(error) => error,
            Stopped::Abandoned => unreachable!("a first question is asked alone; this is a bug"),
        };
        let models = server.address.at("/models");
        let tries = AtomicU32::new(0);
        let listing = server.page(&models, |got| {
            let last = tries.fetch_add(1, Ordering::Relaxed) + 1 >= config.attempts.min(LISTING_TRIES);
            match got {
                Ok(response) => Listing::read(&response, last),
                // If nothing answers, the first request would fail too; after any other failure it is still useful.
                Err(failure) if matches!(failure.then, Then::Again(_) | Then::Late) => Err(failure),
                Err(failure) => Ok(Listing::Nothing(format!("GET /models: {}", failure.reason))),
            }
        });
        let listing = listing.map_err(whole)?;
        server.identity = Identity::of(&server.address, listing, SystemTime::now())?;
        if config.thinking == Thinking::Auto && server.identity.is_llama_cpp() {
            let url = server.address.at_root("/props");
            let switch = server.page(&url, |got| {
                Ok(got.is_ok_and(|page| page.status == 200 && page.text.contains("enable_thinking")))
            });
            server.fields().no_thinking = switch.map_err(whole)?;
        }
        let first = server.reply(&Call::new(), server.free(FIRST_PROMPT.into())).map_err(whole)?;
        server.identity.answered = first.model;
        let thinking = if server.fields().no_thinking { "no thinking" } else { "thinking" };
        let settings = [&generate.fingerprint(), &config.fingerprint(), thinking];
        server.id = Some(identity::id_of(&server.address, &server.identity, &settings));
        Ok(server)
    }

    fn fields(&self) -> MutexGuard<'_, Fields> {
        self.fields.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request for a free answer.
    fn free<'p>(&self, prompt: Prompt<'p>) -> Asked<'p> {
        Asked {
            prompt,
            budget: self.generate.max_new_tokens,
            temperature: self.generate.temperature,
            seed: self.generate.seed,
            logprobs: false,
        }
    }

    /// The budget of a reasoning model.
    fn larger_budget(&self) -> usize {
        self.generate.max_new_tokens + self.config.reasoning_tokens
    }

    /// The timeout of one answer.
    fn patience(&self, budget: usize) -> Duration {
        let thinks = budget > self.generate.max_new_tokens || sets_budget(&self.config.options);
        Duration::from_secs_f64(self.config.timeout * if thinks { THINKING_TAKES } else { 1.0 })
    }

    /// An answer's text; a model that turns out to reason is asked once more, with a larger budget.
    fn reply(&self, call: &Call, asked: Asked<'_>) -> Result<Reply, Stopped<Error>> {
        let small = asked.budget;
        let large = small + self.config.reasoning_tokens;
        let budget = if self.fields().reasons { large } else { small };
        let mut reply = self.ask(call, Asked { budget, ..asked })?;
        let thinks = |reply: &Reply| reply.ended == Ended::Cut && (reply.reasoned || reply.text.is_empty());
        if thinks(&reply) && budget < large && !sets_budget(&self.config.options) {
            self.fields().reasons = true;
            reply = self.ask(call, Asked { budget: large, ..asked })?;
        }
        let mut seen = self.seen();
        seen.cut_thinking += usize::from(thinks(&reply));
        seen.only_thought +=
            usize::from(reply.reasoned && reply.ended == Ended::Refused && reply.text.is_empty());
        Ok(reply)
    }

    fn answer(&self, call: &Call, prompt: Prompt<'_>) -> Result<Answer, Stopped<Error>> {
        let reply = self.reply(call, self.free(prompt))?;
        let (text, ended) = self.generate.cut(&reply.text);
        let finish = match reply.ended {
            // The answer ended before the cut.
            Ended::Cut if ended && !text.is_empty() => Finish::Stop,
            Ended::Cut => Finish::Cut,
            Ended::Stop if text.is_empty() => Finish::Refused,
            Ended::Stop => Finish::Stop,
            Ended::Refused => Finish::Refused,
        };
        Ok(Answer { text: text.into(), finish })
    }

    fn each<P: Sync, A>(
        &self,
        prompts: &[P],
        keep: &Keep<'_, A>,
        answer: impl Fn(&Call, &P) -> Result<A, Stopped<Error>> + Sync,
    ) -> ragbias_core::Result<()> {
        parallel::each(prompts.len(), self.config.parallel, |call, number| {
            let answer = answer(call, &prompts[number]).map_err(Stopped::into_core)?;
            keep(number, answer).map_err(Stopped::All)
        })
    }
}

impl Stopped<Error> {
    fn into_core(self) -> Stopped<ragbias_core::Error> {
        match self {
            Self::Failed(error) => Stopped::Failed(error.into()),
            Self::All(error) => Stopped::All(error.into()),
            Self::Abandoned => Stopped::Abandoned,
        }
    }
}

impl Generator for Server {
    fn id(&self) -> ContentId {
        self.id.expect("a server is connected before anybody has it; this is a bug")
    }

    fn generate(&self, prompts: &[Prompt<'_>], keep: &Keep<'_, Answer>) -> ragbias_core::Result<()> {
        self.each(prompts, keep, |call, &prompt| self.answer(call, prompt))
    }

    fn choose(&self, prompts: &[ChoicePrompt<'_>], keep: &Keep<'_, Chosen>) -> ragbias_core::Result<()> {
        self.each(prompts, keep, |call, asked| self.choice(call, asked))
    }

    fn notes(&self) -> Vec<String> {
        let fields = *self.fields();
        let mut notes = self.identity.notes();
        notes.extend(fields.notes(self.config.thinking == Thinking::Auto));
        notes.extend(self.seen().notes(self.config.samples, self.larger_budget(), self.throttle.limited()));
        notes.into_iter().map(|note| format!("{}: {note}", self.address)).collect()
    }

    fn fingerprints(&self) -> BTreeMap<String, usize> {
        self.seen().fingerprints.clone()
    }

    fn assumed(&self) -> Option<String> {
        self.identity.assumed().map(|name| format!("{name} at {}", self.address))
    }
}
