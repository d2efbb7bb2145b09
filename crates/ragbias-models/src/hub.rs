//! Downloads files from the Hugging Face hub.

use std::path::Path;
use std::time::Duration;

use ragbias_core::{Progress, Step, Unit};
use ragbias_files::move_file;
use ureq::config::RedirectAuthHeaders;
use ureq::http::HeaderName;
use ureq::http::Response;
use ureq::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, RANGE};

use crate::hub_cache::HubCache;
use crate::receive::{Fault, LONGEST_STALL, Wanted, once_more};
use crate::registry::Model;

/// The folder for incomplete files, within that of a pull.
pub(crate) const PARTS: &str = ".hub";

const LONGEST_CONNECT: Duration = Duration::from_secs(15);
const LONGEST_FIRST_BYTE: Duration = Duration::from_mins(1);
/// Maximum bytes of the hub's description of a model.
const LONGEST_LISTING: u64 = 32 << 20;

/// A hub: its address and its cache.
pub(crate) struct Hub {
    pub(crate) cache: HubCache,
    /// Its address, unless the hub must not be used.
    pub(crate) network: Option<Network>,
}

pub(crate) struct Network {
    endpoint: String,
    token: Option<String>,
    agent: ureq::Agent,
}

/// Whether `HF_HUB_OFFLINE` forbids network access.
pub(crate) fn is_offline() -> bool {
    std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| !["", "0", "false"].contains(&value.as_str()))
}

impl Hub {
    /// The user's: `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` are honoured.
    pub(crate) fn from_env() -> Self {
        let cache = HubCache::from_env();
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let token = set("HF_TOKEN").or_else(|| cache.token());
        let network = (!is_offline()).then(|| Network::new(&endpoint, token, LONGEST_STALL));
        Self { cache, network }
    }

    /// Puts every file of the model into `staging`, or returns the reason for failure.
    pub(crate) fn fetch(
        &self,
        id: &str,
        model: &Model,
        staging: &Path,
        progress: &dyn Progress,
    ) -> Result<(), String> {
        let step = progress.begin(&format!("pulling {}", model.name), model.bytes(), Unit::Bytes);
        for file in &model.files {
            let (wanted, target) = (file.wanted(), staging.join(&file.path));
            if wanted.check(&target).is_ok()
                || from_cache(&self.cache, id, wanted, &target).map_err(|e| e.to_string())?
            {
                step.advance(file.bytes);
                continue;
            }
            let Some(network) = &self.network else {
                return Err(format!("{}: not in its cache, and HF_HUB_OFFLINE is set", file.path));
            };
            let url = network.file(id, "main", &file.path);
            let part = staging.join(PARTS).join(&file.path);
            let forget = || fs_err::remove_file(&part).or_else(ignore_missing);
            once_more(progress, || network.get(&url, wanted, &part, step.as_ref()), forget)?;
            move_file(&part, &target).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

impl Network {
    fn new(endpoint: &str, token: Option<String>, longest_stall: Duration) -> Self {
        let agent = ureq::Agent::config_builder()
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .timeout_connect(Some(LONGEST_CONNECT))
            .timeout_recv_response(Some(LONGEST_FIRST_BYTE))
            .timeout_per_read(Some(longest_stall))
            .user_agent(concat!("ragbias/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { endpoint: endpoint.trim_end_matches('/').into(), token, agent }
    }

    /// The URL of a file at a revision.
    pub(crate) fn file(&self, id: &str, revision: &str, name: &str) -> String {
        format!("{}/{id}/resolve/{revision}/{}", self.endpoint, escaped(name))
    }

    fn with_token<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    /// The hub's description of a model, as JSON.
    pub(crate) fn describe(&self, id: &str) -> Result<String, String> {
        let url = format!("{}/api/models/{id}/revision/main?blobs=true", self.endpoint);
        let response = self.with_token(self.agent.get(&url)).call().map_err(|error| error.to_string())?;
        let mut body = response.into_body();
        body.with_config().limit(LONGEST_LISTING).read_to_string().map_err(|error| error.to_string())
    }

    /// The size of a file according to the hub.
    pub(crate) fn length(&self, url: &str) -> Result<u64, String> {
        let request = self.with_token(self.agent.head(url)).header(ACCEPT_ENCODING, "identity");
        let response = request.call().map_err(|error| error.to_string())?;
        let length = header(&response, CONTENT_LENGTH).and_then(|length| length.parse().ok());
        length.ok_or_else(|| "the hub does not say how long it is".into())
    }

    /// Downloads into `part`, resuming an interrupted download.
    ///
    /// The token is sent only to the hub, and not to redirect targets.
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
        let response = request.call().map_err(|error| Fault::Failed(format!("{}: {error}", wanted.name)))?;
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
}

fn header<B>(response: &Response<B>, name: HeaderName) -> Option<&str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

/// A path of plain names as part of a URL.
fn escaped(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    let escape = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    path.bytes().map(escape).collect()
}

/// A file in another program's cache is copied if it is correct, and left alone otherwise.
fn from_cache(cache: &HubCache, id: &str, wanted: Wanted<'_>, target: &Path) -> std::io::Result<bool> {
    let Some(path) = cache.file(id, wanted.name).filter(|path| wanted.check(path).is_ok()) else {
        return Ok(false);
    };
    if let Some(folder) = target.parent() {
        fs_err::create_dir_all(folder)?;
    }
    fs_err::copy(path, target)?;
    // It may have changed in the meantime.
    Ok(wanted.check(target).is_ok())
}

pub(crate) fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
impl Hub {
    /// A hub at this address, or none, without a cache.
    pub(crate) fn at(endpoint: Option<&str>, folder: &Path) -> Self {
        Self::impatient(endpoint, folder, LONGEST_STALL)
    }

    /// The same, with another timeout between bytes.
    pub(crate) fn impatient(endpoint: Option<&str>, folder: &Path, longest_stall: Duration) -> Self {
        let network = |endpoint| Network::new(endpoint, Some("hf-secret".to_owned()), longest_stall);
        Self { cache: HubCache::at(folder.into()), network: endpoint.map(network) }
    }
}
