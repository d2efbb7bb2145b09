//! HTTP: sends a request, reads the response, and follows safe redirects.

use std::borrow::Cow;
use std::time::Duration;

use super::address::{Address, redirected};
use super::failure::{Failure, NOT_CHAT, OVERLOADED, Then, plain};
use super::hosts::{self, AllowedHost, Sent};
use super::key::Key;
use super::secrets::Secrets;
use super::wait;

/// A response, read to its end.
#[derive(Debug, Clone)]
pub(super) struct Response {
    pub(super) status: u16,
    /// Its `Content-Type`, in lower case.
    pub(super) kind: String,
    /// The delay requested in its headers.
    pub(super) after: Option<Duration>,
    pub(super) text: String,
    /// Whether a key or a password was removed from it.
    pub(super) held_secret: bool,
}

/// Maximum size of a body.
const LONGEST_BODY: u64 = 16 << 20;
const MOST_REDIRECTS: usize = 5;
const LONGEST_CONNECT: Duration = Duration::from_secs(15);
/// Many servers close a connection after 5 s without traffic.
const LONGEST_IDLE: Duration = Duration::from_secs(4);

const NEVER_ANSWERED: &str = "see whether the server is up; `llm-timeout SECONDS` allows an answer more time";
const NO_TLS: &str =
    "see whether the server speaks TLS: for one that does not, the address begins with http://";
const OTHER_HOST: &str =
    "a key and a prompt go to the host that was given alone: give the other address, if it is the right one";

