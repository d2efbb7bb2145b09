//! Downloads over HTTP: whole files, each resumed where it was interrupted.

use std::path::Path;
use std::time::Duration;

use ragbias_core::Step;
use ureq::ResponseExt;
use ureq::config::RedirectAuthHeaders;
use ureq::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use ureq::http::{HeaderName, Response, Uri};

use crate::receive::{Fault, Wanted};

const LONGEST_CONNECT: Duration = Duration::from_secs(15);

/// Makes requests, with a token if there is one.
#[derive(Debug)]
pub(crate) struct Client {
    token: Option<String>,
    agent: ureq::Agent,
    /// Whether an answer of another host than the one that was asked is refused.
    same_host: bool,
}

impl Client {
    /// `longest_stall` is the timeout between two bytes, and before the first.
    pub(crate) fn new(token: Option<String>, longest_stall: Duration) -> Self {
        let agent = ureq::Agent::config_builder()
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .timeout_connect(Some(LONGEST_CONNECT))
            .timeout_recv_response(Some(longest_stall))
            .timeout_per_read(Some(longest_stall))
            .user_agent(concat!("ragbias/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { token, agent, same_host: false }
    }

    /// The same, refusing what another host answers after a redirect.
    pub(crate) fn of_same_host(self) -> Self {
        Self { same_host: true, ..self }
    }

    fn with_token<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    /// A text of at most `longest` bytes.
    pub(crate) fn text(&self, url: &str, longest: u64) -> Result<String, String> {
        let response = self.with_token(self.agent.get(url)).call().map_err(|error| error.to_string())?;
        let mut body = response.into_body();
        body.with_config().limit(longest).read_to_string().map_err(|error| error.to_string())
    }

    /// The size of a file according to its host.
    pub(crate) fn length(&self, url: &str) -> Result<u64, String> {
        let request = self.with_token(self.agent.head(url)).header(ACCEPT_ENCODING, "identity");
        let response = request.call().map_err(|error| error.to_string())?;
        self.check_host(url, response.get_uri())?;
        let length = header(&response, CONTENT_LENGTH).and_then(|length| length.parse().ok());
        length.ok_or_else(|| "its host does not say how long it is".into())
    }

    /// Downloads into `part`, resuming an interrupted download.
    ///
    /// The token is sent only to the host of the URL, and not to redirect targets.
    pub(crate) fn get(
        &self,
        url: &str,
        wanted: Wanted<'_>,
        part: &Path,
        step: &dyn Step,
    ) -> Result<(), Fault> {
        let there = fs_err::metadata(part).map_or(0, |metadata| metadata.len());
        if there >= wanted.bytes {
            return wanted.check(part);
        }
        let mut request = self.with_token(self.agent.get(url));
        if there > 0 {
            request = request.header(RANGE, format!("bytes={there}-"));
        }
        let failed = |reason: String| Fault::Failed(format!("{}: {reason}", wanted.name));
        let response = request.call().map_err(|error| failed(error.to_string()))?;
        self.check_host(url, response.get_uri()).map_err(failed)?;
        let header = |name| header(&response, name);
        let goes_on = response.status() == 206
            && header(CONTENT_RANGE).is_some_and(|range| range.starts_with(&format!("bytes {there}-")));
        let there = if goes_on { there } else { 0 };
        if let Some(length) = header(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()) {
            wanted.check_size(there.saturating_add(length))?;
        }
        if let Some(folder) = part.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let mut file = fs_err::OpenOptions::new().create(true).write(true).truncate(false).open(part)?;
        file.set_len(there)?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))?;
        step.advance(there);
        let mut body = response.into_body().into_reader();
        let there = wanted.copy(&mut body, &mut file, there, &mut |bytes| step.advance(bytes))?;
        file.sync_all()?;
        if there < wanted.bytes {
            return Err(Fault::Failed(format!(
                "{}: the download ended after {there} of {} bytes",
                wanted.name, wanted.bytes
            )));
        }
        wanted.check(part)
    }

    /// Refuses an answer of another host, if this client does.
    fn check_host(&self, asked: &str, answered: &Uri) -> Result<(), String> {
        let place = |uri: &Uri| Some((uri.scheme_str()?.to_owned(), uri.authority()?.to_string()));
        let asked = asked.parse::<Uri>().ok().as_ref().and_then(place);
        if !self.same_host || asked == place(answered) {
            return Ok(());
        }
        let shown = |place: Option<(String, String)>| {
            place.map_or_else(|| "no host".to_owned(), |(scheme, host)| format!("{scheme}://{host}"))
        };
        Err(format!(
            "expected an answer of {}, as no checksum is known, received a redirect to {}",
            shown(asked),
            shown(place(answered))
        ))
    }
}

fn header<B>(response: &Response<B>, name: HeaderName) -> Option<&str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

/// A path as part of a URL.
pub(crate) fn escaped(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    let escape = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    path.bytes().map(escape).collect()
}