/// Sends requests with the key, and removes it from responses.
pub(super) struct Transport {
    agent: ureq::Agent,
    /// The header with the key, or with the address's own password.
    authorization: Option<(&'static str, String)>,
    secrets: Secrets,
}

impl Transport {
    /// Sends with the key in the address, or else with this one.
    ///
    /// # Errors
    /// [`Error::KeyHost`](crate::Error::KeyHost), if a key must not be sent there.
    pub(super) fn new(
        address: &Address,
        key: Option<Key>,
        allowed: &[AllowedHost],
        parallel: usize,
    ) -> crate::Result<Self> {
        let key = key.filter(|_| !address.has_secrets());
        let mut secrets = address.secrets();
        if let Some(key) = &key {
            hosts::check(&Sent::Key(key.variable()), address, allowed)?;
            key.add_to(&mut secrets);
        }
        if address.has_secrets() {
            hosts::check(&Sent::OfAddress, address, allowed)?;
        }
        let authorization = key.map(|key| key.header(address.is_azure())).or_else(|| address.header());
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(parallel)
            .max_idle_connections_per_host(parallel)
            .max_idle_age(LONGEST_IDLE)
            .timeout_connect(Some(LONGEST_CONNECT))
            .user_agent(concat!("ragbias/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { agent, authorization, secrets })
    }

    /// Posts a JSON body, or gets a page if there is none.
    pub(super) fn send(&self, url: &str, body: Option<&str>, timeout: Duration) -> Result<Response, Failure> {
        self.exchange(url, body, timeout).map_err(|failure| Failure {
            reason: self.secrets.remove(&failure.reason).into_owned(),
            ..failure
        })
    }

    fn exchange(&self, url: &str, body: Option<&str>, timeout: Duration) -> Result<Response, Failure> {
        let mut url = url.to_owned();
        for _ in 0..=MOST_REDIRECTS {
            let mut response = self.once(&url, body, timeout).map_err(|error| broken(&error, timeout))?;
            let status = response.status().as_u16();
            let header = |name: &str| {
                response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
            };
            if matches!(status, 301 | 302 | 307 | 308) {
                let location = header("location").to_owned();
                url = redirected(&url, &location).map_err(|other| {
                    let reason = format!("status {status}: the server redirects to {other}");
                    Failure::new(reason, OTHER_HOST, Then::Stop)
                })?;
                continue;
            }
            if (300..400).contains(&status) {
                let reason = format!(
                    "status {status}: a redirect that is not followed, to `{}`",
                    plain(header("location"))
                );
                return Err(Failure::new(reason, NOT_CHAT, Then::Stop));
            }
            let kind = self.secrets.remove(header("content-type")).to_lowercase();
            let after = wait::asked(response.headers());
            let bytes = response.body_mut().with_config().limit(LONGEST_BODY).read_to_vec();
            let bytes = bytes.map_err(|error| match error {
                ureq::Error::BodyExceedsLimit(_) => {
                    let reason = format!("the answer is longer than {} MiB", LONGEST_BODY >> 20);
                    Failure::new(reason, NOT_CHAT, Then::Stop)
                }
                ureq::Error::Timeout(_) => late(timeout),
                error => {
                    Failure::new(format!("the answer broke off: {error}"), OVERLOADED, Then::Again(None))
                }
            })?;
            let text = String::from_utf8(bytes).map_err(|error| {
                let bytes = error.as_bytes().get(..8).unwrap_or(error.as_bytes());
                let reason = format!("the answer is not UTF-8; it begins with the bytes {bytes:02x?}");
                Failure::new(reason, NOT_CHAT, Then::Stop)
            })?;
            let text = self.secrets.remove(text.strip_prefix('\u{feff}').unwrap_or(&text));
            let held_secret = matches!(text, Cow::Owned(_));
            return Ok(Response { status, kind, after, text: text.into_owned(), held_secret });
        }
        Err(Failure::new(format!("more than {MOST_REDIRECTS} redirects"), NOT_CHAT, Then::Stop))
    }

    fn once(
        &self,
        url: &str,
        body: Option<&str>,
        timeout: Duration,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let mut headers = vec![("Accept", "application/json".to_owned())];
        headers.extend(self.authorization.clone());
        let timeout = Some(timeout);
        if let Some(body) = body {
            let request = self.agent.post(url).config().timeout_global(timeout).build();
            let request =
                headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
            request.content_type("application/json").send(body)
        } else {
            let request = self.agent.get(url).config().timeout_global(timeout).build();
            headers.into_iter().fold(request, |request, (name, value)| request.header(name, value)).call()
        }
    }

    /// A text without the secrets that were sent, and whether it contained any.
    pub(super) fn without_secrets(&self, text: String) -> (String, bool) {
        match self.secrets.remove(&text) {
            Cow::Borrowed(_) => (text, false),
            Cow::Owned(shown) => (shown, true),
        }
    }
}

fn late(timeout: Duration) -> Failure {
    let reason = format!("no answer within {} s", timeout.as_secs_f64());
    Failure::new(reason, NEVER_ANSWERED, Then::Late)
}

fn broken(error: &ureq::Error, timeout: Duration) -> Failure {
    match error {
        ureq::Error::Timeout(ureq::Timeout::Connect) => Failure::new(
            format!("no connection within {} s", LONGEST_CONNECT.min(timeout).as_secs_f64()),
            NEVER_ANSWERED,
            Then::Late,
        ),
        ureq::Error::Timeout(_) => late(timeout),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => {
            Failure::new(format!("no TLS connection: {error}"), NO_TLS, Then::Stop)
        }
        ureq::Error::Io(io)
            if io.to_string().contains("TLS") || io.kind() == std::io::ErrorKind::InvalidData =>
        {
            Failure::new(format!("no TLS connection: {io}"), NO_TLS, Then::Stop)
        }
        ureq::Error::Io(io) => Failure::new(plain(&io.to_string()), OVERLOADED, Then::Again(None)),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => {
            Failure::new(plain(&error.to_string()), NOT_CHAT, Then::Stop)
        }
        ureq::Error::LargeResponseHeader(..) | ureq::Error::Protocol(_) => Failure::new(
            format!("not an HTTP answer: {}", plain(&error.to_string())),
            NOT_CHAT,
            Then::Again(None),
        ),
        error => Failure::new(plain(&error.to_string()), OVERLOADED, Then::Again(None)),
    }
}
